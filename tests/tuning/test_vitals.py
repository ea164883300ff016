from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mongarsd.tuning.profile import read_profile
from mongarsd.tuning.vitals import (
    Readings,
    Vitals,
    board_status,
    parse_load,
    parse_temperature,
    parse_throttled,
)


@pytest.mark.parametrize(("text", "degrees"), [("48199", 48.199), ("-5000", -5.0), ("0", 0.0)])
def test_temperature_ok(text: str, degrees: float) -> None:
    assert parse_temperature(text) == degrees


@pytest.mark.parametrize("text", [None, "", "hot", "-256000", "999000"])
def test_temperature_none(text: str | None) -> None:
    assert parse_temperature(text) is None


@pytest.mark.parametrize(
    ("text", "now", "before"),
    [
        ("0", "", ""),
        ("throttled=0x0", "", ""),
        ("50000", "", "the supply voltage is too low, throttled"),
        ("0x50005", "the supply voltage is too low, throttled", "the supply voltage is too low, throttled"),
        ("80008", "the soft temperature limit is reached", "the soft temperature limit is reached"),
        ("garbage", "", ""),
        (None, "", ""),
    ],
)
def test_throttled(text: str | None, now: str, before: str) -> None:
    assert parse_throttled(text) == (now, before)


def test_load() -> None:
    assert parse_load("0.94 0.61 0.40 2/410 5123") == 0.94
    for text in (None, "", "x", "nan", "-1", "inf"):
        assert parse_load(text) == 0.0


def test_hottest_zone_counts_and_a_constant_one_does_not(make_tree: Any) -> None:
    zone = "sys/class/thermal/thermal_zone"
    tree = make_tree(
        {
            f"{zone}0/type": "CPU-therm", f"{zone}0/temp": "47125",
            f"{zone}1/type": "GPU-therm", f"{zone}1/temp": "49500",
            f"{zone}2/type": "PMIC-Die", f"{zone}2/temp": "100000",
            f"{zone}3/type": "cv0-thermal", f"{zone}3/temp": "-256000",
        }
    )  # fmt: skip
    assert Vitals(tree.root).read().temperature == 49.5


def test_cooling_devices_that_slow_the_processor(make_tree: Any) -> None:
    device = "sys/class/thermal/cooling_device"
    tree = make_tree(
        {
            f"{device}0/type": "pwm-fan", f"{device}0/cur_state": "3",
            f"{device}1/type": "cpu-throttle-alert", f"{device}1/cur_state": "1",
            f"{device}2/type": "cpufreq-cpu0", f"{device}2/cur_state": "0",
        }
    )  # fmt: skip
    assert Vitals(tree.root).read().throttled == "slowed down by heat (cpu-throttle-alert)"


def test_low_voltage_on_a_kernel_without_get_throttled(make_tree: Any) -> None:
    tree = make_tree({"sys/class/hwmon/hwmon2/name": "rpi_volt", "sys/class/hwmon/hwmon2/in0_lcrit_alarm": "1"})
    assert Vitals(tree.root).read().throttled == "the supply voltage is too low"


def test_nothing_to_read(tmp_path: Path) -> None:
    assert Vitals(tmp_path).read() == Readings()


def test_available_memory_of_a_container(boards: Path) -> None:
    assert Vitals(boards / "container-cgroup-v2").read().memory_available == (1 << 30) - 125829120 + 62914560


def test_board_status(boards: Path) -> None:
    root = boards / "container-cgroup-v1"
    status = board_status(read_profile(root), Vitals(root).read())
    assert status.name == "Raspberry Pi 4 Model B Rev 1.5 (container)"
    assert (status.cores, status.memory_total, status.temperature) == (4, 536870912, 45.277)


def test_a_reading_is_cheap(boards: Path) -> None:
    vitals = Vitals(boards / "jetson-orin-nano")
    fastest = 1.0
    for _ in range(20):  # processor time, and the best of some: other processes share the cores (it takes 0.5 ms)
        start = time.thread_time()
        vitals.read()
        fastest = min(fastest, time.thread_time() - start)
    assert fastest < 0.01


@given(st.text())
def test_parsers_never_raise(text: str) -> None:
    parse_temperature(text), parse_throttled(text), parse_load(text)
