from __future__ import annotations

from typing import Any

from mongarsd.tuning.board import Board, Family
from mongarsd.tuning.gpu import Gpu, parse_nvidia, read_gpu


def test_jetson_shares_its_memory(make_tree: Any) -> None:
    board = Board(family=Family.JETSON, chip="Tegra234")
    assert read_gpu(make_tree({}), board) == Gpu("Tegra234 integrated", shared=True)


def test_nvidia_driver(make_tree: Any) -> None:
    information = "Model: \t\t NVIDIA GeForce RTX 3060\nIRQ:   \t\t 81\n"
    tree = make_tree({"proc/driver/nvidia/gpus/0000:01:00.0/information": information})
    assert read_gpu(tree, Board()) == Gpu("NVIDIA GeForce RTX 3060", shared=False)
    assert parse_nvidia("IRQ: 81") == ""


def test_device_file_and_pci_vendor(make_tree: Any) -> None:
    assert read_gpu(make_tree({"sys/class/drm/card1/device/vendor": "0x1002"}), Board()) == Gpu("AMD", shared=False)
    assert read_gpu(make_tree({"dev/nvidia0": ""}), Board()) == Gpu("NVIDIA", shared=False)


def test_none(make_tree: Any) -> None:
    assert read_gpu(make_tree({"sys/class/drm/card0/device/vendor": "0x1234"}), Board()) is None
