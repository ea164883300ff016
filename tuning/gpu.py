"""Is there a graphics processor that llama.cpp could use? A Raspberry Pi's is not listed: no backend gains from it."""

from __future__ import annotations

from msgspec import Struct

from mongarsd.tuning.board import Board, Family, label
from mongarsd.tuning.tree import Tree

VENDORS = {"0x10de": "NVIDIA", "0x1002": "AMD", "0x8086": "Intel"}


class Gpu(Struct, frozen=True):
    """`shared`: its memory is the processor's, so the one memory budget covers it."""

    name: str
    shared: bool


def parse_nvidia(text: str | None) -> str:
    """The "Model:" line of /proc/driver/nvidia/gpus/*/information."""
    for line in (text or "").splitlines():
        if line.startswith("Model:"):
            return label(line.partition(":")[2])
    return ""


def read_gpu(tree: Tree, board: Board) -> Gpu | None:
    if board.family is Family.JETSON:
        return Gpu(f"{board.chip or 'Tegra'} integrated", shared=True)
    for path in tree.glob("proc/driver/nvidia/gpus/*/information"):
        if name := parse_nvidia(tree.text(path)):
            return Gpu(name, shared=False)
    if tree.exists("dev/nvidia0"):
        return Gpu("NVIDIA", shared=False)
    found = {tree.text(path) for path in tree.glob("sys/class/drm/card[0-9]/device/vendor")}
    for vendor, name in VENDORS.items():
        if vendor in found:
            return Gpu(name, shared=name == "Intel")
    return None
