"""The model store of one node: what is installed under which name, and how more of it gets there.

Below `root/models`: `blobs/sha256-<hex>` (verified files, named by their digest), `manifests/<name>.json`,
`adapters/<model>+<name>.json`, `presets/` (names for ways to use a model), and `partial/` (what is being received). A
blob appears by one rename, after verification; a manifest after its blob.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from functools import partial
from pathlib import Path

from msgspec import structs

from mongarsd.ground.errors import (
    BadRequest,
    Conflict,
    InvalidModel,
    ModelNotFound,
    MongarsError,
    NotFound,
    SourceUnavailable,
    VerificationFailed,
)
from mongarsd.ground.folders import sync_folder
from mongarsd.ground.preset import Preset
from mongarsd.ground.status import PullProgress
from mongarsd.inference.models import derive
from mongarsd.inference.models.attach import attach, base_of
from mongarsd.inference.models.beside import beside
from mongarsd.inference.models.catalogue import Catalogue, Origin, load_catalogue
from mongarsd.inference.models.disk import Disk
from mongarsd.inference.models.download import Download, Hold
from mongarsd.inference.models.formats import READER
from mongarsd.inference.models.installed import MANIFESTS, Installed
from mongarsd.inference.models.manifest import (
    Blob,
    InstalledModel,
    manifest_path,
    read_manifest,
    renewed,
    write_manifest,
)
from mongarsd.inference.models.names import DIGEST, OPEN, Kind, name_from_file, store_path, valid_name
from mongarsd.inference.models.partial import Report
from mongarsd.inference.models.presets import Presets
from mongarsd.inference.models.receive import Receiver, Requantize
from mongarsd.inference.models.shared import Shared
from mongarsd.inference.models.sources import is_reference, open_source
from mongarsd.inference.models.sources.base import Source
from mongarsd.inference.models.threads import in_thread

log = logging.getLogger(__name__)

KEEP_PARTIAL = 7 * 86_400  # seconds; a download nobody came back to in a week only takes up the card


class ModelStore:
    """Used by one process at a time, others look through `Installed`. Raises OSError when `root` is not writable."""

    def __init__(
        self,
        root: Path,
        catalogue: Catalogue | None = None,
        *,
        offline: bool = False,
        disk: Disk | None = None,
        source: Callable[[str], Source] = open_source,
        requantize: Requantize = derive.requantize,
    ) -> None:
        self._root = root
        self.catalogue = load_catalogue() if catalogue is None else catalogue
        self._installed = Installed(root, self.catalogue)
        self._offline = offline
        self._disk = disk or Disk()
        self.presets = Presets(root, self._disk)
        self._source = source
        self._receiver = Receiver(root, self._disk, requantize, self._installed.known, source)
        self._downloads: list[Download] = []  # changed by the event loop only; other threads read a copy
        self._changing = threading.Lock()  # manifests and the blobs they refer to change together
        (root / "models").mkdir(mode=0o700, parents=True, exist_ok=True)
        for kind in Kind:
            self._folder(kind).mkdir(mode=0o700, exist_ok=True)
        self._clean()

    def installed(self) -> list[InstalledModel]:
        """By name; those with a `problem` too."""
        return list(self._installed)

    def resolve(self, name: str) -> InstalledModel:
        """By name, catalogue alias or digest. Raises ModelNotFound, InvalidModel."""
        return self._installed.resolve(name)

    async def pull(self, ref: str, name: str | None = None) -> AsyncGenerator[PullProgress, None]:
        """Install a catalogue model or a source; the last line has the status "success". Errors are raised.

        Several pulls of the same share one download; closing the last one's iterator cancels it, and what has arrived
        is resumed by the next. Raises BadRequest, ModelNotFound, NotFound, SourceUnavailable, VerificationFailed,
        InvalidModel, DiskFull.
        """
        name, origins = self._plan(ref, name)
        blob: Blob | None = self._current(name, origins)
        if blob is None:
            download = self._join(name, origins)
            try:
                async with aclosing(download.shared.follow()) as lines:
                    async for line in lines:
                        yield line
                blob = await in_thread(self._install, name, download.shared.result())
            finally:
                await self._leave(download)
        yield PullProgress(status="success", digest=blob.digest, total=blob.size, completed=blob.size)

    def remove(self, name: str) -> None:
        """Forget a name, and its file if no other name has it. Raises ModelNotFound."""
        with self._changing, self._disk_trouble():
            found = self._installed.find(name)
            if found is None:
                raise ModelNotFound(self._installed.missing(name), param="model")
            if adapters := [each.name for each in self._installed if base_of(each.name) == found.name]:
                raise Conflict(f"{found.name} has adapters: remove {', '.join(adapters)} first.")
            others = [model.name for model in self._installed if model.digest == found.digest]
            if (presets := self.presets.of(found.digest)) and others == [found.name]:
                raise Conflict(f"{found.name} has presets: remove {', '.join(presets)} first.")
            path = manifest_path(self._root, found.name)
            path.unlink()
            sync_folder(path.parent)
            self._drop(*found.digests)

    def copy(self, name: str, new: str) -> None:
        """A second name for the same files, or the same preset. Raises ModelNotFound, BadRequest, Conflict."""
        if stored := self.presets.find(name):
            return self.preset(new, stored.preset)
        new = valid_name(new.removesuffix(":latest"))
        with self._changing, self._disk_trouble():
            model = self.resolve(name)  # not before: it might be removed meanwhile
            if model.adapter:
                raise BadRequest(f"{model.name} is an adapter, and adapters have the names they were pulled under")
            self._free(new)
            if self.presets.find(new):
                raise Conflict(f"{new} is the name of a preset: remove it first.")
            write_manifest(self._root, new, model.blob, self._disk)
        return None

    def preset(self, name: str, preset: Preset) -> None:
        """Raises BadRequest, Conflict when a model has the name, ModelNotFound when the preset's has gone."""
        with self._changing, self._disk_trouble():
            self._free(name)
            if self._installed.find(preset.model) is None:
                raise ModelNotFound(self._installed.missing(preset.parent or preset.model), param="model")
            self.presets.write(name, preset)

    def _free(self, name: str) -> None:
        if (found := self._installed.find(name)) or self.catalogue.find(name):
            raise Conflict(f"{found.name if found else name} is the name of a model: choose another, or remove it.")

    async def renew(self) -> None:
        """Once after an update: what an older version of the reader said of the files that are installed."""
        for model in self.installed():
            if model.reader < READER and not model.problem:
                try:
                    await in_thread(self._renew, model)
                except MongarsError as error:
                    log.warning("the entry of %s stays as an older version wrote it: %s", model.name, error.message)

    def _renew(self, model: InstalledModel) -> None:
        with self._disk_trouble():
            blob = renewed(model)
            with self._changing:
                if read_manifest(self._root, model.name) == model:  # not removed or replaced meanwhile
                    write_manifest(self._root, model.name, blob, self._disk)
                    os.utime(manifest_path(self._root, model.name), (model.modified, model.modified))

    async def close(self) -> None:
        """Cancel the pulls; what has arrived is kept. Idempotent."""
        for download in list(self._downloads):
            await download.shared.cancel()

    def _join(self, name: str, origins: tuple[Origin, ...]) -> Download:
        """The one under way, or a new one. Each call is followed by one of `_leave`."""
        same = (each for each in self._downloads if each.origins == origins and not each.shared.over)
        if (download := next(same, None)) is None:
            held: set[str] = set()
            hold = partial(self._hold, held)
            shared = Shared(f"models.pull.{name}", lambda report: self._receive(origins, report, hold))
            download = Download(origins, shared, held)
            self._downloads.append(download)
        download.pulls += 1
        return download

    async def _leave(self, download: Download) -> None:
        """The last one takes away what came and got no manifest, unless the next pull can go on from it."""
        download.pulls -= 1
        if download.pulls:
            return
        self._downloads.remove(download)
        if download.held and not download.shared.interrupted:
            await in_thread(self._release, download.held)

    def _release(self, held: set[str]) -> None:
        with self._changing, self._disk_trouble():
            self._drop(*held)

    async def _hold(self, held: set[str], *digests: str) -> bool:
        """Implements Hold."""

        def hold() -> bool:
            with self._changing:  # after a removal under way, or before it
                held.update(digests)
                return all(store_path(self._root, Kind.BLOB, digest).exists() for digest in digests)

        return await in_thread(hold)

    def _plan(self, ref: str, name: str | None) -> tuple[str, tuple[Origin, ...]]:
        """The name to install under, and where to get it, in order."""
        whole, own = "", name
        if is_reference(ref):
            if name is not None and ":" in name:
                whole, _, own = name.rpartition(":")
                if self._installed.find_model(whole) is None:
                    raise ModelNotFound(self._installed.missing(whole), param="name")
            source = self._source(ref)
            origins: tuple[Origin, ...] = (Origin(ref=source.ref, files=beside(source.ref)),)
            default = name_from_file(source.file) if own is None else ""
        elif entry := self.catalogue.find(ref):
            origins, default = entry.sources, entry.name
        else:
            raise ModelNotFound(
                f"{ref[:80]!r} is not in the catalogue ({', '.join(entry.name for entry in self.catalogue)}); "
                "other models are named by their source: hf:OWNER/REPO/FILE.gguf (or .onnx), pypi:… or file:….",
                param="ref",
            )
        own = valid_name(default if own is None else own)
        return f"{whole}:{own}" if whole else own, origins

    def _current(self, name: str, origins: tuple[Origin, ...]) -> Blob | None:
        """What is installed, if asking the source could not change it."""
        found = self._installed.find(name) if base_of(name) else read_manifest(self._root, name)
        if found is None or found.problem:
            return None
        for origin in origins:
            same = origin.ref == found.source and origin.requantize == found.derivation
            if same and (
                f"sha256:{origin.sha256}" == found.source_digest
                if origin.sha256
                else self._source(origin.ref).immutable
            ):
                return found.blob
        return None

    async def _receive(self, origins: tuple[Origin, ...], report: Report, hold: Hold) -> Blob:
        """Try the origins in order; only what another origin may do better leads to the next."""
        failures: list[MongarsError] = []
        for origin in origins:
            source = self._source(origin.ref)
            try:
                if self._offline and source.remote:
                    raise SourceUnavailable(f"models.offline is set: {source.ref} is not asked.")
                companions = [(part, self._source(part.ref)) for part in origin.files]
                with self._disk_trouble():
                    return await self._receiver.receive(origin, source, report, hold, companions)
            except (NotFound, SourceUnavailable, VerificationFailed, InvalidModel) as error:
                log.warning("cannot get a model from %s: %s", source.ref, error.message)
                failures.append(error)
        if len(failures) == 1:
            raise failures[0]
        raise SourceUnavailable("No source has it. " + " ".join(failure.message for failure in failures))

    def _install(self, name: str, blob: Blob) -> Blob:
        """What was written under the name. Raises BadRequest for an adapter that does not fit."""
        with self._changing, self._disk_trouble():
            name, blob = self._named(name, blob)
            before = read_manifest(self._root, name)
            write_manifest(self._root, name, blob, self._disk)
            if before is not None:
                if self._installed.find(before.digest) is None:
                    self.presets.move(before.digest, blob.digest)
                self._drop(*before.digests)
            self.presets.remove(name)  # a name means one thing
            return blob

    def _named(self, name: str, blob: Blob) -> tuple[str, Blob]:
        """The name as it is listed, and the blob with its base if it is an adapter. Raises BadRequest."""
        whole, own = base_of(name), name.rpartition(":")[2]
        if not blob.adapter:
            if whole:
                raise BadRequest("this file is a whole model, and only adapters are named MODEL:NAME", param="name")
            return name, structs.replace(blob, base="")
        if not whole:
            bases = [model for model in self._installed if not (model.adapter or model.problem)]
        elif base := self._installed.find_model(whole):
            bases = [base]
        else:
            raise ModelNotFound(self._installed.missing(whole), param="name")
        base = attach(store_path(self._root, Kind.BLOB, blob.digest), bases, own)
        full = f"{base.name}:{own}"
        if own == "latest" or DIGEST.fullmatch(full) or self.catalogue.find(full):
            raise BadRequest(f"{full} means something else: choose another name for the adapter", param="name")
        return full, structs.replace(blob, base=base.digest)

    @contextmanager
    def _disk_trouble(self) -> Iterator[None]:
        """A card that went read-only, a folder of another user, …: a sentence for who asked, not the daemon's end."""
        folder = self._root / "models"
        try:
            with self._disk.full_is_an_error(folder):
                yield
        except OSError as error:
            why = error.strerror or error
            raise MongarsError(f"The model store cannot change {error.filename or folder}: {why}.") from error

    def _drop(self, *digests: str) -> None:
        """Remove those blobs that no manifest refers to any more, and no download is about to."""
        used = {digest for model in self._installed for digest in model.digests}
        used.update(*(download.held for download in tuple(self._downloads)))
        for digest in digests:
            if DIGEST.fullmatch(digest) and digest not in used:
                store_path(self._root, Kind.BLOB, digest).unlink(missing_ok=True)

    def _clean(self) -> None:
        """Remove what a crash left behind. Nothing is judged while a manifest is unreadable: it might refer to it."""
        for path in self._folder(Kind.PARTIAL).iterdir():
            if path.suffix == ".scratch":
                shutil.rmtree(path, ignore_errors=True)
            elif path.suffix == ".part" and time.time() - path.stat().st_mtime > KEEP_PARTIAL:
                path.unlink()
        for path in self._folder(Kind.BLOB).glob(f"*{OPEN}"):
            shutil.rmtree(path, ignore_errors=True)
        for kind in (*MANIFESTS, Kind.PRESET):
            for path in self._folder(kind).glob("*.tmp"):
                path.unlink()
        models = self.installed()
        if all(model.digest for model in models):
            used = {path for model in models for path in (model.path, *model.paths.values())}
            for path in self._folder(Kind.BLOB).glob("sha256-*"):
                if path not in used:
                    log.warning("removing %s, which no model refers to", path.name)
                    path.unlink()

    def _folder(self, kind: Kind) -> Path:
        return self._root / "models" / kind.value[0]
