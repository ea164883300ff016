from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mongarsd.tuning.board import (
    MAX_LABEL,
    Family,
    Surroundings,
    identify,
    label,
    parse_compatible,
    parse_power_mode,
    parse_release,
    read_board,
)
from mongarsd.tuning.cpu import CpuInfo

CONF = (
    "< POWER_MODEL ID=0 NAME=15W >\nCPU_ONLINE CORE_0 1\n< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n< PM_CONFIG DEFAULT=0 >"
)


@pytest.mark.parametrize(
    ("model", "compatible", "chip"),
    [
        ("Raspberry Pi 5 Model B Rev 1.0", ("raspberrypi,5-model-b", "brcm,bcm2712"), "BCM2712"),
        ("Raspberry Pi 500 Rev 1.0", (), "BCM2712"),
        ("Raspberry Pi Compute Module 5 Rev 1.0", (), "BCM2712"),
        ("Raspberry Pi 400 Rev 1.0", (), "BCM2711"),
        ("Raspberry Pi Compute Module 4 Rev 1.1", ("raspberrypi,4-compute-module", "brcm,bcm2711"), "BCM2711"),
        ("Raspberry Pi 3 Model B Rev 1.2", ("raspberrypi,3-model-b", "brcm,bcm2710"), "BCM2837"),
        ("Raspberry Pi Zero 2 W Rev 1.0", (), "BCM2837"),
        ("Raspberry Pi 2 Model B Rev 1.1", (), "BCM2836"),
        ("Raspberry Pi Zero W Rev 1.1", (), "BCM2835"),
    ],
)
def test_raspberry_pi(model: str, compatible: tuple[str, ...], chip: str) -> None:
    board = identify(model, compatible)
    assert (board.family, board.name, board.chip) == (Family.RASPBERRY_PI, model, chip)


@pytest.mark.parametrize(
    ("model", "compatible", "chip"),
    [
        ("NVIDIA Orin Nano Developer Kit", ("nvidia,p3767-0003", "nvidia,tegra234", "nvidia,tegra23x"), "Tegra234"),
        ("NVIDIA Jetson Nano Developer Kit", ("nvidia,p3450-0000", "nvidia,tegra210"), "Tegra210"),
        ("Jetson AGX Orin Developer Kit", (), ""),
    ],
)
def test_jetson(model: str, compatible: tuple[str, ...], chip: str) -> None:
    board = identify(model, compatible)
    assert (board.family, board.name, board.chip) == (Family.JETSON, model, chip)


def test_others_are_generic() -> None:
    assert identify("Radxa ROCK 5B", ("radxa,rock-5b", "rockchip,rk3588")).family is Family.GENERIC
    assert identify("", ()).name == "unknown machine"


def test_compatible() -> None:
    assert parse_compatible(b"raspberrypi,5-model-b\0brcm,bcm2712\0") == ("raspberrypi,5-model-b", "brcm,bcm2712")
    assert parse_compatible(None) == ()


def test_release() -> None:
    assert parse_release("# R36 (release), REVISION: 4.7, GCID: 42132812, BOARD: generic") == "36.4.7"
    assert parse_release("something else") == ""


@pytest.mark.parametrize(
    ("status", "conf", "mode"),
    [
        ("pmode:0002", CONF, "MAXN_SUPER"),
        ("pmode:0001", CONF, "mode 1"),
        ("pmode:0002", None, "mode 2"),
        (None, CONF, "15W"),
        ("garbage", None, ""),
        (None, None, ""),
    ],
)
def test_power_mode(status: str | None, conf: str | None, mode: str) -> None:
    assert parse_power_mode(status, conf) == mode


def test_labels_are_printable_and_short() -> None:
    assert label("Pi\x1b[31m\n5") == "Pi [31m 5"
    assert len(label("x" * 1000)) == MAX_LABEL


@pytest.mark.parametrize(
    ("files", "hypervisor", "surroundings"),
    [
        ({".dockerenv": ""}, True, Surroundings.CONTAINER),
        ({"run/.containerenv": ""}, False, Surroundings.CONTAINER),
        ({"run/systemd/container": "systemd-nspawn"}, False, Surroundings.CONTAINER),
        ({"proc/1/cgroup": "4:memory:/lxc/101"}, False, Surroundings.CONTAINER),
        ({"proc/1/cgroup": "0::/init.scope"}, True, Surroundings.MACHINE),
        ({"sys/hypervisor/type": "xen"}, False, Surroundings.MACHINE),
        ({"proc/1/cgroup": "0::/init.scope"}, False, Surroundings.BARE),
    ],
)
def test_surroundings(make_tree: Any, files: dict[str, str], hypervisor: bool, surroundings: Surroundings) -> None:
    assert read_board(make_tree(files), CpuInfo(hypervisor=hypervisor)).surroundings is surroundings


def test_firmware_tables_name_a_pc(make_tree: Any) -> None:
    dmi = {"sys/class/dmi/id/sys_vendor": "QEMU", "sys/class/dmi/id/product_name": "QEMU Virtual Machine"}
    assert read_board(make_tree(dmi), CpuInfo(name="AMD EPYC")).name == "QEMU Virtual Machine"


def test_without_firmware_tables_the_processor_names_it(make_tree: Any) -> None:
    assert read_board(make_tree({}), CpuInfo(name="AMD EPYC")).name == "AMD EPYC"


@given(st.text(), st.binary())
def test_parsers_never_raise(text: str, data: bytes) -> None:
    identify(text, parse_compatible(data), parse_release(text))
    parse_power_mode(text, text)
    assert label(text).isprintable()
