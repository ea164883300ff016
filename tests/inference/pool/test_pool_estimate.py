from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mongarsd.ground.job import Job, Message
from mongarsd.inference.pool.estimate import Situation, estimate, prompt_tokens
from mongarsd.inference.worker.protocol import Pulse


def pulse(busy: int = 0, queued: int = 0, prefill: int = 0, decode: int = 0, step: float = 0.05) -> Pulse:
    return Pulse(
        busy_slots=busy,
        queued=queued,
        backlog_prefill=prefill,
        backlog_decode=decode,
        prefill_rate=100.0,
        decode_rate=50.0,
        step=step,
        cached_tokens=0,
    )


def now(state: Pulse | None = None, jobs: int = 0, wait: float = 0.0, slots: int = 8) -> Situation:
    return Situation(size=1_000_000_000, slots=slots, jobs=jobs, wait=wait, pulse=state)


JOB = Job(id="j", model="m", tokens=(1,) * 200, max_tokens=40)


def test_a_free_worker() -> None:
    told = estimate(JOB, now(pulse()))
    assert (told.first_token, told.finish, told.position) == (2.0, 4.0, 0)
    assert told.why == "0 of 8 slots are taken; prompts at 100 tokens/s (measured)"


def test_a_full_worker_frees_a_slot_when_the_first_of_its_jobs_ends() -> None:
    told = estimate(JOB, now(pulse(busy=8, decode=4000), jobs=8))
    assert told.first_token == 80 / 8 + 2.0
    assert told.position == 0
    told = estimate(JOB, now(pulse(busy=8, queued=8, decode=8000), jobs=16))
    assert told.first_token == 160 * 9 / 16 + 2.0
    assert told.position == 8


def test_jobs_that_the_pulse_does_not_know_count() -> None:
    assert estimate(JOB, now(pulse(), jobs=1)).first_token == 2.0 + 2.0


def test_before_the_first_pulse_size_decides() -> None:
    told = estimate(JOB, now(wait=3.0))
    assert told.first_token == 3.0 + 200 / 39
    assert "loading takes about 3.0 s" in told.why
    assert "assumed" in told.why


def test_prompt_lengths() -> None:
    assert prompt_tokens(JOB) == 200
    assert prompt_tokens(Job(id="j", model="m", text="x" * 400)) == 101
    assert prompt_tokens(Job(id="j", model="m", messages=(Message(role="user", content="x" * 400),))) == 110


@given(
    st.builds(pulse, st.integers(0, 8), st.integers(0, 50), st.integers(0, 10**5), st.integers(0, 10**5)) | st.none(),
    st.integers(0, 80),
    st.floats(0, 100),
    st.integers(0, 5000),
)
def test_estimates_make_sense(state: Pulse | None, jobs: int, wait: float, produced: int) -> None:
    told = estimate(JOB.resume((1,) * produced), now(state, jobs, wait))
    assert wait <= told.first_token <= told.finish
    assert told.position >= 0
    assert told.why
