"""Any order of arrivals, steps, cancellations and crashes: every job is answered as if alone, or told why not."""

from __future__ import annotations

from fakes.engine import Bench, answer, job
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mongarsd.ground.errors import ErrorInfo
from mongarsd.ground.job import Failed, Finished, FinishReason, Job, Priority
from mongarsd.inference.engine.speculation import Speculation

CONTEXT = 96
WORDS = ["the same long beginning of many prompts, ", "something else, ", "tail ", "| "]


class EngineMachine(RuleBasedStateMachine):
    @initialize(
        slots=st.integers(1, 4), queue=st.integers(0, 4), batch=st.sampled_from([16, 64]), speculate=st.booleans()
    )
    def start(self, slots: int, queue: int, batch: int, speculate: bool) -> None:
        self.size = (slots, queue, batch)
        self.speculate = speculate
        self.bench = self.new_bench(queue)
        self.jobs: dict[str, Job] = {}
        self.cancelled: set[str] = set()

    @rule(
        words=st.lists(st.sampled_from(WORDS), min_size=0, max_size=4),
        max_tokens=st.integers(0, 30),
        account=st.sampled_from("ab"),
        priority=st.sampled_from(list(Priority)),
        adapter=st.sampled_from(["", "", "one", "other"]),
    )
    def submit(self, words: list[str], max_tokens: int, account: str, priority: Priority, adapter: str) -> None:
        self.ask("".join(words), max_tokens, account, priority, adapter)

    @precondition(lambda self: self.jobs)
    @rule(
        data=st.data(), word=st.sampled_from(["", *WORDS]), max_tokens=st.integers(0, 30), like=st.booleans(),
        priority=st.sampled_from(list(Priority)),
    )  # fmt: skip
    def go_on(self, data: st.DataObject, word: str, max_tokens: int, like: bool, priority: Priority) -> None:
        """A prompt of what another job has said so far, whose last token is in no cell yet."""
        name = data.draw(st.sampled_from(sorted(self.jobs)))
        before = self.jobs[name]
        assert before.text is not None
        text = before.text + self.bench.text(name) + word
        self.ask(text, max_tokens, before.account, priority, before.adapter if like else "")

    def ask(self, text: str, max_tokens: int, account: str, priority: Priority, adapter: str) -> None:
        name = str(len(self.jobs))
        one = job(name, text, max_tokens=max_tokens, account=account, priority=priority, adapter=adapter)
        self.jobs[name] = one
        self.bench.submit(one)

    @rule(times=st.integers(1, 8))
    def step(self, times: int) -> None:
        self.bench.step(times)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.jobs)))
        self.cancelled.add(name)
        self.bench.engine.cancel(name)

    @rule()
    def crash(self) -> None:
        """The worker dies; a new one gets every job that has not ended, with what it had produced."""
        self.bench.step(0)
        old, self.bench = self.bench, self.new_bench(len(self.jobs))
        self.bench.events = old.events
        for name, one in self.jobs.items():
            if name in self.cancelled and not self.ended(name):
                self.bench.events[name].append(Failed(name, ErrorInfo("gone", "cancelled just before the crash")))
            elif not self.ended(name):
                self.bench.submit(one.resume(old.tokens(name)))

    def new_bench(self, queue: int) -> Bench:
        slots, _, batch = self.size
        speculation = Speculation() if self.speculate else None
        return Bench(slots=slots, context=CONTEXT, queue=queue, batch=batch, speculation=speculation)

    def ended(self, name: str) -> bool:
        return any(isinstance(e, Finished | Failed) for e in self.bench.events[name])

    @invariant()
    def slots_add_up(self) -> None:
        scheduler = self.bench.scheduler
        assert scheduler.cells.free + len(scheduler.running) == self.size[0]
        assert len({s.slot for s in scheduler.running.values()}) == len(scheduler.running)

    @invariant()
    def what_was_said_is_right(self) -> None:
        for name, one in self.jobs.items():
            assert one.text is not None
            whole = answer(one.text, one.max_tokens or 0, CONTEXT, one.adapter)
            said = self.bench.text(name).encode()
            assert whole.startswith(said)
            for event in self.bench.events[name]:
                if isinstance(event, Finished) and event.reason in (FinishReason.STOP, FinishReason.LENGTH):
                    assert said == whole

    def teardown(self) -> None:
        if not hasattr(self, "bench"):
            return
        self.bench.run()
        for name in self.jobs:
            ends = [e for e in self.bench.events[name] if isinstance(e, Finished | Failed)]
            assert len(ends) == 1, f"job {name} ended {len(ends)} times"


EngineMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestEngine = EngineMachine.TestCase
