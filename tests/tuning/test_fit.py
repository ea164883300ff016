from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from mongarsd.ground.errors import DoesNotFit
from mongarsd.tuning.estimate import DEFAULT_MODEL, MIB, estimate_memory
from mongarsd.tuning.fit import CONTEXTS, SLOTS, choices, contexts_up_to, fit, largest, memory_budget
from mongarsd.tuning.memory import Memory

GIB = 1 << 30


def test_budget_is_three_quarters() -> None:
    budget, why = memory_budget(Memory(total=8 * GIB, available=7 * GIB + 900 * MIB))
    assert budget == 6 * GIB
    assert "8.6 GB of memory" in why


def test_budget_leaves_room_beside_what_is_in_use() -> None:
    budget, why = memory_budget(Memory(total=8 * GIB, available=3 * GIB))
    assert budget == 3 * GIB - 512 * MIB
    assert "3.2 GB of 8.6 GB were free at start" in why


def test_budget_follows_the_control_group() -> None:
    budget, why = memory_budget(Memory(total=16 * GIB, available=GIB, limit=GIB))
    assert budget == 768 * MIB
    assert "limited to" in why


def test_budget_of_a_full_or_unknown_machine() -> None:
    assert memory_budget(Memory(total=GIB, available=10 * MIB))[0] == 0
    budget, why = memory_budget(Memory())
    assert 0 < budget < 416 * MIB
    assert "does not say" in why


@given(st.integers(0, 64 * GIB), st.integers(0, 64 * GIB), st.integers(0, GIB))
def test_budget_grows_with_memory_and_stays_below_what_is_free(total: int, free: int, more: int) -> None:
    free = min(free, total)
    budget = memory_budget(Memory(total=total, available=free))[0]
    assert 0 <= budget <= free
    assert memory_budget(Memory(total=total + more, available=free + more))[0] >= budget


def test_contexts_stop_at_what_the_model_was_trained_for() -> None:
    assert contexts_up_to(DEFAULT_MODEL) == CONTEXTS
    assert contexts_up_to(structs.replace(DEFAULT_MODEL, context_train=3000)) == (2048, 1024, 512)
    assert contexts_up_to(structs.replace(DEFAULT_MODEL, context_train=256)) == (256,)


def test_context_goes_first_then_slots_then_the_rest() -> None:
    assert list(choices((4, 2, 1), (8192, 4096, 2048, 1024))) == [
        (4, 8192),
        (4, 4096),
        (2, 4096),
        (1, 4096),
        (1, 2048),
        (1, 1024),
    ]


@given(st.sampled_from(range(len(SLOTS))), st.sampled_from(range(len(CONTEXTS))))
def test_every_choice_gives_up_one_thing(slots: int, contexts: int) -> None:
    steps = list(choices(SLOTS[slots:], CONTEXTS[contexts:]))
    for (count, size), (fewer, shorter) in pairwise(steps):
        assert fewer <= count
        assert shorter <= size
        assert (fewer, shorter) != (count, size)


def test_fits() -> None:
    assert fit(DEFAULT_MODEL, 2 * GIB, (8, 4, 2, 1), CONTEXTS) == (8, 8192)
    assert fit(DEFAULT_MODEL, 240 * MIB, (2, 1), CONTEXTS) == (1, 2048)


def test_does_not_fit_and_says_what_would() -> None:
    with pytest.raises(
        DoesNotFit, match=r"8 slots of 8192 tokens need 1\.7 GB.* 4 slots of 8192 tokens would fit"
    ) as caught:
        fit(DEFAULT_MODEL, GIB, (8,), (8192,), "inference.slots")
    error = caught.value
    assert error.param == "inference.slots"
    assert error.detail == {"need": estimate_memory(DEFAULT_MODEL, 8, 8192), "have": GIB, "slots": 4, "context": 8192}


def test_does_not_fit_at_all() -> None:
    with pytest.raises(DoesNotFit, match="choose a model with a file of at most 44 MB") as caught:
        fit(DEFAULT_MODEL, 105 * MIB, (1,), CONTEXTS)
    assert caught.value.detail["slots"] == 0
    with pytest.raises(DoesNotFit, match="free some memory"):
        fit(DEFAULT_MODEL, 0, (1,), CONTEXTS)


@given(st.integers(0, 4 * GIB), st.integers(1, 64), st.integers(256, 32768))
def test_the_suggestion_fits(budget: int, slots: int, context: int) -> None:
    found = largest(DEFAULT_MODEL, budget, slots, context)
    if found:
        assert estimate_memory(DEFAULT_MODEL, *found) <= budget
        assert found[0] <= slots
        assert found[1] <= context
    else:
        assert estimate_memory(DEFAULT_MODEL, 1, min(context, CONTEXTS[-1])) > budget
