"""What the state directory lies on: an SD card wears out and stalls, so write budgets depend on it."""

from __future__ import annotations

import enum
from pathlib import PurePosixPath

from msgspec import Struct

from mongarsd.tuning.tree import Tree


class StorageKind(enum.StrEnum):
    SD_CARD = "SD card"
    EMMC = "eMMC"
    NVME = "NVMe"
    SSD = "SSD"
    DISK = "hard disk"
    USB = "USB drive"
    VIRTUAL = "virtual disk"
    MEMORY = "memory"  # lost at the next boot
    UNKNOWN = "unknown"


class Storage(Struct, frozen=True):
    kind: StorageKind = StorageKind.UNKNOWN
    device: str = ""  # "mmcblk0"


class MountPoint(Struct, frozen=True):
    path: str
    device: str  # "179:2"
    kind: str  # "ext4"
    source: str  # "/dev/mmcblk0p2"


def parse_mountinfo(text: str | None) -> list[MountPoint]:
    mounts = []
    for line in (text or "").splitlines():
        left, _, right = line.partition(" - ")
        before, after = left.split(), right.split()
        if len(before) >= 6 and len(after) >= 2:
            mounts.append(MountPoint(before[4].replace("\\040", " "), before[2], after[0], after[1]))
    return mounts


def mount_of(mounts: list[MountPoint], path: PurePosixPath) -> MountPoint | None:
    """The deepest mount point at or above `path`; of two at the same place the later one, which covers the other."""
    found: MountPoint | None = None
    for mount in mounts:
        deeper = found is None or len(mount.path) >= len(found.path)
        if deeper and path.is_relative_to(mount.path):
            found = mount
    return found


def _disk(tree: Tree, mount: MountPoint) -> str:
    """The whole disk's name in /sys/block; by number, because Raspberry Pi kernels may call the source /dev/root."""
    for path in tree.glob("sys/block/*/dev") + tree.glob("sys/block/*/*/dev"):
        if tree.text(path) == mount.device:
            return path.split("/")[2]
    name = PurePosixPath(mount.source).name
    names = [path.split("/")[2] for path in tree.glob("sys/block/*")]
    return max((disk for disk in names if mount.source.startswith("/dev/") and name.startswith(disk)), default="")


def read_storage(tree: Tree, state_dir: PurePosixPath) -> Storage:
    mount = mount_of(parse_mountinfo(tree.text("proc/self/mountinfo")), state_dir)
    if mount is None:
        return Storage()
    if mount.kind in ("tmpfs", "ramfs"):
        return Storage(StorageKind.MEMORY)
    disk = _disk(tree, mount)
    if disk.startswith("mmcblk"):
        soldered = tree.text(f"sys/block/{disk}/device/type") == "MMC"
        return Storage(StorageKind.EMMC if soldered else StorageKind.SD_CARD, disk)
    if disk.startswith("nvme"):
        return Storage(StorageKind.NVME, disk)
    if disk.startswith(("vd", "xvd")):
        return Storage(StorageKind.VIRTUAL, disk)
    if disk.startswith("sd"):
        if "usb" in _real(tree, disk) or tree.number(f"sys/block/{disk}/removable") == 1:
            return Storage(StorageKind.USB, disk)
        return Storage(StorageKind.DISK if tree.number(f"sys/block/{disk}/queue/rotational") else StorageKind.SSD, disk)
    return Storage(StorageKind.UNKNOWN, disk)


def _real(tree: Tree, disk: str) -> str:
    """Where /sys/block/<disk> leads: the path names the bus."""
    try:
        return str((tree.root / "sys/block" / disk).readlink())
    except OSError:
        return ""
