"""What is asked of the daemon, as values: made by `calls/`, sent by `Client` and `AsyncClient` alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import NoneType
from typing import Any, Generic, NamedTuple, Protocol, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from mongarsd.client.errors import NotUnderstood
from mongarsd.client.form import FileForm

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

QUICK = 10.0  # seconds a status may take; it does not depend on the model
SLOW = 600.0  # seconds of silence while a model loads or a board reads a long prompt; openai-python waits as long
PATIENCE = 60.0  # seconds without a connection; the daemon keeps a session as long
MAX_ANSWER = 64 << 20  # bytes of one JSON answer
PIECE = 64 << 10  # bytes read at once


class Call(NamedTuple, Generic[T]):
    """One request whose JSON answer is a `kind`; None = the answer says nothing."""

    method: str
    path: str  # quoted, with its query
    kind: type[T]
    body: Any = None  # what msgspec encodes, or a FileForm
    timeout: float = SLOW  # seconds of silence
    expected: int = 0  # an error status that is an answer too

    def takes(self, status: int) -> bool:
        """Is that an answer?"""
        return 200 <= status < 300 or status == self.expected

    def answer(self, data: bytes) -> T:
        """Raises NotUnderstood."""
        return decoded(b"null" if self.kind is NoneType else data or b"null", self.kind)


class Reader(Protocol[T_co]):
    """Bytes of a streamed answer in, its events out."""

    @property
    def ended(self) -> bool:
        """The answer is complete. When the connection ends before, it broke."""

    def feed(self, data: bytes) -> Iterator[T_co]:
        """Raises NotUnderstood, and the MongarsError that the daemon ends a stream with: after what came before it."""


class Streamed(NamedTuple, Generic[T]):
    """One request whose answer comes in pieces; `reader` makes what reads them."""

    call: Call[None]
    reader: Callable[[], Reader[T]]


class Page(msgspec.Struct, Generic[T], frozen=True):
    """Of a list. The next one begins after `after` or `last_id`, whichever the route has."""

    data: list[T]
    has_more: bool = False
    after: str | None = None
    last_id: str | None = None


class Paged(NamedTuple, Generic[T]):
    """A list that comes in pages; `page` makes the call for the one after an id ("" = the first)."""

    page: Callable[[str], Call[Page[T]]]


def decoded(data: bytes, kind: type[T]) -> T:
    """Raises NotUnderstood."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise NotUnderstood(
            f"the answer is not understood ({error}): is it mongarsd, and of the same version as this client?"
        ) from error


def encoded(body: Any) -> bytes:
    return msgspec.json.encode({} if body is None else body)


def headers(call: Call[Any], key: str) -> dict[str, str]:
    """Of the request."""
    found = {"Accept": "application/json, application/x-ndjson, text/event-stream", "Connection": "close"}
    if key:
        found["Authorization"] = f"Bearer {key}"
    if isinstance(call.body, FileForm):
        found |= {"Content-Type": call.body.content_type, "Content-Length": str(call.body.length)}
    elif call.method in ("POST", "PATCH"):
        found["Content-Type"] = "application/json"
    return found


def path(*parts: str, **query: str | int | None) -> str:
    """A path of the daemon from its parts; what follows the first is quoted. A query of what is not None."""
    first, *rest = parts
    text = urlencode({name: value for name, value in query.items() if value is not None})
    return "/".join((first, *(quote(part, safe="") for part in rest))) + ("?" + text if text else "")


def given(fields: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """A body of what is not None."""
    return {name: value for name, value in {**fields, **more}.items() if value is not None}
