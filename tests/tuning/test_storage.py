from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mongarsd.tuning.storage import Storage, StorageKind, mount_of, parse_mountinfo, read_storage

ROOT = "24 1 179:2 / / rw - ext4 /dev/root rw"


@pytest.mark.parametrize(
    ("mountinfo", "files", "storage"),
    [
        (ROOT, {"mmcblk0/mmcblk0p2/dev": "179:2", "mmcblk0/device/type": "SD"},
         Storage(StorageKind.SD_CARD, "mmcblk0")),
        (ROOT, {"mmcblk0/mmcblk0p2/dev": "179:2", "mmcblk0/device/type": "MMC"}, Storage(StorageKind.EMMC, "mmcblk0")),
        ("1 1 0:40 / / rw - btrfs /dev/nvme0n1p2 rw", {"nvme0n1/dev": "259:0"}, Storage(StorageKind.NVME, "nvme0n1")),
        ("1 1 8:1 / / rw - ext4 /dev/sda1 rw", {"sda/sda1/dev": "8:1", "sda/queue/rotational": "1"},
         Storage(StorageKind.DISK, "sda")),
        ("1 1 8:1 / / rw - ext4 /dev/sda1 rw", {"sda/sda1/dev": "8:1", "sda/removable": "1"},
         Storage(StorageKind.USB, "sda")),
        ("1 1 254:0 / / rw - ext4 /dev/vda rw", {"vda/dev": "254:0"}, Storage(StorageKind.VIRTUAL, "vda")),
        ("1 1 0:9 / / rw - tmpfs tmpfs rw", {}, Storage(StorageKind.MEMORY)),
        ("1 1 0:9 / / rw - overlay overlay rw", {"sda/dev": "8:0"}, Storage()),
        ("garbage", {}, Storage()),
    ],
)  # fmt: skip
def test_kind(make_tree: Any, mountinfo: str, files: dict[str, str], storage: Storage) -> None:
    tree = make_tree({"proc/self/mountinfo": mountinfo} | {f"sys/block/{name}": text for name, text in files.items()})
    assert read_storage(tree, PurePosixPath("/var/lib/mongarsd")) == storage


def test_usb_by_its_bus(make_tree: Any) -> None:
    tree = make_tree(
        {"proc/self/mountinfo": "1 1 8:1 / / rw - ext4 /dev/sda1 rw", "sys/devices/usb2/sda/sda1/dev": "8:1"}
    )
    (tree.root / "sys/block").mkdir()
    (tree.root / "sys/block/sda").symlink_to("../devices/usb2/sda")
    assert read_storage(tree, PurePosixPath("/")) == Storage(StorageKind.USB, "sda")


def test_deepest_and_latest_mount_counts() -> None:
    lines = [ROOT, *(f"{i} 1 8:{i} / {path} rw - ext4 /dev/sd rw" for i, path in enumerate(("/var", "/var", "/va")))]
    mounts = parse_mountinfo("\n".join(lines))
    found = mount_of(mounts, PurePosixPath("/var/lib"))
    assert found is not None
    assert found.device == "8:1"
    assert mount_of([], PurePosixPath("/")) is None


@given(st.text())
def test_parser_never_raises(text: str) -> None:
    mount_of(parse_mountinfo(text), PurePosixPath("/var"))
