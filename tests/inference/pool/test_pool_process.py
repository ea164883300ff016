from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.pool import alive, open_descriptors, until

from mongarsd.inference.pool.process import COMMAND, WorkerProcess, resident_memory
from mongarsd.inference.worker.protocol import FromWorker

DAEMON = """
import asyncio, sys
sys.path.insert(0, sys.argv[1])
from fakes.pool import plan, resolve, worker_command
from mongarsd.ground.clock import SystemClock
from mongarsd.ground.metrics import Metrics
from mongarsd.inference.pool.plan import PoolSettings
from mongarsd.inference.pool.pool import Pool

async def main():
    pool = Pool(node="n", resolve=resolve, plan=plan, settings=PoolSettings(memory_budget=1000), clock=SystemClock(),
                metrics=Metrics(), command=worker_command())
    await pool.start()
    await pool.load("one")
    print(pool.status()[0].pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def child(code: str) -> list[str]:
    return [sys.executable, "-P", "-c", f"import os, signal, sys\nfd = int(sys.argv[1])\n{code}"]


def ignore(message: FromWorker) -> None:
    pass


@pytest.mark.parametrize(
    ("code", "end"),
    [
        ("sys.exit(3)", "exited with code 3"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "was killed by SIGSEGV"),
        ("os.close(fd); signal.pause()", "was killed by SIGKILL"),  # closed its pipe: of no use
        ("os.fork() and os._exit(0); signal.alarm(60); signal.pause()", "exited with code 0"),  # a child holds the pipe
    ],
)
async def test_how_it_ended(code: str, end: str) -> None:
    worker = await WorkerProcess.spawn(child(code), ignore)
    assert await asyncio.wait_for(worker.ended, 20) == end
    worker.kill()  # harmless


async def test_a_kill_that_comes_late_changes_nothing_of_how_it_ended() -> None:
    for _ in range(8):
        worker = await WorkerProcess.spawn(child("sys.exit(3)"), ignore)
        with contextlib.suppress(ChildProcessError):  # the thread that waits for it was faster
            os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222 - asyncio shall not know yet
        worker.kill()
        assert await worker.ended == "exited with code 3"


async def test_output_is_kept_in_bounds() -> None:
    worker = await WorkerProcess.spawn(child("for i in range(99): print(i, 'x' * 2000)\nprint('a\\x1b[1mb')"), ignore)
    await worker.ended
    assert len(worker.tail) == 20
    assert worker.tail[-1] == "a [1mb"
    assert worker.tail[-2].startswith("98 x")
    assert len(worker.tail[-2]) == 500


async def test_the_environment_carries_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("PLAIN", "plain")
    worker = await WorkerProcess.spawn(child("print(os.getenv('HF_TOKEN'), os.getenv('PLAIN'))"), ignore)
    await worker.ended
    assert list(worker.tail) == ["None plain"]


async def test_a_failed_spawn_leaves_nothing() -> None:
    before = open_descriptors()
    with pytest.raises(FileNotFoundError):
        await WorkerProcess.spawn(["/nonexistent"], ignore)
    await asyncio.sleep(0)
    assert not open_descriptors() - before


async def test_the_worker_dies_with_the_daemon() -> None:
    tests = str(Path(__file__).parents[2])
    with subprocess.Popen([sys.executable, "-c", DAEMON, tests], stdout=subprocess.PIPE) as daemon:  # noqa: ASYNC220
        assert daemon.stdout is not None
        pid = int(daemon.stdout.readline())
        assert alive(pid)
        daemon.kill()
    await until(lambda: not alive(pid))


def test_resident_memory_of_nobody() -> None:
    assert resident_memory(2**22 + 1) == 0


def test_the_pool_imports_nothing_heavy() -> None:
    heavy = "numpy jinja2 llama_cpp prometheus_client psutil aiohttp typer rich".split()
    code = f"import sys, mongarsd.inference.pool.pool\nprint([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_default_command_is_the_worker() -> None:
    assert COMMAND[-1] == "mongarsd.inference.worker"
