"""Adapters in the engine: rows are parted by them, cells and stored prefixes never shared between them."""

from __future__ import annotations

from itertools import pairwise

from fakes.engine import Bench, answer, job, load
from hypothesis import given, settings
from hypothesis import strategies as st

from mongarsd.ground.errors import Busy
from mongarsd.inference.cache.store import PrefixStore
from mongarsd.inference.engine.base import BLOCK, Row
from mongarsd.inference.engine.cells import Cells
from mongarsd.inference.engine.fake import FakeBackend
from mongarsd.inference.engine.loop import Engine
from mongarsd.inference.engine.radix import RadixTree
from mongarsd.inference.engine.scheduler import Batch, by_adapter, in_order
from mongarsd.inference.engine.sequence import Sequence
from mongarsd.inference.engine.tiers import Tiers
from mongarsd.inference.worker.protocol import CachePlan

ADAPTERS = ["", "one", "other"]
PROMPT = "the same long beginning of many prompts, " * 4
tokens = st.lists(st.integers(0, 2), max_size=8)


def owned(row: Row) -> Sequence:
    return Sequence(job=job(str(row.sequence), adapter=row.adapter), tokens=[], prompt=0, limit=0, arrived=0.0)


@given(st.lists(st.sampled_from(ADAPTERS), max_size=8))
def test_each_adapter_has_one_batch_and_every_row_its_owner(adapters: list[str]) -> None:
    rows = [Row(n, 0, [1], 1, adapter) for n, adapter in enumerate(adapters)]
    batches = by_adapter(rows, [owned(row) for row in rows])
    assert sorted(batch.adapter for batch in batches) == sorted(set(adapters))
    assert sorted(row for batch in batches for row in batch.rows) == sorted(rows)
    for batch in batches:
        assert {row.adapter for row in batch.rows} == {batch.adapter}
        assert [row.sequence for row in batch.rows] == sorted(row.sequence for row in batch.rows)
        assert [owner.id for owner in batch.owners] == [str(row.sequence) for row in batch.rows]


@given(st.lists(st.sampled_from(ADAPTERS), max_size=8), st.sampled_from(ADAPTERS))
def test_a_step_changes_the_adapter_as_rarely_as_can_be_and_keeps_each_ones_order(
    adapters: list[str], last: str
) -> None:
    batches = [Batch([Row(n, 0, [1], 1, adapter)], []) for n, adapter in enumerate(adapters)]
    ordered = in_order(batches, last)
    assert sorted(ordered) == sorted(batches)
    path = [last, *(batch.adapter for batch in ordered)]
    assert sum(a != b for a, b in pairwise(path)) == len(set(adapters) - {last})
    for adapter in ADAPTERS:
        mine = [batch for batch in ordered if batch.adapter == adapter]
        assert mine == [batch for batch in batches if batch.adapter == adapter]


@given(st.lists(st.tuples(st.integers(0, 4), tokens, st.sampled_from(ADAPTERS)), max_size=20), tokens)
def test_trees_under_different_roots_know_nothing_of_each_other(
    changes: list[tuple[int, list[int], str]], probe: list[int]
) -> None:
    tree = RadixTree()
    alone = {adapter: RadixTree() for adapter in ADAPTERS}
    for holder, path, adapter in changes:
        tree.set(holder, path, adapter)
        for name, other in alone.items():
            other.set(holder, path if name == adapter else [])
        for name, other in alone.items():
            assert tree.match(probe, name) == other.match(probe)
        assert tree.adapter(holder) == (adapter if path else "")


@given(
    st.lists(
        st.tuples(st.sampled_from(ADAPTERS), st.lists(st.sampled_from([[1] * 70, [2] * 70, [3] * 5]), max_size=3)),
        max_size=12,
    )
)
def test_no_placement_gives_a_prompt_what_another_adapter_computed(jobs: list[tuple[str, list[list[int]]]]) -> None:
    cells = Cells(2)
    held: dict[int, tuple[str, list[int]]] = {0: ("", []), 1: ("", [])}
    for now, (adapter, parts) in enumerate(jobs):
        prompt = [token for part in parts for token in part] + [9]
        placement = cells.take(prompt, adapter=adapter)
        assert placement
        if placement.cached:
            origin, path = held[placement.slot if placement.source is None else placement.source]
            assert origin == adapter
            assert path[: placement.cached] == prompt[: placement.cached]
        cells.release(placement.slot, prompt, float(now))
        held[placement.slot] = adapter, prompt
        assert cells.adapter(placement.slot) == adapter


def test_mixed_streams_say_what_each_says_alone() -> None:
    bench = Bench(slots=8)
    names = [f"{adapter}/{n}" for adapter in ADAPTERS for n in range(3)][:8]
    bench.run(*(job(name, PROMPT, max_tokens=30, adapter=name.partition("/")[0]) for name in names))
    for name in names:
        assert bench.text(name).encode() == answer(PROMPT, 30, adapter=name.partition("/")[0])
    assert len({bench.text(name) for name in names}) == len(ADAPTERS)


def test_a_conversation_finds_its_own_prefix_and_no_other() -> None:
    bench = Bench(slots=4)
    bench.run(job("bare", PROMPT))
    bench.run(job("first", PROMPT, adapter="one"))
    assert bench.started("first").cached == 0
    bench.run(job("again", PROMPT, adapter="one"))
    assert bench.started("again").cached == len(PROMPT) - 1


def test_nobody_waits_for_a_prompt_that_another_adapter_computes() -> None:
    bench = Bench(slots=4, batch=16)
    bench.submit(job("bare", PROMPT), job("adapted", PROMPT, adapter="one"), job("same", PROMPT))
    bench.step()
    assert [s.id for s in bench.scheduler.running.values()] == ["bare", "adapted"]
    bench.run()
    assert bench.started("same").cached == len(PROMPT) - 1


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sampled_from(ADAPTERS), min_size=2, max_size=8))
def test_what_is_stored_behind_the_cells_is_parted_too(adapters: list[str]) -> None:
    bench = Bench(slots=1)
    store = PrefixStore(CachePlan(ram=1 << 20), BLOCK, bench.clock, ("model",), lambda: None)
    tiers = Tiers(bench.backend, bench.scheduler.cells, store, 1, 0.25, bench.clock)
    bench.engine = Engine(bench.backend, bench.scheduler, bench.clock, "here", tiers)
    seen: set[str] = set()
    for n, adapter in enumerate(adapters):
        bench.run(job(str(n), PROMPT, max_tokens=4, adapter=adapter))  # the fake backend raises if cells are mixed
        assert bool(bench.started(str(n)).cached) == (adapter in seen)
        assert bench.text(str(n)).encode() == answer(PROMPT, 4, adapter=adapter)
        seen.add(adapter)


class Full(FakeBackend):
    """Has no room for any adapter."""

    def adapt(self, adapter: str, used: object) -> None:
        raise Busy(f"no room for {adapter} beside {used}", retry_after=1)


def test_an_adapter_that_cannot_be_had_fails_its_job_and_no_other() -> None:
    bench = Bench()
    bench.backend = Full(load())
    bench.engine = Engine(bench.backend, bench.scheduler, bench.clock, "here")
    bench.run(job("bare"), job("adapted", adapter="one"))
    assert bench.error("adapted") == Busy.code
    assert bench.text("bare").encode() == answer("hello", 20)
    assert bench.scheduler.cells.free == 4


def test_an_adapter_in_use_is_not_given_up() -> None:
    bench = Bench()
    bench.submit(job("first", PROMPT, adapter="one", max_tokens=50))
    bench.step(3)
    bench.run(job("second", PROMPT, adapter="other"), job("third", PROMPT))
    assert bench.text("first").encode() == answer(PROMPT, 50, adapter="one")


def test_after_a_crash_it_goes_on_with_its_adapter() -> None:
    whole = answer(PROMPT, 20, adapter="one")
    bench = Bench()
    bench.run(job("a", PROMPT, adapter="one", produced=tuple(whole[:7])))
    assert bench.text("a").encode() == whole[7:]
