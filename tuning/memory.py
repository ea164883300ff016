"""How much memory there is, for the whole machine and for this process."""

from __future__ import annotations

from msgspec import Struct

from mongarsd.tuning.cgroup import Limits
from mongarsd.tuning.tree import Tree, parse_number


class Memory(Struct, frozen=True, kw_only=True):
    """Bytes; None = the kernel does not say. Swap is shown but never budgeted: zram lives in the same memory (a 2 GB
    Pi 5 was seen to die with 1.7 GB of zram pages), and an SD card is hundreds of times slower than memory."""

    total: int | None = None
    available: int | None = None  # control group respected
    limit: int | None = None  # of the control group
    swap: int = 0  # on storage
    zram: int = 0

    @property
    def usable(self) -> int | None:
        """What this process could ever get: the total or the control group's limit."""
        return min((value for value in (self.total, self.limit) if value is not None), default=None)


def parse_meminfo(text: str | None) -> dict[str, int]:
    """/proc/meminfo in bytes; lines that are not "Name: N kB" are left out."""
    values = {}
    for line in (text or "").splitlines():
        name, _, rest = line.partition(":")
        parts = rest.split()
        if len(parts) == 2 and parts[1] == "kB" and (number := parse_number(parts[0])) is not None and number >= 0:
            values[name.strip()] = number * 1024
    return values


def parse_swaps(text: str | None) -> tuple[int, int]:
    """/proc/swaps as bytes on (storage, zram)."""
    storage = zram = 0
    for line in (text or "").splitlines()[1:]:
        parts = line.split()
        size = parse_number(parts[2]) if len(parts) >= 5 else None
        if size is None or size < 0:
            continue
        if "/zram" in parts[0]:
            zram += size * 1024
        else:
            storage += size * 1024
    return storage, zram


def available(meminfo: dict[str, int], limits: Limits) -> int | None:
    """MemAvailable (MemFree + Cached on kernels before 3.14), and not more than the control group has left."""
    free = meminfo.get("MemAvailable")
    if free is None and "MemFree" in meminfo:
        free = meminfo["MemFree"] + meminfo.get("Cached", 0)
    return min((value for value in (free, limits.available) if value is not None), default=None)


def read_memory(tree: Tree, limits: Limits) -> Memory:
    meminfo = parse_meminfo(tree.text("proc/meminfo"))
    swap, zram = parse_swaps(tree.text("proc/swaps"))
    return Memory(
        total=meminfo.get("MemTotal") or None,
        available=available(meminfo, limits),
        limit=limits.memory,
        swap=swap,
        zram=zram,
    )
