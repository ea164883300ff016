from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.gguf_files import F32, U32, Weights, build_gguf, llama_values

from mongarsd.ground.errors import DiskFull, InvalidModel
from mongarsd.ground.status import PullProgress
from mongarsd.inference.models import derive
from mongarsd.inference.models.disk import Disk
from mongarsd.inference.models.gguf import read_header

PYTHON = (sys.executable, "-c")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.gguf"
    path.write_bytes(build_gguf())
    return path


async def run(source: Path, kind: str = "Q4_0", disk: Disk | None = None) -> list[PullProgress]:
    lines: list[PullProgress] = []
    await derive.requantize(source, source.with_name("out.gguf"), kind, disk or Disk(), lines.append)
    return lines


async def test_success(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        derive, "COMMAND", (*PYTHON, "import shutil, sys; assert sys.argv[3] == 'Q4_0'; shutil.copy(*sys.argv[1:3])")
    )
    lines = await run(source)
    assert lines[0] == PullProgress(status="requantizing to Q4_0", completed=0, total=144)


async def test_other_model_is_refused(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(derive, "COMMAND", (*PYTHON, "import shutil, sys; shutil.copy(*sys.argv[1:3])"))
    with pytest.raises(InvalidModel, match="different model"):
        await run(source, "Q8_0")


async def test_crash_is_told(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(derive, "COMMAND", (*PYTHON, "import os; os.kill(os.getpid(), 11)"))
    with pytest.raises(InvalidModel, match=f"signal {signal.SIGSEGV.value}"):
        await run(source)


async def test_full_disk_is_told(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Filling(Disk):
        left = 10**9

        def free(self, path: Path) -> int:
            self.left, before = 1000, self.left
            return before

    monkeypatch.setattr(derive, "COMMAND", (*PYTHON, "raise SystemExit('basic_ios::clear: iostream error')"))
    with pytest.raises(DiskFull):
        await run(source, disk=Filling())


async def test_native_library_requantizes(tmp_path: Path) -> None:
    """The real child, on the smallest llama that llama.cpp takes for one."""
    values = llama_values(
        llama__attention__layer_norm_rms_epsilon=(F32, 1e-5),
        llama__feed_forward_length=(U32, 64),
        llama__rope__dimension_count=(U32, 16),
    )
    path = tmp_path / "source.gguf"
    path.write_bytes(build_gguf(values, [Weights("token_embd.weight"), Weights("blk.0.ffn_up.weight")]))
    await run(path, "Q8_0")
    out = path.with_name("out.gguf")
    assert (read_header(out).quantization, out.stat().st_mode & 0o777) == ("Q8_0", 0o600)


async def test_native_library_refuses_what_it_does_not_like(source: Path) -> None:
    """The real child: the header is sound, but a llama needs more keys than this file has."""
    with pytest.raises(InvalidModel, match=r"could not be requantized to Q4_0 \(exit code 1\)"):
        await run(source)


def test_child_dies_with_its_parent(tmp_path: Path) -> None:
    script = (
        "import threading, time\nfrom mongarsd.inference.models import requantize\n"
        "threading.Thread(target=requantize._die_with_parent, daemon=True).start()\n"
        "print('up', flush=True)\ntime.sleep(60)"
    )
    child = subprocess.Popen([*PYTHON, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path)
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stdout.readline() == b"up\n"
    child.stdin.close()
    assert child.wait(timeout=30) == 1
    child.stdout.close()


@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["a", "b", "Q4_1"], ["a", "b", "Q4_0; rm"]])
def test_bad_arguments(arguments: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "mongarsd.inference.models.requantize", *arguments]
    done = subprocess.run(command, capture_output=True, cwd=tmp_path, env=dict(os.environ), check=False)
    assert done.returncode == 1
    assert b"usage" in done.stderr


def test_importing_does_not_load_the_native_library() -> None:
    heavy = ("llama_cpp", "numpy", "jinja2", "huggingface_hub", "rich")
    script = f"import sys, mongarsd.inference.models.store; print([m for m in sys.modules if m in {heavy}])"
    done = subprocess.run([*PYTHON, script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
