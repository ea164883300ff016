from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mongarsd.ground.errors import Busy, DoesNotFit
from mongarsd.inference.pool.budget import RETRY_AFTER, Loaded, make_room

models = st.lists(
    st.tuples(st.integers(1, 50), st.none() | st.floats(0, 100)),
    max_size=8,
).map(lambda facts: [Loaded(str(i), memory, idle) for i, (memory, idle) in enumerate(facts)])


def fits(loaded: list[Loaded], gone: list[str], need: int, budget: int, most: int) -> bool:
    left = [model for model in loaded if model.key not in gone]
    return sum(model.memory for model in left) + need <= budget and len(left) < most


@given(models, st.integers(1, 60), st.integers(1, 200), st.integers(1, 6))
def test_room_is_made_and_nothing_goes_needlessly(loaded: list[Loaded], need: int, budget: int, most: int) -> None:
    idle = [model.key for model in loaded if model.idle_since is not None]
    if need > budget or not fits(loaded, idle, need, budget, most):
        with pytest.raises(DoesNotFit if need > budget else Busy):
            make_room(loaded, need, budget, most)
        return
    gone = make_room(loaded, need, budget, most)
    assert set(gone) <= set(idle)
    assert fits(loaded, gone, need, budget, most)
    for key in gone:
        assert not fits(loaded, [other for other in gone if other != key], need, budget, most)
    since = {model.key: model.idle_since for model in loaded}
    assert all(since[a] <= since[b] for a, b in pairwise(gone))


def test_refusals_carry_numbers() -> None:
    with pytest.raises(DoesNotFit) as too_big:
        make_room([], 11, 10, 9)
    assert too_big.value.detail == {"need": 11, "have": 10}
    with pytest.raises(Busy) as busy:
        make_room([Loaded("a", 6, None)], 8, 10, 9)
    assert busy.value.detail == {"retry_after": RETRY_AFTER, "need": 8, "have": 4}


def test_the_least_recently_used_goes() -> None:
    loaded = [Loaded("new", 50, 9.0), Loaded("old", 50, 1.0), Loaded("busy", 50, None)]
    assert make_room(loaded, 40, 160, 9) == ["old"]
    assert make_room(loaded, 100, 160, 9) == ["old", "new"]


def test_a_small_model_is_spared_when_it_would_not_help() -> None:
    loaded = [Loaded("small", 1, 1.0), Loaded("large", 90, 2.0)]
    assert make_room(loaded, 90, 100, 9) == ["large"]


def test_the_number_of_models_is_bounded_too() -> None:
    loaded = [Loaded("a", 1, 1.0), Loaded("b", 1, 2.0)]
    assert make_room(loaded, 1, 100, 2) == ["a"]


def test_busy_models_stay() -> None:
    with pytest.raises(Busy):
        make_room([Loaded("a", 60, None), Loaded("b", 10, 1.0)], 50, 100, 9)
