"""How the board feels right now: temperature, throttling, load, free memory. A few small files, under 1 ms."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from mongarsd.ground.status import BoardStatus
from mongarsd.tuning.board import Surroundings
from mongarsd.tuning.cgroup import find_groups, read_limits
from mongarsd.tuning.memory import available, parse_meminfo
from mongarsd.tuning.profile import HardwareProfile
from mongarsd.tuning.tree import Tree, parse_number

#: Raspberry Pi firmware's bits (documentation of `vcgencmd get_throttled`); the same, 16 higher, since boot.
PI_BITS = {
    0: "the supply voltage is too low",
    1: "the clock is capped",
    2: "throttled",
    3: "the soft temperature limit is reached",
}
#: Jetson: tegra234's soctherm_oc counters (NVIDIA's platform power and performance guide).
JETSON_EVENTS = {"oc1": "low supply voltage", "oc2": "average over-current", "oc3": "instantaneous over-current"}
#: °C. A sensor that sleeps reads -256, and the Jetson Nano's PMIC-Die always 100.
COLDEST, HOTTEST = -60.0, 150.0
FIXED_ZONES = ("PMIC-Die",)


class Readings(Struct, frozen=True, kw_only=True):
    """°C, words ("" = nothing to say), the one-minute load average, bytes; None = unknown."""

    temperature: float | None = None
    throttled: str = ""  # now
    throttled_before: str = ""  # since boot
    load: float = 0.0
    memory_available: int | None = None


def parse_temperature(text: str | None) -> float | None:
    """A thermal zone's millidegrees."""
    value = parse_number(text)
    degrees = None if value is None else value / 1000
    return degrees if degrees is not None and COLDEST < degrees < HOTTEST else None


def parse_throttled(text: str | None) -> tuple[str, str]:
    """(now, since boot) of get_throttled's hexadecimal bits, "50005" or "throttled=0x50005"."""
    try:
        bits = int((text or "0").rpartition("=")[2], 16)
    except ValueError:
        return "", ""
    now = [words for bit, words in PI_BITS.items() if bits >> bit & 1]
    before = [words for bit, words in PI_BITS.items() if bits >> (bit + 16) & 1]
    return ", ".join(now), ", ".join(before)


def parse_load(text: str | None) -> float:
    try:
        load = float((text or "").split()[0])
    except (ValueError, IndexError):
        return 0.0
    return load if 0 <= load < 1e6 else 0.0


class Vitals:
    """Finds the sensors once; `read()` is cheap and never raises."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._tree = tree = Tree(root)
        zones = (path.removesuffix("/type") for path in tree.glob("sys/class/thermal/thermal_zone*/type"))
        self._zones = [f"{zone}/temp" for zone in zones if tree.text(f"{zone}/type") not in FIXED_ZONES]
        # soc/soc:firmware up to the Pi 4, soc@107c000000/… on the Pi 5. (Reading it makes newer kernels log once that
        # hwmon is to be preferred; hwmon knows the voltage only, not the heat.)
        self._throttled = next(iter(tree.glob("sys/devices/platform/soc*/soc*:firmware/get_throttled")), None)
        names = (path.removesuffix("/name") for path in tree.glob("sys/class/hwmon/hwmon*/name"))
        sensors = {tree.text(f"{folder}/name"): folder for folder in names}
        self._voltage = sensors.get("rpi_volt")
        self._over_current = sensors.get("soctherm_oc")
        self._groups = find_groups(tree)
        cooling = (path.removesuffix("/type") for path in tree.glob("sys/class/thermal/cooling_device*/type"))
        self._cooling = [(folder, kind) for folder in cooling if _slows(kind := tree.text(f"{folder}/type") or "")]

    def read(self) -> Readings:
        tree = self._tree
        temperatures = (parse_temperature(tree.text(path)) for path in self._zones)
        now, before = parse_throttled(tree.text(self._throttled)) if self._throttled else ("", "")
        if not self._throttled and self._voltage and tree.number(f"{self._voltage}/in0_lcrit_alarm"):
            now = PI_BITS[0]
        if hot := [kind for folder, kind in self._cooling if (tree.number(f"{folder}/cur_state") or 0) > 0]:
            now = ", ".join(filter(None, [now, f"slowed down by heat ({', '.join(sorted(set(hot)))})"]))
        if self._over_current:
            counts = {words: tree.number(f"{self._over_current}/{oc}_event_cnt") for oc, words in JETSON_EVENTS.items()}
            before = ", ".join(f"{words} {count} times" for words, count in counts.items() if count)
        return Readings(
            temperature=max((value for value in temperatures if value is not None), default=None),
            throttled=now,
            throttled_before=before,
            load=parse_load(tree.text("proc/loadavg")),
            memory_available=available(parse_meminfo(tree.text("proc/meminfo")), read_limits(tree, self._groups)),
        )


def _slows(kind: str) -> bool:
    """Is this cooling device the processor (and not a fan)? Jetson's alerts, cpufreq, and ACPI's "Processor"."""
    return kind.endswith("-alert") or "cpufreq" in kind or kind == "Processor"


def board_status(profile: HardwareProfile, readings: Readings) -> BoardStatus:
    board, memory = profile.board, profile.memory
    suffix = f" ({board.surroundings.value})" if board.surroundings is not Surroundings.BARE else ""
    free = readings.memory_available if readings.memory_available is not None else memory.available
    return BoardStatus(
        name=board.name + suffix,
        cores=profile.cpu.usable,
        memory_total=memory.usable or 0,
        memory_available=free or 0,
        temperature=readings.temperature,
        throttled=readings.throttled,
        load=readings.load,
    )
