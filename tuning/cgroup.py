"""What this process may use: the limits of its control group and of every group above it (v1, v2, hybrid)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from msgspec import Struct

from mongarsd.tuning.tree import Tree, parse_number

#: v1 writes "no limit" as the largest multiple of the page size below 2**63.
UNLIMITED = 1 << 60


class Limits(Struct, frozen=True, kw_only=True):
    """Bytes and CPUs; None = no limit. `available`: what the tightest group has left, file cache included."""

    memory: int | None = None
    available: int | None = None
    cpus: float | None = None


class Mount(Struct, frozen=True):
    """A mounted hierarchy: `root` is the group that is seen at `point`."""

    point: str
    root: str
    controllers: frozenset[str]  # empty for v2


def parse_limit(text: str | None) -> int | None:
    """Bytes of memory.max, memory.high or memory.limit_in_bytes; None for "max" and for garbage."""
    value = parse_number(text)
    return value if value is not None and 0 < value < UNLIMITED else None


def parse_cpu_max(text: str | None) -> float | None:
    """CPUs of a v2 cpu.max: "150000 100000" is 1.5."""
    parts = (text or "").split()
    return parse_quota(parts[0], parts[1] if len(parts) > 1 else "100000") if parts else None


def parse_quota(quota: str | None, period: str | None) -> float | None:
    """CPUs of v1's cpu.cfs_quota_us (-1 = no limit) and cpu.cfs_period_us."""
    used, of = parse_number(quota), parse_number(period)
    return used / of if used and of and used > 0 and of > 0 else None


def parse_membership(text: str | None) -> dict[str, str]:
    """/proc/self/cgroup as controller -> group; the v2 group has the key ""."""
    groups: dict[str, str] = {}
    for line in (text or "").splitlines():
        parts = line.split(":", 2)
        if len(parts) == 3 and parts[2].startswith("/"):
            for controller in parts[1].split(","):
                groups.setdefault(controller, parts[2])
    return groups


def parse_mounts(text: str | None) -> list[Mount]:
    """The control group hierarchies in /proc/self/mountinfo."""
    mounts = []
    for line in (text or "").splitlines():
        left, _, right = line.partition(" - ")
        before, after = left.split(), right.split()
        if len(before) < 6 or len(after) < 3 or after[0] not in ("cgroup", "cgroup2"):
            continue
        controllers = frozenset(after[2].split(",")) if after[0] == "cgroup" else frozenset[str]()
        mounts.append(Mount(before[4], before[3], controllers))
    return mounts


def chain(mount: Mount, group: str) -> Iterator[str]:
    """Folders from the group up to the mount point, relative to the file system's root.

    In a container the mount shows the container's own group: its name is cut off. With a private cgroup namespace
    the group is "/" (or "/../…" when it lies outside), and the mount point itself is all that is visible.
    """
    inside = "" if ".." in group else group
    if mount.root != "/":
        inside = inside.removeprefix(mount.root) if inside.startswith(mount.root) else ""
    path, top = PurePosixPath(mount.point + "/" + inside.strip("/")), PurePosixPath(mount.point)
    while True:
        yield str(path).strip("/")
        if path == top or path == path.parent:
            return
        path = path.parent


class Groups(Struct, frozen=True):
    """Folders of every group from ours upwards, relative to the file system's root."""

    v1_memory: tuple[str, ...] = ()
    v1_cpu: tuple[str, ...] = ()
    v2: tuple[str, ...] = ()


def find_groups(tree: Tree) -> Groups:
    """Where this process is; it stays there, so live readings need to look only once."""
    groups = parse_membership(tree.text("proc/self/cgroup"))
    memory: list[str] = []
    cpu: list[str] = []
    unified: list[str] = []
    for mount in parse_mounts(tree.text("proc/self/mountinfo")):
        for name, folders in (("memory", memory), ("cpu", cpu)):
            if name in mount.controllers and name in groups:
                folders += chain(mount, groups[name])
        if not mount.controllers and "" in groups:
            unified += chain(mount, groups[""])
    return Groups(tuple(memory), tuple(cpu), tuple(unified))


def read_limits(tree: Tree, groups: Groups | None = None) -> Limits:
    """The smallest along the chain counts. memory.high is a limit too: above it the kernel throttles us to a crawl."""
    groups = find_groups(tree) if groups is None else groups
    memory: list[int] = []
    available: list[int] = []
    cpus: list[float] = []

    def add(limit: int | None, folder: str, usage: str, cache: str) -> None:
        if limit is None:
            return
        memory.append(limit)
        if (used := tree.number(f"{folder}/{usage}")) is not None:
            free = parse_cache(tree.text(f"{folder}/memory.stat"), cache)
            available.append(max(0, limit - max(0, used - free)))

    for folder in groups.v1_memory:
        limit = parse_limit(tree.text(f"{folder}/memory.limit_in_bytes"))
        add(limit, folder, "memory.usage_in_bytes", "total_inactive_file")
    for folder in groups.v1_cpu:
        quota = parse_quota(tree.text(f"{folder}/cpu.cfs_quota_us"), tree.text(f"{folder}/cpu.cfs_period_us"))
        cpus += [quota] if quota else []
    for folder in groups.v2:
        for name in ("max", "high"):
            add(parse_limit(tree.text(f"{folder}/memory.{name}")), folder, "memory.current", "inactive_file")
        quota = parse_cpu_max(tree.text(f"{folder}/cpu.max"))
        cpus += [quota] if quota else []
    return Limits(
        memory=min(memory, default=None), available=min(available, default=None), cpus=min(cpus, default=None)
    )


def parse_cache(stat: str | None, name: str) -> int:
    """Bytes of one line of memory.stat; 0 if it is not there."""
    for line in (stat or "").splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return max(0, parse_number(value) or 0)
    return 0
