from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import pytest
from fakes.gguf_files import U32, build_gguf, llama_values
from fakes.model_source import FakeSource

from mongarsd.ground.errors import (
    BadRequest,
    DiskFull,
    InvalidModel,
    ModelNotFound,
    MongarsError,
    NotFound,
    SourceUnavailable,
    VerificationFailed,
)
from mongarsd.ground.status import PullProgress
from mongarsd.inference.models.catalogue import Catalogue, CatalogueEntry, Origin
from mongarsd.inference.models.disk import Disk
from mongarsd.inference.models.gguf import GgufHeader, read_header
from mongarsd.inference.models.partial import Report
from mongarsd.inference.models.store import ModelStore

PULL_AND_HANG = """
import asyncio, sys, time
from pathlib import Path

sys.path.insert(0, "{tests}")
from fakes.gguf_files import build_gguf
from fakes.model_source import FakeSource
from mongarsd.inference.models.catalogue import Catalogue
from mongarsd.inference.models.store import ModelStore


class Hangs(FakeSource):
    async def fetch(self, offer, sink):
        await sink.begin(offer.size)
        await sink.write(self.body[:512])
        await sink.flush()
        print("half", flush=True)
        time.sleep(60)


async def main():
    store = ModelStore(Path(sys.argv[1]), Catalogue([]), source=lambda ref: Hangs(build_gguf()))
    async for _ in store.pull("hf:org/repo/model.gguf"):
        pass


asyncio.run(main())
"""

BODY = build_gguf()
SHA256 = hashlib.sha256(BODY).hexdigest()
SMALLER = build_gguf(llama_values(general__file_type=(U32, 7)))  # what the fake requantization gives
REF, SECOND = "hf:org/repo/model.gguf", "hf:org/repo/second.gguf"


class Plenty(Disk):
    def free(self, path: Path) -> int:
        return 10**12


class Filling(Plenty):
    """The disk becomes full after so many bytes."""

    def __init__(self, room: int) -> None:
        self.room = room

    def write(self, file: int, data: bytes | memoryview) -> int:
        if self.room <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = os.write(file, bytes(data)[: self.room])
        self.room -= written
        return written


def convert(source: Path, target: Path) -> None:
    assert source.read_bytes() == BODY
    target.write_bytes(SMALLER)


class Scene:
    """A store over sources in memory, and what a test asks of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.sources: dict[str, FakeSource] = {REF: FakeSource(BODY)}
        self.requantized = 0
        self.interrupt: BaseException | None = None
        self.entries: list[CatalogueEntry] = []

    def store(self, disk: Disk | None = None, *, offline: bool = False) -> ModelStore:
        return ModelStore(
            self.root,
            Catalogue(self.entries),
            offline=offline,
            disk=disk or Plenty(),
            source=self.sources.__getitem__,
            requantize=self.requantize,
        )

    def knows(self, *origins: Origin, name: str = "tiny", aliases: tuple[str, ...] = ("tiny:1b",)) -> None:
        self.entries.append(
            CatalogueEntry(
                name=name, title="", parameters=1, licence="MIT", context=1, ram=1, sources=origins, aliases=aliases
            )
        )

    async def requantize(self, source: Path, target: Path, kind: str, disk: Disk, report: Report) -> GgufHeader:
        self.requantized += 1
        convert(source, target)
        if self.interrupt:
            raise self.interrupt
        return read_header(target)

    def files(self, folder: str) -> list[Path]:
        return sorted((self.root / "models" / folder).iterdir())


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path / "state")


async def pull(store: ModelStore, ref: str = REF, name: str | None = None) -> list[PullProgress]:
    return [line async for line in store.pull(ref, name)]


async def test_pull_a_source(scene: Scene) -> None:
    store = scene.store()
    lines = await pull(store)
    assert lines[-1] == PullProgress(status="success", digest=f"sha256:{SHA256}", total=len(BODY), completed=len(BODY))
    assert any(line.status == "downloading" and line.total == len(BODY) for line in lines)
    model = store.resolve("model")
    assert (model.name, model.digest, model.size, model.source) == ("model", f"sha256:{SHA256}", len(BODY), REF)
    assert (model.architecture, model.quantization, model.licence, model.layers) == ("llama", "Q4_0", "mit", 2)
    assert model.path.read_bytes() == BODY
    assert store.resolve(model.digest) == model
    assert store.installed() == [model]
    assert scene.files("partial") == []


async def test_everything_is_private(scene: Scene) -> None:
    await pull(scene.store())
    for path in (scene.root / "models").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    assert stat.S_IMODE((scene.root / "models").stat().st_mode) == 0o700


async def test_own_name(scene: Scene) -> None:
    store = scene.store()
    await pull(store, name="Mine")
    assert [model.name for model in store.installed()] == ["Mine"]


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".", "x" * 65, "a\0b"])
async def test_bad_name(scene: Scene, name: str) -> None:
    store = scene.store()
    with pytest.raises(BadRequest):
        await pull(store, name=name)
    with pytest.raises(ModelNotFound):
        store.resolve(name)
    with pytest.raises(ModelNotFound):
        store.remove(name)
    assert scene.sources[REF].offers == 0


async def test_unknown_name_lists_what_there_is(scene: Scene) -> None:
    scene.knows(Origin(ref=REF))
    with pytest.raises(ModelNotFound, match=r"not in the catalogue \(tiny\)"):
        await pull(scene.store(), "gpt-17")
    with pytest.raises(ModelNotFound, match="known but not installed: pull it first"):
        scene.store().resolve("tiny:1b")
    with pytest.raises(ModelNotFound, match="installed: none"):
        scene.store().resolve("gpt-17")


async def test_catalogue_name_and_alias(scene: Scene) -> None:
    scene.knows(Origin(ref=REF, sha256=SHA256))
    store = scene.store()
    await pull(store, "tiny:1b")
    assert store.resolve("tiny").name == store.resolve("TINY:1b").name == store.resolve("tiny:latest").name == "tiny"


async def test_pinned_model_is_skipped_the_next_time(scene: Scene) -> None:
    scene.knows(Origin(ref=REF, sha256=SHA256, requantize="Q8_0"))
    await pull(scene.store(), "tiny")
    lines = await pull(scene.store(offline=True), "tiny")
    assert [line.status for line in lines] == ["success"]
    assert (scene.sources[REF].offers, scene.requantized) == (1, 1)


async def test_moving_source_is_asked_again_but_not_fetched_again(scene: Scene) -> None:
    scene.knows(Origin(ref=REF, requantize="Q8_0"))
    store = scene.store()
    await pull(store, "tiny")
    await pull(store, "tiny")
    assert (scene.sources[REF].offers, scene.sources[REF].sent, scene.requantized) == (2, len(BODY), 1)


async def test_new_version_replaces_the_old_file(scene: Scene) -> None:
    store = scene.store()
    await pull(store)
    scene.sources[REF] = FakeSource(SMALLER)
    await pull(store)
    assert store.resolve("model").quantization == "Q8_0"
    assert len(scene.files("blobs")) == 1


async def test_derived_model(scene: Scene) -> None:
    scene.knows(Origin(ref=REF, sha256=SHA256, requantize="Q8_0"))
    store = scene.store()
    await pull(store, "tiny")
    model = store.resolve("tiny")
    assert (model.derivation, model.source_digest) == ("Q8_0", f"sha256:{SHA256}")
    assert model.digest == f"sha256:{hashlib.sha256(SMALLER).hexdigest()}"
    assert scene.files("blobs") == [model.path]  # the source file is gone
    assert scene.files("partial") == []


@pytest.mark.parametrize("error", [InvalidModel("no"), DiskFull("full")])
async def test_failed_requantization_leaves_nothing(scene: Scene, error: Exception) -> None:
    scene.knows(Origin(ref=REF, sha256=SHA256, requantize="Q8_0"))
    scene.interrupt = error
    with pytest.raises(type(error)):
        await pull(scene.store(), "tiny")
    assert scene.files("blobs") == scene.files("manifests") == scene.files("partial") == []


async def test_interrupted_requantization_does_not_download_again(scene: Scene) -> None:
    scene.knows(Origin(ref=REF, sha256=SHA256, requantize="Q8_0"))
    scene.sources[REF].resumable = False
    scene.interrupt = asyncio.CancelledError()
    with pytest.raises(SourceUnavailable, match="stopped"):
        await pull(scene.store(), "tiny")
    scene.interrupt = None
    await pull(scene.store(), "tiny")
    assert scene.sources[REF].sent == len(BODY)
    assert scene.store().resolve("tiny").derivation == "Q8_0"


async def test_wrong_bytes_are_thrown_away(scene: Scene) -> None:
    scene.knows(Origin(ref=REF, sha256="0" * 64))
    scene.sources[REF].states_hash = False
    with pytest.raises(VerificationFailed, match="thrown away"):
        await pull(scene.store(), "tiny")
    assert scene.files("blobs") == scene.files("manifests") == scene.files("partial") == []


async def test_another_hash_than_the_catalogues_is_refused_before_the_download(scene: Scene) -> None:
    scene.knows(Origin(ref=REF, sha256="0" * 64))
    with pytest.raises(VerificationFailed, match="not the file the catalogue knows"):
        await pull(scene.store(), "tiny")
    assert scene.sources[REF].sent == 0


@pytest.mark.parametrize("body", [b"<html>" + bytes(500), BODY[:300], BODY[:-100]])
async def test_what_is_no_model_never_becomes_one(scene: Scene, body: bytes) -> None:
    scene.sources[REF] = FakeSource(body)
    with pytest.raises(InvalidModel):
        await pull(scene.store())
    assert scene.files("blobs") == scene.files("manifests") == scene.files("partial") == []


async def test_next_origin_when_one_fails(scene: Scene) -> None:
    scene.knows(Origin(ref=REF), Origin(ref=SECOND))
    scene.sources[REF].error = SourceUnavailable("down")
    scene.sources[SECOND] = FakeSource(BODY, ref=SECOND)
    store = scene.store()
    await pull(store, "tiny")
    assert store.resolve("tiny").source == SECOND


async def test_all_origins_fail(scene: Scene) -> None:
    scene.knows(Origin(ref=REF), Origin(ref=SECOND))
    scene.sources[REF].error = SourceUnavailable("It is down.")
    scene.sources[SECOND] = FakeSource(BODY, ref=SECOND, error=NotFound("It is gone."))
    with pytest.raises(SourceUnavailable, match=r"No source has it. It is down. It is gone."):
        await pull(scene.store(), "tiny")


async def test_offline(scene: Scene) -> None:
    with pytest.raises(SourceUnavailable, match="offline"):
        await pull(scene.store(offline=True))
    assert scene.sources[REF].offers == 0
    scene.sources[REF].remote = False
    await pull(scene.store(offline=True))


async def test_resumes_after_a_restart(scene: Scene) -> None:
    scene.sources[REF].breaks = [(512, SourceUnavailable("gone"))]
    with pytest.raises(SourceUnavailable):
        await pull(scene.store(), name="mine")
    await pull(scene.store(), name="mine")
    assert scene.store().resolve("mine").path.read_bytes() == BODY
    assert scene.sources[REF].sent == len(BODY)


def kill_half_way(script: Path, root: Path) -> None:
    child = subprocess.Popen([sys.executable, str(script), str(root)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    with child.stdout:
        assert child.stdout.readline() == b"half\n"
        child.kill()
        child.wait(timeout=10)


async def test_killed_in_the_middle(scene: Scene, tmp_path: Path) -> None:
    """A process that dies by SIGKILL leaves only a partial file; the next one goes on from it."""
    script = tmp_path / "pull.py"
    script.write_text(PULL_AND_HANG.format(tests=Path(__file__).parents[2]))
    kill_half_way(script, scene.root)
    store = scene.store()
    assert (store.installed(), scene.files("blobs"), scene.files("manifests")) == ([], [], [])
    assert [path.suffix for path in scene.files("partial")] == [".part"]  # the scratch folder is gone
    await pull(store)
    assert store.resolve("model").path.read_bytes() == BODY
    assert scene.sources[REF].sent == len(BODY) - 512


async def test_what_cannot_be_resumed_is_not_kept(scene: Scene) -> None:
    scene.sources[REF].resumable = False
    scene.sources[REF].breaks = [(512, SourceUnavailable("gone"))]
    with pytest.raises(SourceUnavailable):
        await pull(scene.store())
    assert scene.files("partial") == []


async def test_damaged_partial_is_found_out(scene: Scene) -> None:
    scene.sources[REF].breaks = [(512, SourceUnavailable("gone"))]
    with pytest.raises(SourceUnavailable):
        await pull(scene.store())
    (part,) = scene.files("partial")
    part.write_bytes(b"x" * part.stat().st_size)
    with pytest.raises(VerificationFailed):
        await pull(scene.store())
    await pull(scene.store())
    assert scene.store().resolve("model").path.read_bytes() == BODY


async def test_too_long_partial_starts_again(scene: Scene) -> None:
    scene.sources[REF].breaks = [(512, SourceUnavailable("gone"))]
    with pytest.raises(SourceUnavailable):
        await pull(scene.store())
    (part,) = scene.files("partial")
    part.write_bytes(bytes(len(BODY) + 1))
    await pull(scene.store())


async def test_source_that_sends_too_much(scene: Scene) -> None:
    class Liar(FakeSource):
        async def offer(self) -> object:  # type: ignore[override]
            offer = await super().offer()
            return type(offer)(identity="x", size=100)

    scene.sources[REF] = Liar(BODY)
    with pytest.raises(VerificationFailed, match="more than the 100 bytes"):
        await pull(scene.store())
    assert scene.files("partial") == []


async def test_no_space_is_said_before_the_download(scene: Scene) -> None:
    class Small(Disk):
        def free(self, path: Path) -> int:
            return len(BODY)

    with pytest.raises(DiskFull, match="MB are needed") as caught:
        await pull(scene.store(Small()))
    assert caught.value.detail == {"need": int(len(BODY) * 1.05), "have": len(BODY)}
    assert scene.sources[REF].sent == 0
    assert scene.files("partial") == []


async def test_requantization_needs_room_for_two(scene: Scene) -> None:
    class Small(Disk):
        def free(self, path: Path) -> int:
            return len(BODY) * 2

    scene.knows(Origin(ref=REF, requantize="Q8_0"))
    with pytest.raises(DiskFull):
        await pull(scene.store(Small()), "tiny")
    assert scene.sources[REF].sent == 0


@pytest.mark.parametrize("room", [0, 100, len(BODY), len(BODY) + 10])
async def test_disk_full_in_the_middle_leaves_nothing(scene: Scene, room: int) -> None:
    with pytest.raises(DiskFull):
        await pull(scene.store(Filling(room)))
    assert scene.files("manifests") == scene.files("partial") == []
    assert scene.store().installed() == []
    assert scene.files("blobs") == []


async def wait_until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 (what is waited for is a fake's plain attribute)
            await asyncio.sleep(0)


@pytest.mark.parametrize("kind", ["partial", "blobs", "manifests"])
async def test_a_disk_that_refuses_is_told_in_a_sentence(
    scene: Scene, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(at: str) -> None:
        if f"models/{kind}" in at:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), at)

    store = scene.store()
    mkdir, rename = Path.mkdir, Path.rename

    def make(path: Path, mode: int = 0o777) -> None:
        refuses(str(path))
        mkdir(path, mode)

    def move(path: Path, target: Path) -> Path:
        refuses(str(target))
        return rename(path, target)

    monkeypatch.setattr(Path, "mkdir", make)
    monkeypatch.setattr(Path, "rename", move)
    with pytest.raises(MongarsError, match=f"models/{kind}.*: Read-only file system"):
        await pull(store)
    assert store.installed() == []


async def test_pulls_of_the_same_share_one_download(scene: Scene) -> None:
    scene.sources[REF].gate = asyncio.Event()
    store = scene.store()
    tasks = [asyncio.create_task(pull(store, name=f"m{n % 3}")) for n in range(6)]
    await wait_until(lambda: scene.sources[REF].sent > 0)
    scene.sources[REF].gate.set()
    results = await asyncio.gather(*tasks)
    assert all(lines[-1].status == "success" for lines in results)
    assert [model.name for model in store.installed()] == ["m0", "m1", "m2"]
    assert (scene.sources[REF].offers, scene.sources[REF].sent) == (1, len(BODY))
    assert len(scene.files("blobs")) == 1


async def test_one_leaves_and_the_others_go_on(scene: Scene) -> None:
    scene.sources[REF].gate = asyncio.Event()
    store = scene.store()
    stays, leaves = asyncio.create_task(pull(store)), asyncio.create_task(pull(store))
    await wait_until(lambda: scene.sources[REF].sent > 0)
    leaves.cancel()
    await asyncio.wait([leaves])
    scene.sources[REF].gate.set()
    assert (await stays)[-1].status == "success"


async def test_the_last_one_leaves_and_the_next_resumes(scene: Scene) -> None:
    gate = scene.sources[REF].gate = asyncio.Event()
    store = scene.store()
    async with aclosing(store.pull(REF)) as lines:
        async for _ in lines:
            if scene.sources[REF].sent:
                break
    await wait_until(lambda: not any(task.get_name().startswith("models.") for task in asyncio.all_tasks()))
    gate.set()
    await pull(store)
    assert scene.sources[REF].sent >= len(BODY)
    assert store.resolve("model").path.read_bytes() == BODY


async def test_failure_reaches_everybody_and_is_not_remembered(scene: Scene) -> None:
    scene.sources[REF].error = SourceUnavailable("down")
    store = scene.store()
    results = await asyncio.gather(pull(store), pull(store), return_exceptions=True)
    assert all(isinstance(result, SourceUnavailable) for result in results)
    scene.sources[REF].error = None
    await pull(store)


async def test_close_cancels_and_keeps_what_arrived(scene: Scene) -> None:
    scene.sources[REF].gate = asyncio.Event()
    store = scene.store()
    task = asyncio.create_task(pull(store))
    await wait_until(lambda: scene.sources[REF].sent > 0)
    await store.close()
    await store.close()
    with pytest.raises(SourceUnavailable, match="what has arrived is kept"):
        await task
    assert [path.suffix for path in scene.files("partial")] == [".part"]


async def test_remove(scene: Scene) -> None:
    store = scene.store()
    await pull(store, name="one")
    await pull(store, name="two")
    store.remove("one")
    assert store.resolve("two").path.exists()
    store.remove("two")
    assert store.installed() == scene.files("blobs") == []
    with pytest.raises(ModelNotFound):
        store.remove("two")


async def test_remove_by_digest_and_alias(scene: Scene) -> None:
    scene.knows(Origin(ref=REF))
    store = scene.store()
    await pull(store, "tiny")
    store.remove("tiny:1b")
    await pull(store, "tiny")
    store.remove(f"sha256:{SHA256}")
    assert store.installed() == []


@pytest.mark.parametrize("fault", ["missing", "short"])
async def test_broken_blob_is_reported_and_the_rest_works(scene: Scene, fault: str) -> None:
    scene.sources[SECOND] = FakeSource(SMALLER, ref=SECOND)
    store = scene.store()
    await pull(store, name="good")
    await pull(store, SECOND, name="bad")
    path = store.resolve("bad").path
    path.unlink() if fault == "missing" else path.write_bytes(b"GGUF")
    store = scene.store()
    assert [(model.name, bool(model.problem)) for model in store.installed()] == [("bad", True), ("good", False)]
    with pytest.raises(InvalidModel, match="pull it again"):
        store.resolve("bad")
    assert store.resolve("good").path.exists()
    await pull(store, SECOND, name="bad")
    assert store.resolve("bad").path.read_bytes() == SMALLER


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"digest":"../../etc/passwd"}', b"\xff", b"x" * 100_000])
async def test_damaged_manifest_is_reported_and_nothing_is_deleted(scene: Scene, text: bytes) -> None:
    await pull(scene.store())
    (manifest,) = scene.files("manifests")
    manifest.write_bytes(text)
    store = scene.store()
    assert "damaged" in store.installed()[0].problem
    assert len(scene.files("blobs")) == 1
    with pytest.raises(InvalidModel, match="damaged"):
        store.resolve("model")
    store.remove("model")
    assert store.installed() == []


async def test_start_removes_what_a_crash_left(scene: Scene) -> None:
    await pull(scene.store())
    models = scene.root / "models"
    orphan = models / "blobs" / f"sha256-{'0' * 64}"
    old, young = models / "partial" / f"{'1' * 64}.part", models / "partial" / f"{'2' * 64}.part"
    for path in (orphan, old, young, models / "manifests" / "x.json.tmp"):
        path.write_bytes(b"x")
    os.utime(old, (0, 0))
    (models / "partial" / f"{'3' * 64}.scratch").mkdir()
    (models / "blobs" / "README").write_bytes(b"not ours")
    store = scene.store()
    assert store.resolve("model").path.exists()
    assert scene.files("partial") == [young]
    assert not orphan.exists()
    assert (models / "blobs" / "README").exists()
    assert len(scene.files("manifests")) == 1
