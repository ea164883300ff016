"""`status` answers within 0.4 s, the interpreter's start included: what it does not import is why."""

from __future__ import annotations

import subprocess
import sys
import time

from fakes.control_daemon import FakeDaemon

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


def test_status_answers_within_400_ms(daemon: FakeDaemon) -> None:
    command = [sys.executable, "-c", "from mongarsd.ctl.main import main; main()"]
    command += ["status", "--socket", str(daemon._server.server_address)]
    taken = [9.9]
    while min(taken) > 0.4 and len(taken) < 10:  # the best of a few: other programs share the machine
        begin = time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        taken.append(time.perf_counter() - begin)
    assert min(taken) < 0.4
