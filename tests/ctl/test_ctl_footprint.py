"""`status` takes 0.2 s of a processor, the interpreter's start included: what it does not import is why."""

from __future__ import annotations

import resource
import subprocess
import sys

from fakes.control_daemon import FakeDaemon

MOST = 10.0  # times what the bare interpreter takes; measured: 5 to 7
HEAVY = (
    "aiohttp",
    "asyncio",
    "mongarsd.daemon",
    "mongarsd.api",
    "mongarsd.inference",
    "mongarsd.tuning",
    "rich",
    "pydantic",
    "psutil",
)
CODE = """
import sys
from mongarsd.ctl.main import main
try:
    main()
finally:
    print(*sorted(sys.modules), file=sys.stderr)
"""


def test_status_imports_nothing_heavy(daemon: FakeDaemon) -> None:
    command = [sys.executable, "-c", CODE, "status", "--json", "--socket", str(daemon._server.server_address)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    modules = done.stderr.split()
    assert "mongarsd.ctl.status" in modules
    assert [name for name in modules if any(name == heavy or name.startswith(heavy + ".") for heavy in HEAVY)] == []


def test_status_takes_ten_times_as_long_as_no_program_at_all(daemon: FakeDaemon) -> None:
    """Of a processor: what that is in seconds depends on the machine and on what else it computes."""
    command = ["-c", "from mongarsd.ctl.main import main; main()", "status"]
    command += ["--socket", str(daemon._server.server_address)]
    taken = [99.9]
    while min(taken) > MOST and len(taken) < 5:  # other programs share its caches
        taken.append(processor_time(*command) / processor_time("-c", ""))
    assert min(taken) <= MOST


def processor_time(*arguments: str) -> float:
    """Seconds that an interpreter takes, from its start to its end."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
