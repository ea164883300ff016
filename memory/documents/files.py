"""Files of an account: uploaded within limits, listed, read, deleted. No verb sees another account's."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterable, Callable, Iterable
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar

import aiosqlite

from mongarsd.ground.clock import Clock
from mongarsd.ground.errors import BadRequest, NotFound, TooLarge
from mongarsd.ground.settings import DocumentSettings
from mongarsd.memory.accounts import ensure
from mongarsd.memory.database.database import Database
from mongarsd.memory.database.erase import erase
from mongarsd.memory.documents.blobs import Blobs, Upload
from mongarsd.memory.documents.types import File, new_id

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

Order = Literal["asc", "desc"]
#: OpenAI's longest page of files.
MAX_FILES_PAGE = 10_000
#: Bytes handed to a thread at once.
PIECE = 128 * 1024

_COLUMNS = "id, filename, purpose, bytes, digest, created"


class Files:
    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        clock: Clock,
        settings: Callable[[], DocumentSettings],
        removed: Callable[[Iterable[int]], None],
    ) -> None:
        """`removed`: called with the numbers of the stores that lost chunks."""
        self._database, self._blobs, self._clock = database, blobs, clock
        self._settings, self._removed = settings, removed
        self._busy: set[str] = set()  # uploads and removals under way

    async def settle(self) -> None:
        """Finish or take back what was under way when the daemon last ended. Raises StorageUnavailable."""
        for name in await asyncio.to_thread(self._blobs.unsettled) - self._busy:
            async with self._database.reader() as reader:
                known = await reader.execute_fetchall("SELECT 1 FROM files WHERE id = ?", (name,))
            await asyncio.to_thread(self._blobs.settle, name, bool(list(known)))

    async def create(
        self, account: str, filename: str, purpose: Callable[[], str], data: AsyncIterable[bytes], announced: int = 0
    ) -> File:
        """Take `data` to its end, or until a limit; `purpose` is asked then, for a form may name it after the file.
        Raises TooLarge, BadRequest, DiskFull, StorageUnavailable: then nothing of it stays."""
        await self._check(account, announced)
        name = new_id("file-")
        self._busy.add(name)
        begun: list[Upload] = []
        try:
            await _to_the_end(lambda: begun.append(self._blobs.begin(name, announced)))
            (upload,) = begun
            buffer = bytearray()
            most = self._settings().max_file
            async for piece in data:
                buffer += piece
                if upload.size + len(buffer) > most:
                    raise _too_large(most)
                if len(buffer) >= PIECE:
                    await _to_the_end(upload.write, buffer)
                    buffer = bytearray()
            await _to_the_end(upload.write, buffer)
            file = File(
                id=name, filename=filename, purpose=purpose(), bytes=upload.size,
                digest=await _to_the_end(upload.finish), created=self._clock.wall(),
            )  # fmt: skip
            await self._database.write(lambda connection: self._insert(connection, account, file))
            await asyncio.to_thread(self._blobs.keep, name)
        except BaseException:
            # Cancelled while its row was being written: then `settle` finds what it became.
            if begun and not await asyncio.shield(self._stored(name)):
                await asyncio.shield(asyncio.to_thread(begun[0].abort))
            raise
        finally:
            self._busy.discard(name)
        return file

    async def page(
        self, account: str, *, purpose: str = "", after: str = "", limit: int = MAX_FILES_PAGE, order: Order = "desc"
    ) -> tuple[list[File], bool]:
        """A page, and whether there are more. Raises NotFound, BadRequest."""
        if not 1 <= limit <= MAX_FILES_PAGE:
            raise BadRequest(f"limit: from 1 to {MAX_FILES_PAGE}", param="limit")
        sign, start = ("<", 2**62) if order == "desc" else (">", 0)
        async with self._database.reader() as reader:
            if after:
                start = await number(reader, account, after)
            rows = await reader.execute_fetchall(
                f"SELECT {_COLUMNS} FROM files WHERE account = ? AND number {sign} ? AND ? IN ('', purpose)"  # noqa: S608
                f" ORDER BY number {order} LIMIT ?",
                (account, start, purpose, limit + 1),
            )
        found = [_file(row) for row in rows]
        return found[:limit], len(found) > limit

    async def get(self, account: str, name: str) -> File:
        """Raises NotFound."""
        async with self._database.reader() as reader:
            for row in await reader.execute_fetchall(
                f"SELECT {_COLUMNS} FROM files WHERE id = ? AND account = ?",  # noqa: S608
                (name, account),
            ):
                return _file(row)
        raise missing(name)

    async def content(self, account: str, name: str) -> tuple[File, Path]:
        """Raises NotFound."""
        file = await self.get(account, name)
        path = self._blobs.path(file.id)
        if not await asyncio.to_thread(path.exists):
            raise NotFound(f"the contents of {name} are gone from the state directory: upload it again")
        return file, path

    async def delete(self, account: str, name: str) -> None:
        """It, and its chunks in every store. Raises NotFound."""
        await self.get(account, name)

        def work(connection: sqlite3.Connection) -> list[int]:
            stores = connection.execute(
                "SELECT e.store FROM vector_store_files e JOIN files f ON f.number = e.file WHERE f.id = ?", (name,)
            ).fetchall()
            connection.execute("DELETE FROM files WHERE id = ? AND account = ?", (name, account))
            erase(connection)
            return [row[0] for row in stores]

        self._busy.add(name)
        try:
            await asyncio.to_thread(self._blobs.doom, name)
            self._removed(await self._database.write(work))
        except BaseException:
            if await asyncio.shield(self._stored(name)):
                await asyncio.shield(asyncio.to_thread(self._blobs.restore, name))
            raise
        finally:
            self._busy.discard(name)
        await asyncio.to_thread(self._blobs.erase, name)
        await self._database.checkpoint()

    async def _stored(self, name: str) -> bool:
        async with self._database.reader() as reader:
            return bool(list(await reader.execute_fetchall("SELECT 1 FROM files WHERE id = ?", (name,))))

    async def _check(self, account: str, announced: int) -> None:
        """Before anything is read."""
        if announced > (most := self._settings().max_file):
            raise _too_large(most)
        async with self._database.reader() as reader:
            for count, size in await reader.execute_fetchall(_USAGE, (account,)):
                self._within(count + 1, size + announced)

    def _insert(self, connection: sqlite3.Connection, account: str, file: File) -> None:
        ensure(connection, account, file.created)
        count, size = connection.execute(_USAGE, (account,)).fetchone()
        self._within(count + 1, size + file.bytes)
        connection.execute(
            f"INSERT INTO files (account, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
            (account, file.id, file.filename, file.purpose, file.bytes, file.digest, file.created),
        )

    def _within(self, count: int, size: int) -> None:
        """Raises TooLarge."""
        settings = self._settings()
        if count > settings.max_files:
            raise TooLarge(
                f"this account has {count - 1} files, and {settings.max_files} are allowed (documents.max_files): "
                "delete some",
                limit=settings.max_files,
            )
        if size > settings.max_bytes:
            raise TooLarge(
                f"this account's files would have {size} bytes, and {settings.max_bytes} are allowed "
                "(documents.max_bytes): delete some",
                limit=settings.max_bytes,
            )


_USAGE = "SELECT count(*), coalesce(sum(bytes), 0) FROM files WHERE account = ?"


async def number(reader: aiosqlite.Connection, account: str, name: str) -> int:
    """Raises NotFound."""
    for row in await reader.execute_fetchall("SELECT number FROM files WHERE id = ? AND account = ?", (name, account)):
        return int(row[0])
    raise missing(name)


async def _to_the_end(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """In a thread. Who is cancelled meanwhile learns it when the thread is through: what it made can be taken back."""
    running = asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise


def missing(name: str) -> NotFound:
    return NotFound(f"there is no file {name[:80]!r}")


def _too_large(most: int) -> TooLarge:
    return TooLarge(f"the file is larger than {most} bytes (documents.max_file)", limit=most)


def _file(row: Any) -> File:
    return File(**dict(zip(File.__struct_fields__, row, strict=True)))
