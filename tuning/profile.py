"""The hardware profile: everything a recommendation is made from, read once at start from files below a root."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath

from msgspec import Struct, structs

from mongarsd.tuning.board import Board, Family, Surroundings, read_board
from mongarsd.tuning.cgroup import read_limits
from mongarsd.tuning.cpu import Cpu, parse_cpuinfo, read_cpu
from mongarsd.tuning.gpu import Gpu, read_gpu
from mongarsd.tuning.memory import Memory, read_memory
from mongarsd.tuning.storage import Storage, StorageKind, read_storage
from mongarsd.tuning.tree import Tree


class HardwareProfile(Struct, frozen=True, kw_only=True):
    board: Board = Board()
    cpu: Cpu = Cpu()
    memory: Memory = Memory()
    storage: Storage = Storage()
    gpu: Gpu | None = None


def read_profile(
    root: Path = Path("/"),
    *,
    state_dir: Path | None = None,
    power_mode: Callable[[], str] | None = None,
    tree: Tree | None = None,
) -> HardwareProfile:
    """Read the board. Never raises: what cannot be read is unknown.

    `state_dir` is where the models lie (for the kind of storage), `power_mode` is asked on a Jetson whose files do not
    tell (see `jetson.jtop_power_mode`), `tree` stands for `root`.
    """
    tree = Tree(root) if tree is None else tree
    limits = read_limits(tree)
    board = read_board(tree, parse_cpuinfo(tree.text("proc/cpuinfo")))
    if board.family is Family.JETSON and not board.power_mode and power_mode is not None:
        board = structs.replace(board, power_mode=power_mode())
    return HardwareProfile(
        board=board,
        cpu=read_cpu(tree, limits.cpus),
        memory=read_memory(tree, limits),
        storage=read_storage(tree, PurePosixPath(state_dir or "/")),
        gpu=read_gpu(tree, board),
    )


def human(size: float) -> str:
    """Bytes for people, in powers of ten as model files are sold: "92 MB", "1.4 GB"."""
    if size >= 1e9:
        return f"{size / 1e9:.1f} GB"
    return f"{size / 1e6:.0f} MB"


def describe(profile: HardwareProfile) -> str:
    """One line about the board, for `mongarsctl doctor` and the log."""
    board, cpu, memory = profile.board, profile.cpu, profile.memory
    name = board.name
    if board.surroundings is not Surroundings.BARE and board.surroundings.value not in name.lower():
        name += f" ({board.surroundings.value})"
    cores = f"{cpu.physical} core{'' if cpu.physical == 1 else 's'}"
    if cpu.online != cpu.physical:
        cores += f" / {cpu.online} threads"
    if cpu.efficiency:
        cores += f", {cpu.efficiency} of them small"
    if cpu.max_mhz:
        cores += f" at {cpu.max_mhz / 1000:.1f} GHz"
    if cpu.features:
        cores += f" with {', '.join(cpu.features)}"
    parts = [name, cores]
    if cpu.quota is not None:
        parts.append(f"limited to {cpu.quota:g} CPUs")
    if memory.total is None:
        parts.append("memory unknown")
    elif memory.limit is not None and memory.limit < memory.total:
        parts.append(f"{human(memory.limit)} of {human(memory.total)} memory allowed")
    else:
        parts.append(f"{human(memory.total)} memory")
    if profile.gpu:
        parts.append(f"{profile.gpu.name} GPU{' sharing the memory' if profile.gpu.shared else ''}")
    if board.power_mode:
        parts.append(f"power mode {board.power_mode}")
    if profile.storage.kind is not StorageKind.UNKNOWN:
        parts.append(f"models on {profile.storage.kind.value}")
    return ", ".join(parts)
