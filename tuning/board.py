"""Which board this is: Raspberry Pi, Jetson or something else, and whether a machine or a container lies around us."""

from __future__ import annotations

import enum
import re

from msgspec import Struct

from mongarsd.tuning.cpu import CpuInfo
from mongarsd.tuning.tree import Tree

#: Labels come from firmware and end in logs and terminals.
MAX_LABEL = 96


class Family(enum.StrEnum):
    RASPBERRY_PI = "raspberry-pi"
    JETSON = "jetson"
    GENERIC = "generic"


class Surroundings(enum.StrEnum):
    BARE = ""  # nothing between us and the hardware
    MACHINE = "virtual machine"
    CONTAINER = "container"


class Board(Struct, frozen=True, kw_only=True):
    """`chip` is the system on a chip as its vendor writes it ("BCM2712", "Tegra234"), empty when unknown."""

    family: Family = Family.GENERIC
    name: str = "unknown machine"
    chip: str = ""
    surroundings: Surroundings = Surroundings.BARE
    power_mode: str = ""  # Jetson: "15W", "MAXN_SUPER"
    release: str = ""  # Jetson Linux, "36.4.7"


#: Raspberry Pi generations by name, for containers that see /proc/cpuinfo but no device tree. First match counts.
PI_CHIPS = (
    (re.compile(r"Pi (5|500)\b|Compute Module 5"), "BCM2712"),
    (re.compile(r"Pi (4|400)\b|Compute Module 4"), "BCM2711"),
    (re.compile(r"Pi 3\b|Zero 2|Compute Module (3|0)"), "BCM2837"),
    (re.compile(r"Pi 2\b"), "BCM2836"),
    (re.compile(r"Raspberry Pi"), "BCM2835"),
)
TEGRA = re.compile(r"tegra(\d{3})$")
#: An image that is moved to another board would lie in /etc, so the device tree decides and /etc only adds.
L4T = re.compile(r"R(\d+) \(release\), REVISION: ([\d.]+)")
POWER_MODEL = re.compile(r"^<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)\s*>", re.MULTILINE)
POWER_DEFAULT = re.compile(r"^<\s*PM_CONFIG\s+DEFAULT=(\d+)\s*>", re.MULTILINE)


def label(text: str | None) -> str:
    """Printable and short."""
    return "".join(c if c.isprintable() else " " for c in (text or "").strip())[:MAX_LABEL].strip()


def parse_compatible(data: bytes | None) -> tuple[str, ...]:
    """A device tree's list of NUL-terminated strings, most specific first."""
    return tuple(part for raw in (data or b"").split(b"\0") if (part := label(raw.decode("ascii", "replace"))))


def pi_chip(model: str, compatible: tuple[str, ...] = ()) -> str:
    """The Broadcom chip; older kernels call the Pi 3's BCM2710, the name of the same design."""
    for entry in compatible:
        if entry.startswith("brcm,bcm2"):
            return entry.removeprefix("brcm,").upper().replace("BCM2710", "BCM2837")
    return next((chip for pattern, chip in PI_CHIPS if pattern.search(model)), "")


def tegra_chip(compatible: tuple[str, ...]) -> str:
    for entry in compatible:
        if match := TEGRA.search(entry):
            return f"Tegra{match[1]}"
    return ""


def parse_release(text: str | None) -> str:
    """Jetson Linux's version in /etc/nv_tegra_release: "# R36 (release), REVISION: 4.7, …" is 36.4.7."""
    match = L4T.search(text or "")
    return f"{match[1]}.{match[2]}" if match else ""


def parse_power_mode(status: str | None, conf: str | None) -> str:
    """The mode's name. /var/lib/nvpmodel/status says "pmode:0002"; nvpmodel.conf has names, and the default at boot."""
    names = {int(number): name for number, name in POWER_MODEL.findall(conf or "")}
    match = re.match(r"pmode:(\d+)", status or "") or POWER_DEFAULT.search(conf or "")
    if not match:
        return ""
    number = int(match[1])
    return label(names.get(number, f"mode {number}"))


def identify(model: str, compatible: tuple[str, ...], release: str = "") -> Board:
    """The device tree's words as a Board; without them a generic one."""
    if any(entry.startswith("raspberrypi,") for entry in compatible) or "Raspberry Pi" in model:
        return Board(family=Family.RASPBERRY_PI, name=model or "Raspberry Pi", chip=pi_chip(model, compatible))
    chip = tegra_chip(compatible)
    if chip or "Jetson" in model or (release and any(entry.startswith("nvidia,") for entry in compatible)):
        return Board(family=Family.JETSON, name=model or "NVIDIA Jetson", chip=chip, release=release)
    return Board(name=model) if model else Board()


def in_container(tree: Tree) -> bool:
    """Docker, Podman, LXC and systemd-nspawn each leave another trace."""
    if tree.exists(".dockerenv") or tree.exists("run/.containerenv") or tree.text("run/systemd/container"):
        return True
    first = tree.text("proc/1/cgroup") or ""
    return any(word in first for word in ("/docker", "/lxc", "/kubepods", "/libpod", "/containerd"))


def read_board(tree: Tree, info: CpuInfo) -> Board:
    """The device tree first, then what /proc/cpuinfo and the firmware's tables (DMI) say."""
    model = label(tree.text("proc/device-tree/model")) or label(info.board)
    compatible = parse_compatible(tree.bytes("proc/device-tree/compatible"))
    board = identify(model, compatible, parse_release(tree.text("etc/nv_tegra_release")))
    power_mode = ""
    if board.family is Family.JETSON:
        power_mode = parse_power_mode(tree.text("var/lib/nvpmodel/status"), tree.text("etc/nvpmodel.conf"))
    product = label(tree.text("sys/class/dmi/id/product_name"))
    vendor = label(tree.text("sys/class/dmi/id/sys_vendor"))
    surroundings = Surroundings.BARE
    if in_container(tree):
        surroundings = Surroundings.CONTAINER
    elif info.hypervisor or tree.text("sys/hypervisor/type"):
        surroundings = Surroundings.MACHINE
    name = board.name
    if name == Board().name:
        name = " ".join(dict.fromkeys(f"{vendor} {product}".split())) or label(info.name) or name
    return Board(
        family=board.family,
        name=name,
        chip=board.chip,
        surroundings=surroundings,
        power_mode=power_mode,
        release=board.release,
    )
