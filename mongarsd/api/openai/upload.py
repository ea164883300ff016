"""A multipart form with one file, taken as it comes: the file goes on in pieces, the fields are small and kept."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncGenerator, Awaitable
from typing import TypeVar

from aiohttp import BadContentDispositionHeader, BadContentDispositionParam, BodyPartReader, MultipartReader, web
from aiohttp.http_exceptions import BadHttpMessage, LineTooLong

from mongarsd.api.body import MIN_RATE
from mongarsd.ground.errors import BadRequest

for _kind in (BadContentDispositionHeader, BadContentDispositionParam):  # they would write file names into the log
    warnings.filterwarnings("ignore", category=_kind)

T = TypeVar("T")

#: Bytes of a field that is not the file, and how many parts there may be.
MAX_FIELD, MAX_PARTS = 4096, 16
#: What a form's boundaries, headers and fields add to its file, at most.
OVERHEAD = MAX_PARTS * (MAX_FIELD + 8192)
PIECE = 64 * 1024
MAX_NAME = 255


class Form:
    """`await open()` gives the file's name; then `pieces()` to the end; then `fields` are complete."""

    def __init__(self, request: web.Request, patience: float) -> None:
        """`patience`: seconds until a client must keep up with MIN_RATE; 0 = for ever."""
        self._request, self._patience = request, patience
        self._begin = asyncio.get_running_loop().time()
        self._received = 0
        self._parts = 0
        self._reader: MultipartReader | None = None
        self._file: BodyPartReader | None = None
        self.fields: dict[str, str] = {}

    @property
    def announced(self) -> int:
        """Bytes the file has at least; 0 = not known."""
        return max((self._request.content_length or 0) - OVERHEAD, 0)

    async def open(self) -> str:
        """Read up to the file. Raises BadRequest, or aiohttp's 408."""
        try:
            self._reader = await self._request.multipart()
        except (ValueError, AssertionError) as error:
            raise BadRequest(f"the form is damaged: {error}") from None
        self._file = await self._next()
        if self._file is None:
            raise BadRequest("file: required, and missing", param="file")
        return _name(self._file.filename)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The file's bytes. Raises BadRequest, or aiohttp's 408."""
        assert self._file is not None
        while piece := await self._chunk(self._file):
            yield piece
        if await self._next() is not None:
            raise BadRequest("file: send one at a time", param="file")

    async def _next(self) -> BodyPartReader | None:
        """Keep fields until there is a file, or the end."""
        assert self._reader is not None
        while part := await self._patiently(self._reader.next()):
            self._parts += 1
            if not isinstance(part, BodyPartReader) or self._parts > MAX_PARTS:
                raise BadRequest(f"the form has parts in parts, or more than {MAX_PARTS}")
            if "Content-Transfer-Encoding" in part.headers and part.headers["Content-Transfer-Encoding"] != "binary":
                raise BadRequest("send the form's parts without Content-Transfer-Encoding")
            if part.name == "file":
                return part
            value = b""
            while piece := await self._chunk(part):
                value += piece
                if len(value) > MAX_FIELD:
                    raise BadRequest(f"{(part.name or '')[:64]}: longer than {MAX_FIELD} bytes")
            self.fields[part.name or ""] = value.decode("utf-8", "replace")
        return None

    async def _chunk(self, part: BodyPartReader) -> bytes:
        piece = await self._patiently(part.read_chunk(PIECE))
        self._received += len(piece)
        return bytes(piece)

    async def _patiently(self, reading: Awaitable[T]) -> T:
        until = self._begin + self._patience + self._received / MIN_RATE if self._patience else None
        try:
            async with asyncio.timeout_at(until):
                return await reading
        except TimeoutError:
            raise web.HTTPRequestTimeout(text="the file came too slowly") from None
        except LineTooLong:
            raise BadRequest("the form is damaged: a line of its headers is too long") from None
        except BadHttpMessage:  # its text has the header, and a header the name of a file
            raise BadRequest("the form is damaged: a header of a part has signs that no header may have") from None
        except (ValueError, AssertionError, RuntimeError, web.RequestPayloadError) as error:
            raise BadRequest(f"the form is damaged: {error}") from None


def _name(given: str | None) -> str:
    """The last part of a path, without signs that no name has. Raises BadRequest."""
    name = (given or "").replace("\\", "/").rpartition("/")[2]
    name = "".join(c if c.isprintable() else "?" for c in name.encode("utf-8", "replace").decode())[:MAX_NAME]
    if not name:
        raise BadRequest("file: must come with a filename", param="file")
    return name
