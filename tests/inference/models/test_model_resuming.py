"""A pull that ended early: the next goes on from what arrived, if that can be trusted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from fakes.model_store import BODY, REF, Scene, pull

from mongarsd.ground.errors import (
    SourceUnavailable,
    VerificationFailed,
)

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
        child.wait(timeout=30)


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
