"""What both kinds of sockets are told, and what their failures mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mongarsd.client.address import Address, reason
from mongarsd.client.errors import Busy, MongarsError, Unreachable
from mongarsd.client.lines import MAX_LINE
from mongarsd.client.session.state import SessionState, fatal

if TYPE_CHECKING:
    from websockets.exceptions import ConnectionClosed
    from websockets.uri import WebSocketURI

OPENING = 10.0  # seconds

#: No compression: an event is short, and a window takes more memory than a daemon gives a socket.
OPTIONS: dict[str, Any] = {
    "compression": None,
    "proxy": None,
    "max_size": MAX_LINE,
    "open_timeout": OPENING,
    "close_timeout": 1.0,
}


def refused(address: Address, error: Exception) -> MongarsError:
    """Why there is no connection."""
    return Unreachable(f"no WebSocket opens at {address}: {reason(error)}")


def check_place(address: Address, uri: WebSocketURI) -> None:
    """websockets follows redirects, and no switch turns that off. What is said here is for nobody else: raises
    Unreachable."""
    if (uri.host, uri.port, uri.secure) != (address.host, address.port or 80, address.tls):
        raise Unreachable(
            f"{address} sends its WebSocket on to {uri.host}:{uri.port}: name that address if you trust it"
        )


def passes(error: MongarsError) -> bool:
    """May the next try to connect fare better?"""
    return isinstance(error, (Unreachable, Busy))


def closed(state: SessionState, address: Address, error: ConnectionClosed) -> None:
    """Tell the state that the connection has ended, and whether this was the last."""
    code = error.rcvd.code if error.rcvd else None
    said = (error.rcvd.reason if error.rcvd else "") or "it broke"
    state.lost(f"the connection to {address} ended: {said}")
    if end := fatal(code):
        state.fail(end)
