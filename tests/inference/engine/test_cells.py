from __future__ import annotations

from mongarsd.inference.engine.cells import MIN_COPY, MIN_TAIL, Cells, Placement

SYSTEM = list(range(100))


def finished(cells: Cells, tokens: list[int], now: float) -> int:
    placement = cells.take(tokens)
    assert placement
    cells.release(placement.slot, tokens, now)
    return placement.slot


def test_a_conversation_goes_on_in_its_own_slot() -> None:
    cells = Cells(2)
    slot = finished(cells, [*SYSTEM, 1000, 1001], 1.0)
    assert cells.take([*SYSTEM, 1000, 1001, 1002]) == Placement(slot, len(SYSTEM) + 2)


def test_the_last_token_of_a_prompt_is_always_computed() -> None:
    cells = Cells(1)
    finished(cells, SYSTEM, 1.0)
    assert cells.cached(SYSTEM) == len(SYSTEM) - 1
    assert cells.take(SYSTEM) == Placement(0, len(SYSTEM) - 1)


def test_another_conversation_with_the_same_system_prompt_is_copied_and_the_first_one_kept() -> None:
    cells = Cells(2)
    first = finished(cells, SYSTEM + [7] * MIN_TAIL, 1.0)
    placement = cells.take([*SYSTEM, 8])
    assert placement == Placement(1 - first, len(SYSTEM), source=first)
    assert cells.cached(SYSTEM + [7] * MIN_TAIL + [9]) == len(SYSTEM) + MIN_TAIL


def test_a_slot_that_goes_another_way_is_cut_and_not_copied_onto_itself() -> None:
    cells = Cells(1)
    finished(cells, SYSTEM + [7] * MIN_TAIL, 1.0)
    assert cells.take([*SYSTEM, 8]) == Placement(0, len(SYSTEM))


def test_a_busy_slot_lends_its_prompt() -> None:
    cells = Cells(2)
    busy = cells.take(SYSTEM)
    assert busy
    cells.publish(busy.slot, SYSTEM)
    assert cells.take([*SYSTEM, 8]) == Placement(1 - busy.slot, len(SYSTEM), source=busy.slot)


def test_a_short_match_is_not_worth_a_copy() -> None:
    cells = Cells(2)
    busy = cells.take(SYSTEM)
    assert busy
    cells.publish(busy.slot, SYSTEM)
    assert cells.take([*SYSTEM[: MIN_COPY - 1], 999]) == Placement(1 - busy.slot, 0)


def test_an_empty_slot_goes_first_then_the_least_recently_used() -> None:
    cells = Cells(2)
    old = finished(cells, [1] * 50, 1.0)
    new = finished(cells, [2] * 50, 2.0)
    assert new != old
    assert cells.take([4] * 50) == Placement(old, 0)


def test_if_there_is_a_choice_busy_slots_lie_together() -> None:
    cells = Cells(4)
    for i in range(4):
        finished(cells, [i] * 50, float(i))
    taken = [cells.take([100 + i] * 50) for i in range(3)]
    assert [placement.slot for placement in taken if placement] == [0, 1, 2]


def test_a_short_match_does_not_cost_somebody_elses_conversation() -> None:
    cells = Cells(2)
    first = finished(cells, [*SYSTEM[:10], *[7] * MIN_TAIL], 1.0)
    assert cells.take([*SYSTEM[:10], 8]) == Placement(1 - first, 0)


def test_no_slot_no_placement() -> None:
    cells = Cells(1)
    assert cells.take([1])
    assert cells.free == 0
    assert cells.take([1]) is None


def test_a_job_may_refuse_the_cache() -> None:
    cells = Cells(1)
    finished(cells, SYSTEM, 1.0)
    assert cells.take(SYSTEM, reuse=False) == Placement(0, 0)
