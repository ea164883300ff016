"""mongarsd from Python: `Client` and `AsyncClient` have the same methods, and raise the same MongarsErrors.

    from mongarsd.client import Client

    with Client().stream("Tell me of the sea") as chunks:
        for chunk in chunks:
            print(chunk.text, end="", flush=True)

docs/client.md tells more.
"""

from typing import TYPE_CHECKING, Any

from mongarsd.client.calls.chats import Chat, ChatChunk
from mongarsd.client.calls.history import Conversation
from mongarsd.client.calls.responses import Item, Response, ResponseEvent
from mongarsd.client.calls.vectors import Embeddings, Ranking
from mongarsd.client.errors import BadAddress, BrokenOff, Busy, MongarsError, NotUnderstood, Unreachable
from mongarsd.client.session.inbox import Gap, Lost
from mongarsd.client.stream import AsyncStream, Stream
from mongarsd.client.sync import Client

if TYPE_CHECKING:
    from mongarsd.client.aio import AsyncClient

__all__ = [
    "AsyncClient",
    "AsyncStream",
    "BadAddress",
    "BrokenOff",
    "Busy",
    "Chat",
    "ChatChunk",
    "Client",
    "Conversation",
    "Embeddings",
    "Gap",
    "Item",
    "Lost",
    "MongarsError",
    "NotUnderstood",
    "Ranking",
    "Response",
    "ResponseEvent",
    "Stream",
    "Unreachable",
]


def __getattr__(name: str) -> Any:
    """What mongarsctl can do without is loaded when it is named: on a small board its start counts in milliseconds."""
    if name == "AsyncClient":
        from mongarsd.client.aio import AsyncClient

        return AsyncClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
