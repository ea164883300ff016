from __future__ import annotations

from array import array
from collections.abc import Sequence

import pytest
from msgspec import structs

from mongarsd.ground.clock import FakeClock
from mongarsd.ground.errors import BadRequest, InvalidModel
from mongarsd.ground.job import Embedded, Event, Failed, Finished, FinishReason, Job, Ranked, Rerank, Started
from mongarsd.inference.embed.embedder import Embedder
from mongarsd.inference.embed.whole import too_long
from mongarsd.inference.engine.fake import FakeBackend
from mongarsd.inference.engine.loop import prepare
from mongarsd.inference.worker.protocol import Kind, Load, ModelInfo

CONTEXT = 256
LOAD = Load(
    model="m",
    path="",
    node="here",
    slots=1,
    context=CONTEXT,
    decode_threads=1,
    prefill_threads=1,
    queue=2,
    max_gap=1.0,
    kind="embedding",
)
INFO = ModelInfo(
    architecture="onnx", parameters=1, vocabulary=9, context_train=256, context=256, slots=1, kv_bytes_per_token=0,
    has_template=False, dimensions=1,
)  # fmt: skip


class Letters:
    """A token for each letter; a text's vector is its first letter, four times. Each run takes `pace` seconds."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.runs: list[int] = []
        self.pace = 1.0
        self.error: Exception | None = None

    def __call__(self, texts: Sequence[str], *, whole: bool = False) -> list[array[int]]:
        if whole and (long := [i for i, text in enumerate(texts) if len(text) > CONTEXT]):
            raise too_long(long[0], len(texts[long[0]]), CONTEXT)
        return [array("i", list(text.encode())) for text in texts]

    def pairs(self, query: str, documents: Sequence[str]) -> list[array[int]]:
        if len(query) > 9:
            raise BadRequest("query: too long", param="query")
        return self([query + document for document in documents])

    def vectors(self, texts: Sequence[array[int]]) -> list[bytes]:
        self.clock.advance(self.pace)
        self.runs.append(len(texts))
        if self.error:
            raise self.error
        return [bytes([text[0]]) * 4 for text in texts]


class Bench:
    def __init__(self, kind: Kind = "embedding") -> None:
        self.clock = FakeClock()
        self.model = Letters(self.clock)
        self.embedder = Embedder(INFO, self.model, self.model, self.clock, structs.replace(LOAD, kind=kind))

    def submit(self, name: str, *texts: str, **more: object) -> None:
        job = Job(id=name, model="m", embed=texts, **more)  # type: ignore[arg-type]
        self.embedder.submit(job, self.embedder.prepare(job))  # type: ignore[arg-type]

    def rest(self) -> list[Event]:
        events: list[Event] = []
        for _ in range(100):
            events += [*self.embedder.admit(), *self.embedder.step()]
            if not self.embedder.busy:
                return events
        raise AssertionError("it does not end")


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_job_starts_gives_its_vectors_in_order_and_ends(bench: Bench) -> None:
    bench.submit("a", "bbb", "c" * 40, "dd")
    started, embedded, finished = bench.rest()
    assert started == Started("a", "here", 0.0, 45)
    assert embedded == Embedded("a", b"bbbbccccdddd", 1)
    assert isinstance(finished, Finished)
    assert (finished.reason, finished.usage.prompt, finished.usage.completion) == (FinishReason.STOP, 45, 0)
    assert finished.timings.prefill == 2.0


def test_a_text_that_must_be_read_in_full_and_cannot_fails_its_job(bench: Bench) -> None:
    failed = bench.embedder.prepare(Job(id="a", model="m", embed=("b", "c" * 257), whole=True))
    assert isinstance(failed, Failed)
    assert (failed.error.code, failed.error.param) == ("context_length_exceeded", "input[1]")


def test_jobs_that_wait_together_are_computed_together(bench: Bench) -> None:
    for name in "abc":
        bench.submit(name, name, name * 2)
    events = bench.rest()
    assert bench.model.runs == [6]
    assert sorted(event.job for event in events if isinstance(event, Embedded)) == ["a", "b", "c"]


def test_the_queue_is_bounded(bench: Bench) -> None:
    for name in "abcd":
        bench.submit(name, name)
    failed = [event for event in bench.rest() if isinstance(event, Failed)]
    assert [(event.job, event.error.code) for event in failed] == [("d", "busy")]
    assert failed[0].error.detail["retry_after"] >= 1


def test_cancel_before_and_between_the_runs(bench: Bench) -> None:
    bench.submit("a", *["x"] * 100)
    bench.embedder.admit()
    bench.embedder.step()
    bench.embedder.cancel("a")
    bench.embedder.cancel("nobody")
    events = bench.rest()
    assert [type(event) for event in events] == [Finished]
    assert isinstance(events[0], Finished)
    assert events[0].reason is FinishReason.CANCELLED
    assert bench.model.runs == [16]


def test_a_deadline_ends_a_job_that_runs_and_one_that_waits(bench: Bench) -> None:
    bench.submit("a", *["x"] * 300, deadline=1.5)
    bench.submit("b", "y" * 100, deadline=0.5)
    events = bench.rest()
    assert [(type(e), e.job) for e in events] == [(Started, "a"), (Failed, "b"), (Finished, "a")]
    assert isinstance(events[1], Failed)
    assert events[1].error.code == "deadline_exceeded"
    assert isinstance(events[2], Finished)
    assert events[2].reason is FinishReason.DEADLINE


@pytest.mark.parametrize("error", [RuntimeError("indices element out of data bounds"), InvalidModel("no numbers")])
def test_what_the_model_cannot_compute_fails_its_jobs_and_no_others(bench: Bench, error: Exception) -> None:
    bench.submit("a", "x")
    bench.model.error = error
    assert [type(event) for event in bench.rest()] == [Started, Failed]
    bench.model.error = None
    bench.submit("b", "x")
    assert [type(event) for event in bench.rest()] == [Started, Embedded, Finished]


def test_runs_grow_with_the_speed_of_the_board(bench: Bench) -> None:
    bench.submit("a", *["x" * 16] * 200)
    bench.model.pace = 0.01
    bench.rest()
    assert bench.model.runs == [16, 64, 64, 56]


def test_a_chat_job_is_refused(bench: Bench) -> None:
    refused = bench.embedder.prepare(Job(id="a", model="m", text="hello"))
    assert isinstance(refused, Failed)
    assert refused.error.code == "invalid_request"


def test_a_model_that_answers_refuses_texts_to_embed() -> None:
    refused = prepare(FakeBackend(LOAD), Job(id="a", model="m", embed=("x",)))
    assert isinstance(refused, Failed)
    assert refused.error.code == "invalid_request"


def test_the_pulse_says_what_waits_and_how_fast_it_goes(bench: Bench) -> None:
    bench.submit("a", *["xxxx"] * 100)
    bench.submit("b", "y")
    before = bench.embedder.pulse()
    assert (before.busy_slots, before.queued, before.backlog_prefill) == (1, 1, 401)
    bench.rest()
    after = bench.embedder.pulse()
    assert (after.busy_slots, after.queued, after.backlog_prefill) == (0, 0, 0)
    assert after.prefill_rate > 0


def test_who_is_computed_is_told_before(bench: Bench) -> None:
    """If a text kills the worker, the pool knows whom not to try again."""
    bench.submit("a", "text")
    assert bench.embedder.admit() == (Started("a", "here", 0.0, 4),)
    assert bench.model.runs == []
    assert [type(event) for event in bench.embedder.step()] == [Embedded, Finished]


def test_documents_are_scored_in_their_order() -> None:
    bench = Bench("rerank")
    job = Job(id="a", model="m", rerank=Rerank("q", ("b" * 40, "c")))
    prepared = bench.embedder.prepare(job)
    assert not isinstance(prepared, Failed)
    bench.embedder.submit(job, prepared)
    started, ranked, finished = bench.rest()
    assert started == Started("a", "here", 0.0, 43)
    score = array("f", b"qqqq")[0]
    assert ranked == Ranked("a", (score, score))
    assert isinstance(finished, Finished)


@pytest.mark.parametrize(
    ("kind", "job", "reason"),
    [
        ("rerank", Job(id="a", model="m", rerank=Rerank("too long a query", ("b",))), "query"),
        ("rerank", Job(id="a", model="m", embed=("b",)), "/v1/rerank"),
        ("embedding", Job(id="a", model="m", rerank=Rerank("q", ("b",))), "/v1/embeddings"),
        ("embedding", Job(id="a", model="m", text="x"), "/v1/embeddings"),
    ],
)
def test_what_a_model_is_not_for_fails_alone(kind: Kind, job: Job, reason: str) -> None:
    failed = Bench(kind).embedder.prepare(job)
    assert isinstance(failed, Failed)
    assert reason in failed.error.message
