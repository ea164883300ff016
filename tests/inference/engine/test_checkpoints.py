"""Checkpoints over the fake backend: it raises or says something else if a sequence is restored or cut wrongly."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.engine import answer, job, load
from fakes.tiers import Tiered
from hypothesis import given, settings
from hypothesis import strategies as st

from mongarsd.ground.job import Priority
from mongarsd.inference.cache.disk import scan
from mongarsd.inference.engine.base import BLOCK
from mongarsd.inference.engine.checkpoints import FIRST, MOST_SPACED, SPACED_BYTES, SPACING, marks
from mongarsd.inference.engine.fake import FakeBackend
from mongarsd.inference.engine.loop import Engine
from mongarsd.inference.engine.tiers import SHARE
from mongarsd.inference.worker.protocol import Load

KINDS = ("recurrent", "hybrid", "window")
LONG = "once upon a time there was a very long prompt " * 8  # 368 tokens: 5 blocks
SYSTEM = "you are a helpful assistant and so on and on " * 5  # 225 tokens: 3 blocks
MIB = 1 << 20


def kept(folder: Path, kind: str, *, slots: int = 2, ram: int = MIB, disk: int = 0) -> Tiered:
    return Tiered(folder, kind, slots=slots, ram=ram, disk=disk)


def others(count: int) -> list[str]:
    return [f"{n} {n} something else altogether " * 10 for n in range(count)]


@given(prompt=st.integers(1, 20_000), more=st.integers(0, 20_000), shared=st.integers(0, 20_000))
def test_marks_are_few_whole_blocks_and_end_with_the_prompt(prompt: int, more: int, shared: int) -> None:
    limit = prompt + more
    chosen = marks(prompt, limit, shared, lambda _: 1 << 20)
    assert len(chosen) <= MOST_SPACED + 2
    assert all(mark % BLOCK == 0 and 0 < mark < limit for mark in chosen)
    end = max((mark for mark in chosen if mark < prompt), default=0)
    assert prompt - end <= BLOCK
    if 0 < shared < prompt - BLOCK:
        assert any(0 <= shared - mark < BLOCK for mark in chosen) or shared < BLOCK
    spaced = sorted(mark for mark in chosen if mark % SPACING == 0)
    assert not spaced or len(spaced) >= min(limit // SPACING, MOST_SPACED) // 2


@given(
    limit=st.integers(1, 40_000),
    state=st.integers(0, 200 * MIB),
    each=st.sampled_from([0, 100, 16_000, 100_000]),
)
def test_the_spaced_ones_cost_a_bounded_number_of_bytes_a_token_and_are_as_many_as_that_allows(
    limit: int, state: int, each: int
) -> None:
    def size(tokens: int) -> int:
        return state + each * tokens

    spaced = sorted(marks(1, limit, 0, size))
    choices = [list(range(s, limit, s)) for s in (SPACING << n for n in range(9)) if limit // s <= MOST_SPACED]
    affordable = [choice for choice in choices if sum(map(size, choice)) <= SPACED_BYTES * limit]
    assert spaced == (affordable[0] if affordable else [])


class Heavy(FakeBackend):
    """Says that its states are of `bytes`, and notes at which lengths they are saved."""

    bytes = 0

    def __init__(self, load: Load) -> None:
        super().__init__(load)
        self.saved: list[int] = []

    def checkpoint_size(self, tokens: int) -> int:
        return self.bytes if tokens else 0

    def checkpoint(self, sequence: int) -> bytes:
        self.saved.append(len(self._cells[sequence]))
        return super().checkpoint(sequence)


@settings(max_examples=20, deadline=None)
@given(kind=st.sampled_from(["recurrent", "hybrid"]), size=st.integers(1, 200 * MIB))
def test_the_first_save_too_is_left_out_beside_a_stream_that_would_wait_longer_than_its_bound(
    tmp_path_factory: pytest.TempPathFactory, kind: str, size: int
) -> None:
    bench = kept(tmp_path_factory.mktemp("cache"), kind)
    backend = bench.tiers._backend = bench.backend = Heavy(load(2, 2048, path=f"fake?kind={kind}"))
    backend.bytes = size
    bench.engine = Engine(backend, bench.scheduler, bench.clock, "here", bench.tiers)
    bench.submit(job("stream", "hello", max_tokens=200))
    bench.step(3)
    assert bench.scheduler.streaming
    bench.submit(job("long", LONG, max_tokens=4))
    bench.finish()
    bench.check("long", LONG, 4)
    bound = 0.25 * SHARE * FIRST
    if size > bound:
        assert not backend.saved
    elif size < 0.99 * bound:  # the rows of a hybrid one count too
        assert backend.saved


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_pushed_out_of_the_cells_comes_back_from_ram(tmp_path: Path, kind: str) -> None:
    bench = kept(tmp_path, kind)
    assert bench.ask("first", LONG) == 0
    for n, other in enumerate(others(4)):
        bench.ask(f"other {n}", other)
    assert bench.ask("again", LONG) == 5 * BLOCK
    assert (bench.tier("ram").hits, bench.tier("ram").tokens) == (1, 5 * BLOCK)
    assert bench.engine.pulse().cache.misses == 5


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_process_reads_it_from_disk_until_it_is_cleared(tmp_path: Path, kind: str) -> None:
    first = kept(tmp_path, kind, disk=MIB)
    first.ask("first", LONG)
    first.settle()
    assert len(list(scan(tmp_path))) == (1 if kind == "recurrent" else 6)
    second = kept(tmp_path, kind, disk=MIB)
    assert second.ask("again", LONG) == 5 * BLOCK
    assert second.tier("disk").hits == 1
    second.engine.clear_cache()
    second.settle()
    assert not list(scan(tmp_path))
    assert second.ask("and again", LONG) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_checkpoint_is_computed_again(tmp_path: Path, kind: str) -> None:
    first = kept(tmp_path, kind, disk=MIB)
    first.ask("short", LONG[:200])
    first.ask("first", LONG)
    first.settle()
    last = max(scan(tmp_path), key=lambda found: found.position).path
    last.write_bytes(last.read_bytes()[:-1] + b"!")
    second = kept(tmp_path, kind, disk=MIB)
    assert second.ask("again", LONG) == 3 * BLOCK  # the shorter prompt's
    second.settle()
    assert kept(tmp_path, kind, disk=MIB).ask("once more", LONG) == 5 * BLOCK


@pytest.mark.parametrize("kind", KINDS)
def test_a_conversation_goes_on_in_its_slot(tmp_path: Path, kind: str) -> None:
    bench = kept(tmp_path, kind)
    bench.ask("first", LONG, 20)
    whole = LONG + answer(LONG, 20, 2048).decode()
    assert bench.ask("second", whole + " and now?") == len(whole) - (kind != "window" or 1)
    assert bench.tier("kv").hits == 1


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_that_is_told_otherwise_costs_no_more_than_itself(tmp_path: Path, kind: str) -> None:
    """The template renders an answer in another way than it was said: thinking is left out, blanks are trimmed."""
    bench = kept(tmp_path, kind)
    bench.ask("first", LONG, 20)
    assert bench.ask("second", LONG + "not what it said, and now?") >= 5 * BLOCK


@pytest.mark.parametrize("kind", ["recurrent", "hybrid"])
def test_where_prompts_part_a_checkpoint_is_made_for_the_third(tmp_path: Path, kind: str) -> None:
    bench = kept(tmp_path, kind, slots=1)
    cached = [bench.ask(str(n), SYSTEM + other) for n, other in enumerate(others(3))]
    assert cached == [0, 0, 3 * BLOCK]


@pytest.mark.parametrize("kind", KINDS)
def test_those_who_come_together_wait_for_the_first_to_compute_what_they_share(tmp_path: Path, kind: str) -> None:
    bench = kept(tmp_path, kind, slots=4)
    texts = [SYSTEM + other for other in others(4)]
    bench.submit(*(job(str(n), text, max_tokens=8) for n, text in enumerate(texts)))
    bench.finish()
    for n, text in enumerate(texts):
        bench.check(str(n), text, 8)
    assert sum(bench.started(str(n)).cached >= 3 * BLOCK for n in range(4)) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_restarted_worker_and_a_slot_given_up_go_on_with_the_same_words(tmp_path: Path, kind: str) -> None:
    first = kept(tmp_path, kind, slots=1, disk=MIB)
    batch = job("batch", LONG, max_tokens=40, priority=Priority.BATCH)
    first.submit(batch)
    first.step(6)
    first.submit(job("now", "hurry", max_tokens=3))
    first.step(8)
    said = first.tokens("batch")
    assert said
    assert first.finished("now")
    first.settle()
    second = kept(tmp_path, kind, slots=1, disk=MIB)
    second.submit(batch.resume(said))
    second.finish()
    assert second.started("batch").cached == 5 * BLOCK
    whole = first.text("batch") + second.text("batch")
    assert whole.encode() == answer(LONG, 40, 2048)


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    talks=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 12), st.booleans()), min_size=1, max_size=12),
    ram=st.sampled_from([0, 500, 5000, MIB]),
    disk=st.sampled_from([0, 3 * 4096, MIB]),
)
@pytest.mark.slow
def test_whatever_is_stored_the_text_is_right(
    tmp_path_factory: pytest.TempPathFactory, kind: str, talks: list[tuple[int, int, bool]], ram: int, disk: int
) -> None:
    folder = tmp_path_factory.mktemp("cache")
    bench = kept(folder, kind, ram=ram, disk=disk)
    for n, (who, length, restart) in enumerate(talks):
        bench.ask(f"job {n}", f"conversation {who}: " * length * 4, 3)
        assert bench.tier("ram").bytes <= ram
        if restart:
            bench.engine.close()
            bench = kept(folder, kind, ram=ram, disk=disk)
        else:
            bench.settle()
