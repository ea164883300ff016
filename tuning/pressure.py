"""How short of memory the board is right now: what is free, how long programs wait for it, whom the kernel killed."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from mongarsd.tuning.cgroup import find_groups, read_limits
from mongarsd.tuning.memory import available, parse_meminfo
from mongarsd.tuning.tree import Tree, parse_number


class Pressure(Struct, frozen=True, kw_only=True):
    """`available`: bytes, None = unknown. `some`, `full`: percent of the last 10 s in which a program, or all of them,
    waited for memory (PSI; 0 where the kernel does not measure it: Raspberry Pi OS needs psi=1 on its command line).
    `own`: the same within our control group alone, where no other program can be the reason."""

    available: int | None = None
    some: float = 0.0
    full: float = 0.0
    own: float = 0.0


def parse_psi(text: str | None) -> tuple[float, float]:
    """(some, full) avg10 of a pressure file, percent; 0 for what is not there."""
    values = {"some": 0.0, "full": 0.0}
    for line in (text or "").splitlines():
        kind, _, rest = line.partition(" ")
        for field in rest.split() if kind in values else ():
            name, _, value = field.partition("=")
            if name == "avg10" and value.replace(".", "", 1).isdecimal() and value.isascii() and len(value) < 8:
                values[kind] = min(float(value), 100.0)
    return values["some"], values["full"]


def parse_count(text: str | None, name: str) -> int | None:
    """The number behind `name` in lines of "name number"."""
    for line in (text or "").splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return parse_number(value)
    return None


class PressureSensor:
    """Finds the files once; `read()` is cheap and never raises."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._tree = tree = Tree(root)
        self._groups = groups = find_groups(tree)
        own = [f"{folder}/memory.pressure" for folder in groups.v2[:1]]
        self._own = next((path for path in own if tree.exists(path)), None)
        events = [f"{folder}/memory.events" for folder in groups.v2[:1]]
        events += [f"{folder}/memory.oom_control" for folder in groups.v1_memory[:1]]
        # In a container /proc/vmstat counts the whole machine's, so it is only asked when the group does not tell.
        self._events = next((p for p in (*events, "proc/vmstat") if self._count(p) is not None), None)

    def read(self) -> Pressure:
        tree = self._tree
        some, full = parse_psi(tree.text("proc/pressure/memory"))
        return Pressure(
            available=available(parse_meminfo(tree.text("proc/meminfo")), read_limits(tree, self._groups)),
            some=some,
            full=full,
            own=parse_psi(tree.text(self._own))[0] if self._own else 0.0,
        )

    def oom_kills(self) -> int:
        """Processes that the kernel has killed to get memory, of our control group or of the machine."""
        return (self._count(self._events) or 0) if self._events else 0

    def _count(self, path: str) -> int | None:
        return parse_count(self._tree.text(path), "oom_kill")
