"""From an origin to a blob: fetch, verify, check the header, derive, place. One at a time for the same file."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from weakref import WeakValueDictionary

from msgspec import structs

from mongarsd.ground.errors import InvalidModel, NotFound, SourceUnavailable, VerificationFailed
from mongarsd.ground.folders import sync_folder
from mongarsd.ground.status import PullProgress
from mongarsd.inference.models.beside import check, context_of, weights
from mongarsd.inference.models.catalogue import Beside, Origin
from mongarsd.inference.models.disk import Disk
from mongarsd.inference.models.download import Hold
from mongarsd.inference.models.formats import inspect, of_gguf
from mongarsd.inference.models.gguf import GgufHeader
from mongarsd.inference.models.manifest import Blob, Companion, describe
from mongarsd.inference.models.names import Kind, store_path
from mongarsd.inference.models.onnx_weights import role, sealed
from mongarsd.inference.models.partial import Partial, Report
from mongarsd.inference.models.sources.base import Offer, Source
from mongarsd.inference.models.threads import PIECE, in_thread, to_the_end

#: (source, target, kind, disk, report) -> header of the target
Requantize = Callable[[Path, Path, str, Disk, Report], Awaitable[GgufHeader]]
#: (digest at the source, derivation) -> a blob that was made from the same before
Known = Callable[[str, str | None], Blob | None]


class Receiver:
    def __init__(
        self, root: Path, disk: Disk, requantize: Requantize, known: Known, source: Callable[[str], Source]
    ) -> None:
        self._root = root
        self._source = source
        self._disk = disk
        self._requantize = requantize
        self._known = known
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def receive(
        self,
        origin: Origin,
        source: Source,
        report: Report,
        hold: Hold,
        companions: Sequence[tuple[Beside, Source]] = (),
    ) -> Blob:
        """With what it needs, all of it held.

        Raises NotFound, SourceUnavailable, VerificationFailed, InvalidModel, DiskFull.
        """
        offer, wanted, key = await self._ask(origin, source, report)
        needed = [(part, beside) for part, beside in companions if not part.chat]
        files = {part.role: await self._receive_beside(part, beside, report, hold) for part, beside in needed}
        async with self._locks.setdefault(key, asyncio.Lock()):
            known = self._known(f"sha256:{wanted}", origin.requantize) if wanted and not files else None
            if known and await hold(*known.digests):
                return structs.replace(known, source=source.ref)
            chat = [(part, beside) for part, beside in companions if part.chat]
            return await self._receive(origin, source, offer, wanted, key, report, hold, files, chat)

    async def _receive_beside(
        self, part: Beside, source: Source, report: Report, hold: Hold, least: int = 0
    ) -> Companion:
        """`least`: bytes that it must have."""
        origin = Origin(ref=part.ref, sha256=part.sha256, size=part.size)
        offer, wanted, key = await self._ask(origin, source, report)
        if offer.size is not None:
            _check_length(source, offer.size, least)  # before gigabytes are fetched for nothing
        async with self._locks.setdefault(key, asyncio.Lock()):
            digest = f"sha256:{wanted}"
            if wanted and await hold(digest):
                size = store_path(self._root, Kind.BLOB, digest).stat().st_size
                return Companion(digest=digest, size=size, source=source.ref)
            async with self._received(origin, source, offer, wanted, key, report) as (digest, file):
                if least:
                    _check_length(source, file.stat().st_size, least)
                else:
                    await in_thread(check, part.role, file)
                companion = Companion(digest=digest, size=file.stat().st_size, source=source.ref)
                await hold(digest)
                await in_thread(_move, file, store_path(self._root, Kind.BLOB, digest))
                return companion

    async def _receive_weights(self, data: Beside, report: Report, hold: Hold) -> Companion:
        """Raises InvalidModel when the file is missing, or shorter than the model says of it."""
        name, least = data.ref.rpartition("/")[2], data.size or 0
        try:
            return await self._receive_beside(data, self._source(data.ref), report, hold, least)
        except NotFound:
            raise InvalidModel(f"The model keeps weights in {name}, which is not beside it.", param="ref") from None

    async def _ask(self, origin: Origin, source: Source, report: Report) -> tuple[Offer, str | None, str]:
        """What the source offers, the hash the file must have, and the key of the unfinished file."""
        report(PullProgress(status=f"asking for {source.ref}"))
        offer = await source.offer()
        if origin.sha256 and offer.sha256 and origin.sha256 != offer.sha256:
            raise VerificationFailed(
                f"{source.ref} is not the file the catalogue knows: its SHA-256 is {offer.sha256}, not {origin.sha256}."
            )
        wanted = origin.sha256 or offer.sha256
        return offer, wanted, hashlib.sha256(f"{offer.identity}\0{wanted}".encode()).hexdigest()

    async def _receive(
        self,
        origin: Origin,
        source: Source,
        offer: Offer,
        wanted: str | None,
        key: str,
        report: Report,
        hold: Hold,
        files: dict[str, Companion],
        chat: Sequence[tuple[Beside, Source]],
    ) -> Blob:
        async with self._received(origin, source, offer, wanted, key, report) as (digest, part):
            facts = await in_thread(inspect, part)
            for data in weights(source.ref, facts.data):
                files[data.role] = await self._receive_weights(data, report, hold)
            if facts.kind == "chat":
                for companion, beside in chat:
                    with suppress(NotFound):  # not every model has all of them
                        files[companion.role] = await self._receive_beside(companion, beside, report, hold)
            return await self._place(origin, source.ref, digest, part, report, hold, files)

    @asynccontextmanager
    async def _received(
        self, origin: Origin, source: Source, offer: Offer, wanted: str | None, key: str, report: Report
    ) -> AsyncIterator[tuple[str, Path]]:
        """The verified file and its digest; what the body leaves of it is kept only if a second try gains by it."""
        part, scratch = store_path(self._root, Kind.PARTIAL, key), store_path(self._root, Kind.SCRATCH, key)
        await in_thread(shutil.rmtree, scratch, ignore_errors=True)
        scratch.mkdir(mode=0o700)
        keep = False
        try:
            self._check_room(origin, offer, part)
            source_digest = await self._fetch(source, offer, wanted, Partial(part, scratch, self._disk, report))
            keep = wanted is not None  # whole and verified: what follows may be interrupted
            yield source_digest, part
        except BaseException as error:
            # What is of no use to a second try is removed, and after DiskFull everything: a full disk hurts all.
            if not isinstance(error, (SourceUnavailable, asyncio.CancelledError)) or not (keep or offer.resumable):
                part.unlink(missing_ok=True)
            raise
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _check_room(self, origin: Origin, offer: Offer, part: Path) -> None:
        """Raises DiskFull now rather than after a long download."""
        size = offer.size or origin.size or 0
        copies = 1 + (origin.requantize is not None) + (offer.size is None)  # the file, the result, and an archive
        have = part.stat().st_size if part.exists() else 0
        self._disk.require(size * copies - have, part.parent)

    async def _fetch(self, source: Source, offer: Offer, wanted: str | None, partial: Partial) -> str:
        """The verified digest of the whole file."""
        async with partial:
            if not wanted or partial.digest != f"sha256:{wanted}":
                await source.fetch(offer, partial)
            partial.note("verifying")
            digest = await partial.finish()
        if wanted and digest != f"sha256:{wanted}":
            raise VerificationFailed(
                f"{source.ref} arrived with SHA-256 {digest[7:]}, not {wanted}: it was thrown away."
            )
        return digest

    async def _place(
        self,
        origin: Origin,
        ref: str,
        source_digest: str,
        part: Path,
        report: Report,
        hold: Hold,
        files: dict[str, Companion],
    ) -> Blob:
        """Check the header, derive if asked to, and move the result among the blobs."""
        file, digest, derivation = part, source_digest, origin.requantize
        facts = await in_thread(inspect, part)
        if facts.format == "onnx" and "tokenizer" not in files:
            raise InvalidModel(f"{ref} comes without a tokenizer.json.")
        if origin.context and facts.format == "onnx":
            facts = structs.replace(facts, context_length=origin.context)
        elif facts.format == "onnx" and facts.kind == "chat" and (config := files.get("config")):
            trained = await in_thread(context_of, store_path(self._root, Kind.BLOB, config.digest))
            facts = structs.replace(facts, context_length=trained or facts.context_length)
        if facts.data:
            file = part.with_suffix(".scratch") / "model.onnx"
            await in_thread(shutil.copyfile, part, file)
            await in_thread(_append, file, sealed([files[role(index)].digest for index in range(len(facts.data))]))
            digest = await _settle(file)
        if derivation:
            file = part.with_suffix(".scratch") / "model.gguf"
            facts = of_gguf(await self._requantize(part, file, derivation, self._disk, report))
            report(PullProgress(status="verifying"))
            digest = await _settle(file)
        blob = describe(
            facts,
            digest=digest,
            size=file.stat().st_size,
            source=ref,
            source_digest=source_digest,
            derivation=derivation,
            files=files,
        )
        await hold(digest)
        await to_the_end(_move, file, store_path(self._root, Kind.BLOB, digest))
        part.unlink(missing_ok=True)  # noqa: ASYNC240 (an intermediate file: one system call)
        return blob


def _check_length(source: Source, size: int, least: int) -> None:
    """Raises InvalidModel."""
    if size < least:
        raise InvalidModel(
            f"{source.ref} has {size} bytes, but the model says of its weights that they end at {least}.", param="ref"
        )


def _append(file: Path, data: bytes) -> None:
    with file.open("ab") as end:
        end.write(data)


def _move(file: Path, target: Path) -> None:
    file.rename(target)
    sync_folder(target.parent)


async def _settle(path: Path) -> str:
    """The digest of a file that is now on the disk itself."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fchmod(file, 0o600)
        await in_thread(os.fsync, file)
        digest = hashlib.sha256()
        while data := await in_thread(os.read, file, PIECE):
            await in_thread(digest.update, data)
        return "sha256:" + digest.hexdigest()
    finally:
        os.close(file)
