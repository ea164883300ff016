from __future__ import annotations

from array import array

from hypothesis import given
from hypothesis import strategies as st

from mongarsd.ground.job import Job, Priority
from mongarsd.inference.embed.batches import BUCKET, Queue, Work, bucket


def work(name: str, *lengths: int, account: str = "", arrived: float = 0.0, batch: bool = False) -> Work:
    priority = Priority.BATCH if batch else Priority.INTERACTIVE
    job = Job(id=name, model="m", embed=("x",) * len(lengths), account=account, priority=priority)
    return Work(job, [array("i", [1] * length) for length in lengths], arrived, 1)


def queue(*works: Work) -> Queue:
    made = Queue()
    for each in works:
        made.push(each)
    return made


def ids(run: list[tuple[Work, int]]) -> list[str]:
    return [each.job.id for each, _ in run]


def finish(waiting: Queue, run: list[tuple[Work, int]]) -> None:
    for each, index in run:
        each.put(index, b"abcd")
        if each.done:
            waiting.pop(each.job.id)


def test_texts_of_several_jobs_share_a_run() -> None:
    assert ids(queue(work("a", 5), work("b", 7), work("c", 9)).run()) == ["a", "b", "c"]


def test_texts_of_other_lengths_wait_for_their_own_run() -> None:
    waiting = queue(work("a", 5), work("b", 200), work("c", 9))
    assert ids(waiting.run()) == ["a", "c"]


def test_a_run_is_bounded() -> None:
    waiting = queue(work("a", *[100] * 50))
    assert len(waiting.run(budget=1024)) == 1024 // bucket(100)


def test_a_text_over_the_bound_runs_alone() -> None:
    assert ids(queue(work("a", 300), work("b", 300)).run(budget=100)) == ["a"]


def test_interactive_goes_first() -> None:
    waiting = queue(work("a", *[5] * 100, batch=True), work("b", 200, arrived=1.0))
    assert ids(waiting.run()) == ["b"]


def test_accounts_take_turns() -> None:
    waiting = queue(work("many", *[5] * 500, account="x"), work("one", 200, account="y", arrived=1.0))
    assert set(ids(waiting.run())) == {"many"}
    assert ids(waiting.run()) == ["one"]


def test_a_newcomer_does_not_get_what_others_had_before_it() -> None:
    waiting = queue(work("x", *[5] * 500, account="x"))
    for _ in range(3):
        waiting.run()
    waiting.push(work("y", *[20] * 500, account="y", arrived=1.0))
    turns = [ids(waiting.run())[0] for _ in range(6)]
    assert turns.count("y") <= 4
    assert "x" in turns[:3]


@given(
    jobs=st.lists(
        st.tuples(st.lists(st.integers(1, 300), min_size=1, max_size=20), st.sampled_from("xyz"), st.booleans()),
        min_size=1,
        max_size=8,
    ),
    budget=st.integers(16, 2048),
    cancelled=st.sets(st.integers(0, 7)),
)
def test_every_text_is_computed_once_within_the_bound(
    jobs: list[tuple[list[int], str, bool]], budget: int, cancelled: set[int]
) -> None:
    works = [work(str(i), *lengths, account=a, batch=b, arrived=i) for i, (lengths, a, b) in enumerate(jobs)]
    waiting = queue(*works)
    seen: set[tuple[str, int]] = set()
    steps = 0
    while run := waiting.run(budget):
        assert len(run) == 1 or len(run) * max(len(each.texts[index]) for each, index in run) <= budget
        lengths = [len(each.texts[index]) for each, index in run]
        assert max(lengths) - min(lengths) < BUCKET
        for each, index in run:
            assert (each.job.id, index) not in seen
            seen.add((each.job.id, index))
        finish(waiting, run)
        steps += 1
        if steps == 3:
            for number in cancelled:
                waiting.pop(str(number))
    assert len(waiting) == 0
    assert waiting.backlog == 0
    for each in works:
        assert each.done or int(each.job.id) in cancelled
