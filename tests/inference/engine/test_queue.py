from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mongarsd.ground.job import Job, Priority
from mongarsd.inference.engine.queue import FairQueue
from mongarsd.inference.engine.sequence import Sequence


def sequence(name: str, account: str = "", priority: Priority = Priority.INTERACTIVE, arrived: float = 0.0) -> Sequence:
    job = Job(id=name, model="m", account=account, priority=priority)
    return Sequence(job=job, tokens=[1], prompt=1, limit=10, arrived=arrived)


def names(queue: FairQueue, running: list[Sequence] | None = None) -> list[str]:
    return [s.id for s in queue.order(running or [])]


def filled(*sequences: Sequence) -> FairQueue:
    queue = FairQueue()
    for one in sequences:
        queue.push(one)
    return queue


def test_an_accounts_jobs_keep_their_order() -> None:
    assert names(filled(sequence("a"), sequence("b"), sequence("c"))) == ["a", "b", "c"]


def test_accounts_take_turns() -> None:
    queue = filled(*(sequence(f"x{i}", "x") for i in range(3)), sequence("y0", "y"), sequence("y1", "y"))
    assert names(queue) == ["x0", "y0", "x1", "y1", "x2"]


def test_who_has_less_running_goes_first() -> None:
    queue = filled(sequence("x1", "x"), sequence("y1", "y"))
    assert names(queue, [sequence("x0", "x")]) == ["y1", "x1"]


def test_interactive_goes_before_batch() -> None:
    queue = filled(sequence("slow", priority=Priority.BATCH), sequence("now", arrived=9.0))
    assert names(queue) == ["now", "slow"]


def test_an_account_that_was_served_waits_for_the_others() -> None:
    queue = filled(sequence("x0", "x"), sequence("x1", "x", arrived=1.0), sequence("y0", "y", arrived=2.0))
    queue.admitted(queue.order([])[0])
    assert names(queue) == ["y0", "x1"]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(list(Priority))), max_size=12))
def test_order_is_a_permutation_in_which_no_account_overtakes_itself(kinds: list[tuple[str, Priority]]) -> None:
    all_of_them = [sequence(str(i), account, priority, float(i)) for i, (account, priority) in enumerate(kinds)]
    order = filled(*all_of_them).order([])
    assert sorted(s.id for s in order) == sorted(s.id for s in all_of_them)
    for account in "abc":
        for priority in Priority:
            own = [s.arrived for s in order if s.job.account == account and s.job.priority is priority]
            assert own == sorted(own)
    priorities = [s.job.priority for s in order]
    assert priorities == sorted(priorities, key=list(Priority).index)
