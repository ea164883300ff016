from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mongarsd.tuning.pressure import PressureSensor, parse_count, parse_psi

PSI = """some avg10=12.34 avg60=1.00 avg300=0.00 total=5
full avg10=3.21 avg60=0.00 avg300=0.00 total=1
"""


def test_a_pressure_file() -> None:
    assert parse_psi(PSI) == (12.34, 3.21)
    assert parse_psi("some avg10=0.50 avg60=0 total=0") == (0.5, 0.0)  # CPU pressure of old kernels has no full
    assert parse_psi(None) == (0.0, 0.0)
    assert parse_psi("some avg10=1e9\nfull avg10=²") == (0.0, 0.0)


@given(st.text())
def test_garbage_is_no_error(text: str) -> None:
    some, full = parse_psi(text)
    assert 0.0 <= some <= 100.0
    assert 0.0 <= full <= 100.0
    parse_count(text, "oom_kill")


def board(root: Path, files: dict[str, str]) -> PressureSensor:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return PressureSensor(root)


V2 = {
    "proc/self/cgroup": "0::/system.slice/mongarsd.service",
    "proc/self/mountinfo": "30 1 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw",
    "proc/meminfo": "MemTotal: 1000 kB\nMemAvailable: 400 kB",
    "proc/pressure/memory": PSI,
    "proc/vmstat": "oom_kill 7",
}
GROUP = "sys/fs/cgroup/system.slice/mongarsd.service"


def test_the_own_group_tells(tmp_path: Path) -> None:
    files = {
        f"{GROUP}/memory.events": "low 0\noom 1\noom_kill 1",
        f"{GROUP}/memory.pressure": "some avg10=50.00 total=1",
    }
    sensor = board(tmp_path, {**V2, **files})
    pressure = sensor.read()
    assert (pressure.available, pressure.some, pressure.full, pressure.own) == (400 * 1024, 12.34, 3.21, 50.0)
    assert sensor.oom_kills() == 1
    (tmp_path / GROUP / "memory.events").write_text("oom_kill 2")
    assert sensor.oom_kills() == 2


def test_without_a_group_the_machine_tells(tmp_path: Path) -> None:
    assert board(tmp_path, V2).oom_kills() == 7


def test_version_1_groups(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "4:memory:/box",
        "proc/self/mountinfo": "30 1 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory",
        "sys/fs/cgroup/memory/box/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3",
    }
    assert board(tmp_path, files).oom_kills() == 3


def test_a_kernel_that_says_nothing(tmp_path: Path) -> None:
    sensor = PressureSensor(tmp_path)
    assert sensor.read().available is None
    assert sensor.oom_kills() == 0


def test_this_machine() -> None:
    sensor = PressureSensor()
    assert (sensor.read().available or 0) > 0
    assert sensor.oom_kills() >= 0
