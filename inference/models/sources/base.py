"""Source: where a model file comes from. One implementation a file; each knows its own reference grammar."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from msgspec import Struct

#: No model for a small board is near this; it bounds what a lying source can make us write.
MAX_FILE = 64 * 1024**3  # bytes


class Offer(Struct, frozen=True, kw_only=True):
    """What a source says of a file before it is fetched. Nothing of it is trusted without a check afterwards."""

    identity: str  # the same identity, the same bytes: an unfinished file may be resumed under it
    size: int | None = None  # bytes
    sha256: str | None = None  # 64 hex digits
    resumable: bool = False


class Sink(Protocol):
    """Where a source puts the bytes."""

    scratch: Path  # a folder that exists while `fetch` runs

    async def begin(self, size: int | None) -> int:
        """Check that `size` bytes fit, then say how many of them are already there. Raises DiskFull."""
        ...

    async def restart(self) -> None:
        """Forget what is there: the source cannot go on from it."""
        ...

    async def write(self, data: bytes) -> None:
        """Append. Raises DiskFull; VerificationFailed when it becomes more than announced."""
        ...

    def note(self, status: str, completed: int | None = None, total: int | None = None) -> None:
        """Show progress that is not bytes written to the sink."""
        ...


class Source(Protocol):
    ref: str  # the whole reference, e.g. "hf:REPO/FILE"
    file: str  # the name of the file in it
    immutable: bool  # the reference alone fixes the bytes: what is installed from it need not be asked for again
    remote: bool  # needs a network

    async def offer(self) -> Offer:
        """Ask for what is known. Raises NotFound, SourceUnavailable, InvalidModel."""
        ...

    async def fetch(self, offer: Offer, sink: Sink) -> None:
        """Bring the bytes: `sink.begin` once, then `sink.write`. Raises NotFound, SourceUnavailable."""
        ...
