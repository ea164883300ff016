"""Which cores there are, which of them this process may use, and what they can compute."""

from __future__ import annotations

from msgspec import Struct

from mongarsd.tuning.tree import Tree, parse_number

#: Name in /proc/cpuinfo -> the name people use. These decide which kernels of llama.cpp run.
FEATURES = {
    "asimddp": "dotprod",
    "i8mm": "i8mm",
    "sve": "sve",
    "avx2": "avx2",
    "avx512f": "avx512",
    "avx512_vnni": "vnni",
    "avx_vnni": "vnni",
}
#: A core with less than this share of the strongest core's capacity would make the others wait at every layer
#: (Cortex-A55 beside A76 in an RK3588: about 0.4).
PERFORMANCE_SHARE = 0.6
MAX_CPUS = 4096


class Cpu(Struct, frozen=True, kw_only=True):
    """Counts of cores. `usable` = physical performance cores this process may run on, before any quota."""

    online: int = 1  # logical
    physical: int = 1
    efficiency: int = 0  # physical; not used for computing
    usable: int = 1
    quota: float | None = None  # CPUs the control group grants
    max_mhz: int | None = None
    features: tuple[str, ...] = ()
    name: str = ""

    @property
    def threads(self) -> int:
        """Threads that can run at once without waiting for each other: at least 1."""
        return max(1, self.usable if self.quota is None else min(self.usable, int(self.quota)))

    @property
    def has_gemm(self) -> bool:
        """Has llama.cpp repacked kernels (and so gains from batching) here? ggml/src/ggml-cpu/repack.cpp."""
        return bool({"dotprod", "i8mm", "avx2", "avx512"} & set(self.features))


class CpuInfo(Struct, frozen=True):
    processors: frozenset[int] = frozenset()
    features: tuple[str, ...] = ()
    name: str = ""
    board: str = ""  # the "Model" line of Raspberry Pi kernels
    hypervisor: bool = False


def parse_cpulist(text: str | None) -> frozenset[int]:
    """A list such as `0-3,5` as a set; ranges that are not ascending numbers below MAX_CPUS are left out."""
    cpus: set[int] = set()
    for part in (text or "").strip().split(","):
        first, dash, last = part.partition("-")
        start = parse_number(first)
        end = parse_number(last) if dash else start
        if start is not None and end is not None and 0 <= start <= end < MAX_CPUS:
            cpus.update(range(start, end + 1))
    return frozenset(cpus)


def parse_cpuinfo(text: str | None) -> CpuInfo:
    """Both dialects of /proc/cpuinfo, Arm's and x86's. Only features that every core has count."""
    processors: set[int] = set()
    flags: set[str] | None = None
    name = board = ""
    for line in (text or "").splitlines():
        key, colon, value = line.partition(":")
        key, value = key.strip(), value.strip()
        if not colon:
            continue
        if key == "processor" and (number := parse_number(value)) is not None and 0 <= number < MAX_CPUS:
            processors.add(number)
        elif key in ("Features", "flags"):
            flags = set(value.split()) if flags is None else flags & set(value.split())
        elif key == "model name":
            name = value
        elif key == "Model":
            board = value
    found = {short for long, short in FEATURES.items() if long in (flags or ())}
    return CpuInfo(frozenset(processors), tuple(sorted(found)), name, board, "hypervisor" in (flags or ()))


def performance_cpus(capacity: dict[int, int]) -> frozenset[int]:
    """The strong ones of a mixed cluster; all of them when capacities are equal or not told."""
    if not capacity:
        return frozenset()
    best = max(capacity.values())
    return frozenset(cpu for cpu, value in capacity.items() if value >= best * PERFORMANCE_SHARE)


def read_cpu(tree: Tree, quota: float | None = None) -> Cpu:
    folder = "sys/devices/system/cpu"
    info = parse_cpuinfo(tree.text("proc/cpuinfo"))
    online = parse_cpulist(tree.text(f"{folder}/online")) or info.processors or frozenset({0})
    allowed = (_allowed(tree.text("proc/self/status")) & online) or online
    capacity = {cpu: tree.number(f"{folder}/cpu{cpu}/cpu_capacity") for cpu in sorted(online)}
    known = {cpu: value for cpu, value in capacity.items() if value is not None and value > 0}
    strong = performance_cpus(known) if len(known) == len(online) else frozenset[int]()
    # Intel's hybrid processors name their strong cores instead.
    strong = strong or (parse_cpulist(tree.text("sys/devices/cpu_core/cpus")) & online) or online
    core_of = {cpu: _siblings(tree, folder, cpu, online) for cpu in online}
    candidates = (allowed & strong) or allowed
    usable = len({core_of[cpu] for cpu in candidates})
    if len(candidates) <= 2:  # two hyper-threads of one core: two threads still beat one
        usable = len(candidates)
    frequency = [tree.number(f"{folder}/cpu{cpu}/cpufreq/cpuinfo_max_freq") for cpu in sorted(online)]
    return Cpu(
        online=len(online),
        physical=len(set(core_of.values())),
        efficiency=len({core_of[cpu] for cpu in online - strong}),
        usable=usable,
        quota=quota,
        max_mhz=max((value // 1000 for value in frequency if value is not None and value > 0), default=None),
        features=info.features,
        name=info.name,
    )


def _allowed(status: str | None) -> frozenset[int]:
    for line in (status or "").splitlines():
        if line.startswith("Cpus_allowed_list:"):
            return parse_cpulist(line.partition(":")[2])
    return frozenset()


def _siblings(tree: Tree, folder: str, cpu: int, online: frozenset[int]) -> frozenset[int]:
    """The hyper-threads of one core stand for the core."""
    topology = f"{folder}/cpu{cpu}/topology"
    text = tree.text(f"{topology}/core_cpus_list") or tree.text(f"{topology}/thread_siblings_list")
    together = parse_cpulist(text) & online
    return together if cpu in together else frozenset({cpu})
