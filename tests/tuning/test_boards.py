"""Every board's tree: what is read from it and what is recommended for two models."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from mongarsd.ground.errors import DoesNotFit
from mongarsd.tuning.board import Family, Surroundings
from mongarsd.tuning.estimate import DEFAULT_MODEL, ModelFacts
from mongarsd.tuning.profile import describe, human, read_profile
from mongarsd.tuning.recommend import recommend
from mongarsd.tuning.storage import StorageKind
from mongarsd.tuning.vitals import Vitals

LLAMA_1B = ModelFacts(weights=770_000_000, kv_bytes_per_token=32_768, context_train=131_072, layers=16)


class Expected(NamedTuple):
    family: Family
    chip: str
    surroundings: Surroundings
    cores: tuple[int, int, float | None]  # physical, usable, quota
    mhz: int | None
    features: tuple[str, ...]
    memory: str  # usable
    storage: StorageKind
    threads: tuple[int, int]  # decode, prefill
    default: tuple[int, int, str]  # slots, context, budget
    llama: tuple[int, int] | None  # None = does not fit
    gpu_layers: int
    temperature: float | None
    throttled: str
    before: str


BARE, MACHINE, CONTAINER = Surroundings.BARE, Surroundings.MACHINE, Surroundings.CONTAINER
PI, JETSON, GENERIC = Family.RASPBERRY_PI, Family.JETSON, Family.GENERIC
ARM, X86 = ("dotprod",), ("avx2", "avx512", "vnni")
SD = StorageKind.SD_CARD
HEAT, VOLTAGE = "the soft temperature limit is reached", "the supply voltage is too low, throttled"
ALERT = "slowed down by heat (cpu-throttle-alert)"
OVER_CURRENT = "average over-current 15 times, instantaneous over-current 37 times"

BOARDS = {
    "raspberry-pi-zero-2": Expected(
        PI, "BCM2837", BARE, (4, 4, None), 1000, (), "437 MB", SD,
        (3, 4), (1, 2048, "241 MB"), None, 0, 43.47, "", ""),
    "raspberry-pi-3": Expected(
        PI, "BCM2837", BARE, (4, 4, None), 1400, (), "972 MB", SD,
        (3, 4), (2, 8192, "729 MB"), None, 0, 61.224, HEAT, HEAT),
    "raspberry-pi-4": Expected(
        PI, "BCM2711", BARE, (4, 4, None), 1800, (), "4.0 GB", SD,
        (3, 4), (4, 8192, "3.0 GB"), (4, 8192), 0, 48.199, "", ""),
    "raspberry-pi-5": Expected(
        PI, "BCM2712", BARE, (4, 4, None), 2400, ARM, "8.5 GB", StorageKind.NVME,
        (3, 4), (4, 8192, "6.3 GB"), (4, 8192), 0, 54.55, "", VOLTAGE),
    "jetson-orin-nano": Expected(
        JETSON, "Tegra234", BARE, (6, 6, None), 1728, ARM, "8.0 GB", SD,
        (5, 6), (8, 8192, "4.7 GB"), (8, 8192), 31, 52.843, "", OVER_CURRENT),
    "jetson-agx-orin": Expected(
        JETSON, "Tegra234", BARE, (12, 12, None), 2201, ARM, "65.9 GB", StorageKind.EMMC,
        (11, 12), (16, 8192, "49.4 GB"), (16, 8192), 31, 47.125, ALERT, ""),
    "virtual-machine": Expected(
        GENERIC, "", MACHINE, (2, 2, None), None, X86, "25.3 GB", StorageKind.VIRTUAL,
        (2, 2), (8, 8192, "19.0 GB"), (8, 8192), 0, None, "", ""),
    "container-cgroup-v2": Expected(
        GENERIC, "", CONTAINER, (4, 4, 1.5), 4000, ("avx2",), "1.1 GB", StorageKind.SSD,
        (1, 1), (4, 4096, "805 MB"), None, 0, None, "", ""),
    "container-cgroup-v1": Expected(
        PI, "BCM2711", CONTAINER, (4, 4, 2.0), 1800, (), "537 MB", StorageKind.UNKNOWN,
        (2, 2), (2, 4096, "403 MB"), None, 0, 45.277, "", ""),
}  # fmt: skip


def test_every_tree_is_in_the_table(boards: Path) -> None:
    assert {path.name for path in boards.iterdir() if path.is_dir()} == set(BOARDS)


@pytest.mark.parametrize("name", BOARDS)
def test_profile(boards: Path, name: str) -> None:
    expected = BOARDS[name]
    profile = read_profile(boards / name, state_dir=Path("/var/lib/mongarsd"))
    board, cpu = profile.board, profile.cpu
    assert (board.family, board.chip, board.surroundings) == (expected.family, expected.chip, expected.surroundings)
    assert (cpu.physical, cpu.usable, cpu.quota) == expected.cores
    assert (cpu.max_mhz, cpu.features) == (expected.mhz, expected.features)
    assert human(profile.memory.usable or 0) == expected.memory
    assert profile.storage.kind is expected.storage


@pytest.mark.parametrize("name", BOARDS)
def test_recommendation(boards: Path, name: str) -> None:
    expected = BOARDS[name]
    profile = read_profile(boards / name)
    found = recommend(profile, DEFAULT_MODEL)
    assert found.workers == 1
    assert (found.decode_threads, found.prefill_threads) == expected.threads
    assert (found.slots, found.context, human(found.memory_budget)) == expected.default
    assert found.gpu_layers == expected.gpu_layers
    if expected.llama is None:
        with pytest.raises(DoesNotFit, match="choose a model with a file of at most"):
            recommend(profile, LLAMA_1B)
    else:
        larger = recommend(profile, LLAMA_1B)
        assert (larger.slots, larger.context) == expected.llama


@pytest.mark.parametrize("name", BOARDS)
def test_readings(boards: Path, name: str) -> None:
    expected = BOARDS[name]
    readings = Vitals(boards / name).read()
    assert readings.temperature == expected.temperature
    assert (readings.throttled, readings.throttled_before) == (expected.throttled, expected.before)
    assert readings.memory_available


@pytest.mark.parametrize(
    ("name", "line"),
    [
        (
            "raspberry-pi-5",
            "Raspberry Pi 5 Model B Rev 1.0, 4 cores at 2.4 GHz with dotprod, 8.5 GB memory, models on NVMe",
        ),
        (
            "jetson-agx-orin",
            "Jetson AGX Orin Developer Kit, 12 cores at 2.2 GHz with dotprod, 65.9 GB memory, "
            "Tegra234 integrated GPU sharing the memory, power mode MAXN, models on eMMC",
        ),
        (
            "container-cgroup-v2",
            "Dell Inc. OptiPlex 7040 (container), 4 cores / 8 threads at 4.0 GHz with avx2, limited to 1.5 CPUs, "
            "1.1 GB of 16.7 GB memory allowed, Intel GPU sharing the memory, models on SSD",
        ),
    ],
)
def test_description(boards: Path, name: str, line: str) -> None:
    assert describe(read_profile(boards / name, state_dir=Path("/var/lib/mongarsd"))) == line
