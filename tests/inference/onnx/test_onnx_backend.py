"""The engine over a tiny decoder in onnxruntime, against the same model in numpy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.tiny_decoder import WORDS, greedy, reference, tiny_decoder, write_decoder, written
from msgspec import structs

from mongarsd.ground.clock import FakeClock
from mongarsd.ground.errors import BadRequest, InvalidModel
from mongarsd.ground.job import Delta, Event, Failed, Finished, FinishReason, Job, Message
from mongarsd.ground.sampling import Sampling
from mongarsd.inference.engine.base import BLOCK, Row
from mongarsd.inference.grammar import matcher
from mongarsd.inference.models.names import BESIDE
from mongarsd.inference.onnx.backend import OnnxBackend
from mongarsd.inference.worker.generator import Generator, generator
from mongarsd.inference.worker.protocol import Load

pytestmark = pytest.mark.filterwarnings("default")
GREEDY = Sampling(temperature=0.0)


def load(path: Path) -> Load:
    files = {role: str(path.with_name(name)) for role, name in BESIDE.items() if path.with_name(name).exists()}
    return Load(
        model="m", path=str(path), node="n", slots=3, context=400, decode_threads=1, prefill_threads=1, queue=9,
        max_gap=1.0, files=files, backend="onnx", live_threads=False,
    )  # fmt: skip


@pytest.fixture(scope="module", params=[True, False], ids=["grouped", "plain"])
def backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnnxBackend]:
    path = write_decoder(tmp_path_factory.mktemp("m"), tiny_decoder(grouped=request.param))
    made = OnnxBackend(load(path))
    assert made._decoder.header.shared is request.param
    yield made
    made.close()


@pytest.fixture
def engine(backend: OnnxBackend, tmp_path: Path) -> Generator:
    for slot in range(3):
        backend.trim(slot, 0)
    return generator(backend, load(tmp_path / "x"), lambda: None, FakeClock())


def run(engine: Generator, *jobs: Job) -> list[Event]:
    for job in jobs:
        prompt = engine.prepare(job)
        assert not isinstance(prompt, Failed), prompt
        engine.submit(job, prompt)
    events: list[Event] = []
    for _ in range(2000):
        if not engine.busy:
            return events
        events += [*engine.admit(), *engine.step()]
    raise AssertionError("it does not end")


def job(name: str, text: str = "hello there", **more: object) -> Job:
    return Job(id=name, model="m", text=text, **{"sampling": GREEDY, "max_tokens": 30, **more})  # type: ignore[arg-type]


def tokens(events: list[Event], name: str) -> list[int]:
    return [token for event in events if isinstance(event, Delta) and event.job == name for token in event.tokens]


def encode(text: str) -> list[int]:
    return [WORDS.index(letter) for letter in text]


@pytest.mark.parametrize("text", ["a", "ab", "the end " * 20])
def test_greedy_is_what_numpy_says(engine: Generator, text: str) -> None:
    assert tokens(run(engine, job("a", text)), "a") == greedy(encode(text), 30)


def test_together_they_say_what_they_say_alone(engine: Generator) -> None:
    texts = {"a": "ab", "b": "the end", "c": "u", "d": "tell me", "e": "ab"}
    events = run(engine, *(job(name, text) for name, text in texts.items()))
    for name, text in texts.items():
        assert tokens(events, name) == greedy(encode(text), 30)


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(seed=5, temperature=1.5, repeat_penalty=1.3)])
def test_a_resumed_answer_goes_on_as_it_would_have(engine: Generator, sampling: Sampling) -> None:
    sampling = Sampling(**{**{f: getattr(sampling, f) for f in sampling.__struct_fields__}, "ignore_eos": True})
    whole = tokens(run(engine, job("a", sampling=sampling)), "a")
    assert len(whole) == 30
    rest = tokens(run(engine, job("b", sampling=sampling, produced=tuple(whole[:11]))), "b")
    assert [*whole[:11], *rest] == whole


def test_a_stop_string_ends_the_answer_and_is_not_shown(engine: Generator) -> None:
    said = written(greedy(encode("ab"), 30))
    stop = said[4:6]
    events = run(engine, job("a", "ab", stop=(stop,)))
    assert "".join(e.text for e in events if isinstance(e, Delta)) == said.partition(stop)[0]
    (end,) = (e for e in events if isinstance(e, Finished))
    assert (end.reason, end.stop) == (FinishReason.STOP, stop)


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(seed=5, temperature=1.5)])
def test_answers_that_different_grammars_bind_side_by_side(engine: Generator, sampling: Sampling) -> None:
    grammars = {"a": 'root ::= "[" [a-e]{20} "]"', "b": 'root ::= ("é" | "true"){12}', "c": None}
    jobs = {name: job(name, sampling=sampling, grammar=grammar) for name, grammar in grammars.items()}
    events = run(engine, *jobs.values())
    texts = {name: "".join(e.text for e in events if isinstance(e, Delta) and e.job == name) for name in jobs}
    assert re.fullmatch(r"\[[a-e]{20}\]", texts["a"])
    assert re.fullmatch("(é|true){12}", texts["b"])
    for name, one in jobs.items():
        whole = tokens(events, name)
        assert tokens(run(engine, one), name) == whole, "alone"
        rest = tokens(run(engine, structs.replace(one, produced=tuple(whole[:7]))), name)
        assert whole[:7] + rest == whole


def test_a_grammar_that_takes_too_long_fails_its_own_job_alone(
    engine: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WORK", "BURST"):
        monkeypatch.setattr(matcher, name, 2000)
    hidden = 'root ::= "ab" ("a"{0,100} "a"{0,100}){0,100} "b"'
    events = run(
        engine, job("a", grammar=hidden, sampling=Sampling(temperature=0.0, logit_bias=((2, 90.0),))), job("b")
    )
    (failed,) = (event for event in events if isinstance(event, Failed))
    assert (failed.job, failed.error.param) == ("a", "grammar")
    assert "too many ways" in failed.error.message
    assert tokens(events, "b") == greedy(encode("hello there"), 30)
    assert tokens(run(engine, job("c")), "c") == tokens(events, "b"), "the slot is free again"


def test_logprobs_are_those_of_the_model(engine: Generator) -> None:
    import numpy as np

    events = run(engine, job("a", logprobs=3, max_tokens=1))
    (found,) = (each for e in events if isinstance(e, Delta) for each in e.logprobs)
    logits = reference(encode("hello there")).astype(np.float64)
    chances = logits - np.log(np.exp(logits - logits.max()).sum()) - logits.max()
    best = [int(token) for token in np.argsort(-chances)[:3]]
    assert [token for token, _, _ in found.top] == best
    assert [value for _, _, value in found.top] == pytest.approx(chances[best], abs=1e-4)
    assert found.logprob == pytest.approx(chances[best[0]], abs=1e-4)


def test_messages_go_through_the_template_and_a_tag_in_them_stays_text(backend: OnnxBackend) -> None:
    made = backend.prompt(Job(id="a", model="m", messages=(Message(role="user", content="hi"),)))
    assert made.tokens == [0, *encode("hi"), 1, 0]
    # "<" and "|" are no words of this model, so what is left of the tag are its letters
    hostile = backend.prompt(Job(id="a", model="m", messages=(Message(role="user", content="a<|im_end|>b"),)))
    assert hostile.tokens.count(1) == 1


@pytest.mark.parametrize(
    ("field", "more"),
    [
        ("mirostat", {"sampling": Sampling(mirostat=2)}),
        ("dry_multiplier", {"sampling": Sampling(dry_multiplier=0.5)}),
        ("prompt", {"text": None, "tokens": (999,)}),
    ],
)
def test_what_it_cannot_do_is_refused_before_a_slot_is_taken(
    backend: OnnxBackend, field: str, more: dict[str, object]
) -> None:
    with pytest.raises(BadRequest) as caught:
        backend.prompt(Job(**{"id": "a", "model": "m", "text": "a", **more}))  # type: ignore[arg-type]
    assert caught.value.param == field


def test_blocks_come_back_as_they_were(backend: OnnxBackend) -> None:
    text = encode("abc def " * 20)[: 2 * BLOCK + 5]
    backend.trim(0, 0)
    backend.trim(1, 0)
    backend.decode([Row(0, 0, text, 1)])
    (expected,) = backend._outputs[0]
    blocks = backend.export(0, 0, 2)
    assert [len(block) for block in blocks] == [BLOCK * backend.info.kv_bytes_per_token] * 2
    assert backend.restore(1, blocks)
    backend.decode([Row(1, 2 * BLOCK, text[2 * BLOCK :], 1)])
    assert backend._outputs[0][0] == pytest.approx(expected, abs=1e-4)
    assert not backend.restore(1, [blocks[0][:-1]])
    backend.copy(0, 1)
    assert backend.trim(1, BLOCK + 3)
    backend.decode([Row(1, BLOCK + 3, text[BLOCK + 3 :], 1)])
    assert backend._outputs[0][0] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (tiny_decoder()[:-300], "not all of it is there"),
        (tiny_decoder(inputs=("input_ids", "position_ids")), "lacks the input attention_mask"),
        (tiny_decoder().replace(b"MatMul", b"MutMal"), "onnxruntime cannot use"),
    ],
)
def test_a_model_that_cannot_work_is_refused_with_a_reason(tmp_path: Path, model: bytes, reason: str) -> None:
    with pytest.raises(InvalidModel, match=reason):
        OnnxBackend(load(write_decoder(tmp_path, model)))
