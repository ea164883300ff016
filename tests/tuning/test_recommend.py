from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from mongarsd.ground.errors import DoesNotFit
from mongarsd.ground.settings import InferenceSettings
from mongarsd.tuning.board import Board, Family
from mongarsd.tuning.cpu import Cpu
from mongarsd.tuning.estimate import DEFAULT_MODEL, MIB, ModelFacts, estimate_memory
from mongarsd.tuning.fit import SLOTS
from mongarsd.tuning.gpu import Gpu
from mongarsd.tuning.memory import Memory
from mongarsd.tuning.profile import HardwareProfile
from mongarsd.tuning.recommend import SET, Overrides, Recommendation, recommend

GIB = 1 << 30
KNOBS = ["workers", "decode_threads", "prefill_threads", "slots", "context", "memory_budget", "gpu_layers"]
PI_5 = HardwareProfile(
    board=Board(family=Family.RASPBERRY_PI, name="Raspberry Pi 5", chip="BCM2712"),
    cpu=Cpu(online=4, physical=4, usable=4, features=("dotprod",)),
    memory=Memory(total=8 * GIB, available=7 * GIB),
)


def why(recommendation: Recommendation, knob: str) -> str:
    return next(reason.why for reason in recommendation.reasons if reason.name == knob)


def test_every_knob_has_a_reason() -> None:
    found = recommend(PI_5)
    assert [reason.name for reason in found.reasons] == KNOBS
    assert all(reason.why and reason.value for reason in found.reasons)
    assert found.memory == estimate_memory(DEFAULT_MODEL, found.slots, found.context)


@pytest.mark.parametrize(("cores", "decode"), [(1, 1), (2, 2), (3, 2), (4, 3), (8, 7), (12, 11), (17, 16), (128, 16)])
def test_threads(cores: int, decode: int) -> None:
    found = recommend(structs.replace(PI_5, cpu=Cpu(online=cores, physical=cores, usable=cores)))
    assert (found.decode_threads, found.prefill_threads) == (decode, cores)


@pytest.mark.parametrize(
    ("board", "cpu", "slots"),
    [
        (Board(chip="BCM2837"), Cpu(usable=4), 2),
        (Board(chip="BCM2711"), Cpu(usable=4), 4),
        (
            Board(family=Family.JETSON, name="Jetson AGX Xavier", chip="Tegra194"),
            Cpu(usable=8, features=("dotprod",)),
            16,
        ),
        (Board(family=Family.JETSON, chip="Tegra234"), Cpu(usable=6, features=("dotprod",)), 8),
        (Board(), Cpu(usable=2, features=("avx2",)), 8),
        (Board(), Cpu(usable=1, features=("avx2",)), 4),
        (Board(), Cpu(usable=16, features=("avx2",)), 16),
        (Board(), Cpu(usable=16), 4),  # no kernels for batches
    ],
)
def test_slots(board: Board, cpu: Cpu, slots: int) -> None:
    assert recommend(HardwareProfile(board=board, cpu=cpu, memory=Memory(total=32 * GIB))).slots == slots


def test_overrides_win() -> None:
    overrides = Overrides(
        workers=2, decode_threads=9, prefill_threads=8, slots=3, context=3000, memory_budget=5 * GIB, gpu_layers=7
    )
    found = recommend(PI_5, overrides=overrides)
    assert {name: getattr(found, name) for name in KNOBS} == structs.asdict(overrides)
    assert all(reason.why.startswith(SET) for reason in found.reasons)


def test_overrides_from_settings() -> None:
    assert Overrides.of(InferenceSettings()) == Overrides()
    assert Overrides.of(InferenceSettings(slots=2, memory_budget=GIB)) == Overrides(slots=2, memory_budget=GIB)


def test_an_override_the_machine_does_not_have_is_called_that() -> None:
    found = recommend(PI_5, overrides=Overrides(memory_budget=100 * GIB, context=16384))
    assert "there are only 8.6 GB" in why(found, "memory_budget")
    assert "trained for 8192 tokens only" in why(found, "context")


def test_two_workers_share_cores_and_memory() -> None:
    found = recommend(PI_5, overrides=Overrides(workers=2))
    assert (found.decode_threads, found.prefill_threads) == (2, 2)
    assert found.memory * 2 <= found.memory_budget


def test_an_override_that_does_not_fit_is_refused_by_its_name() -> None:
    with pytest.raises(DoesNotFit) as caught:
        recommend(PI_5, overrides=Overrides(slots=64, context=8192))
    assert caught.value.param == "inference.slots"
    assert estimate_memory(DEFAULT_MODEL, caught.value.detail["slots"], caught.value.detail["context"]) <= 6 * GIB


def test_gpu() -> None:
    jetson = structs.replace(PI_5, board=Board(family=Family.JETSON, chip="Tegra234"), gpu=Gpu("Tegra234", True))
    assert recommend(jetson).gpu_layers == DEFAULT_MODEL.layers + 1
    assert recommend(structs.replace(PI_5, gpu=Gpu("NVIDIA", False))).gpu_layers == 0
    assert recommend(PI_5).gpu_layers == 0


profiles = st.builds(
    HardwareProfile,
    board=st.builds(Board, chip=st.sampled_from(["", "BCM2837", "BCM2711", "BCM2712", "Tegra234"])),
    cpu=st.builds(
        Cpu,
        usable=st.integers(1, 128),
        quota=st.none() | st.floats(0.1, 128),
        features=st.sampled_from([(), ("dotprod",), ("avx2",)]),
    ),
    memory=st.builds(
        Memory,
        total=st.none() | st.integers(64 * MIB, 64 * GIB),
        available=st.none() | st.integers(0, 64 * GIB),
        limit=st.none() | st.integers(16 * MIB, 64 * GIB),
    ),
)
models = st.builds(
    ModelFacts,
    weights=st.integers(MIB, 8 * GIB),
    kv_bytes_per_token=st.integers(1024, 1 << 20),
    context_train=st.integers(128, 1 << 20),
    layers=st.integers(1, 100),
    repacks=st.booleans(),
)


def attempt(profile: HardwareProfile, facts: ModelFacts) -> Recommendation | None:
    try:
        return recommend(profile, facts)
    except DoesNotFit:
        return None


@given(profiles, models)
def test_what_is_recommended_fits(profile: HardwareProfile, facts: ModelFacts) -> None:
    found = attempt(profile, facts)
    if found is None:
        return
    assert found.memory == estimate_memory(facts, found.slots, found.context) <= found.memory_budget
    assert 1 <= found.decode_threads <= found.prefill_threads <= profile.cpu.usable
    assert found.slots in SLOTS
    assert 1 <= found.context <= facts.context_train
    assert profile.memory.available is None or found.memory_budget <= profile.memory.available
    assert profile.memory.usable is None or found.memory_budget <= profile.memory.usable


@given(profiles, models, st.integers(0, 8 * GIB))
def test_more_memory_is_never_worse(profile: HardwareProfile, facts: ModelFacts, more: int) -> None:
    before = attempt(profile, facts)
    memory = profile.memory
    if before is None or memory.total is None:
        return
    bigger = Memory(
        total=memory.total + more,
        available=None if memory.available is None else memory.available + more,
        limit=None if memory.limit is None else memory.limit + more,
    )
    after = attempt(structs.replace(profile, memory=bigger), facts)
    assert after is not None
    assert after.slots >= before.slots
    assert after.context >= before.context
    assert after.memory_budget >= before.memory_budget
