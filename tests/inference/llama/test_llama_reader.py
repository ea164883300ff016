"""GGUF models that embed or rank, through llama.cpp itself."""

from __future__ import annotations

import math
import random
from array import array
from collections.abc import Callable
from pathlib import Path

import gguf
import pytest
from fakes.tiny_reader import CLS, CONTEXT, QWEN_CONTEXT, SEP, WIDTH, WORDS, write_bert, write_qwen

from mongarsd.ground.clock import FakeClock
from mongarsd.ground.errors import InvalidModel
from mongarsd.ground.job import Embedded, Event, Failed, Finished, Job, Ranked, Rerank, Started
from mongarsd.inference.embed.embedder import Embedder
from mongarsd.inference.llama.embedding import sigmoid
from mongarsd.inference.llama.reader import open_reader
from mongarsd.inference.models.formats import capabilities, inspect
from mongarsd.inference.worker.protocol import Kind, Load

Open = Callable[..., Embedder]
TEXTS = ["red", "green blue", "one two three " * 20, "a", "red " * 150, "x y z"] * 9


def load(path: Path, kind: Kind = "embedding", context: int = 1024) -> Load:
    return Load(
        model="m", path=str(path), node="here", slots=1, context=context, decode_threads=1, prefill_threads=1,
        queue=8, max_gap=1.0, live_threads=False, kind=kind,
    )  # fmt: skip


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Embedder:
    return open_reader(load(write_bert(tmp_path_factory.mktemp("bert") / "m.gguf")), FakeClock())


@pytest.fixture(scope="module")
def ranker(tmp_path_factory: pytest.TempPathFactory) -> Embedder:
    path = write_bert(tmp_path_factory.mktemp("rank") / "m.gguf", pooling=None, head=True)
    return open_reader(load(path, "rerank"), FakeClock())


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Embedder:
    return open_reader(load(write_qwen(tmp_path_factory.mktemp("qwen") / "m.gguf")), FakeClock())


@pytest.fixture(scope="module")
def qwen_ranker(tmp_path_factory: pytest.TempPathFactory) -> Embedder:
    path = write_qwen(tmp_path_factory.mktemp("qrank") / "m.gguf", ranks=True)
    return open_reader(load(path, "rerank"), FakeClock())


def run(model: Embedder, *jobs: Job) -> list[Event]:
    for job in jobs:
        prepared = model.prepare(job)
        assert not isinstance(prepared, Failed), prepared
        model.submit(job, prepared)
    events: list[Event] = []
    for _ in range(1000):
        events += [*model.admit(), *model.step()]
        if not model.busy:
            return events
    raise AssertionError("it does not end")


def embed(model: Embedder, *texts: str) -> list[list[float]]:
    (found,) = [event for event in run(model, Job(id="j", model="m", embed=texts)) if isinstance(event, Embedded)]
    numbers = array("f", found.vectors).tolist()
    return [numbers[start : start + found.dimensions] for start in range(0, len(numbers), found.dimensions)]


def rank(model: Embedder, query: str, *documents: str) -> tuple[float, ...]:
    job = Job(id="j", model="m", rerank=Rerank(query, documents))
    (found,) = [event for event in run(model, job) if isinstance(event, Ranked)]
    return found.scores


def cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)


@pytest.mark.parametrize("name", ["bert", "qwen"])
def test_together_gives_what_one_at_a_time_gives(name: str, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(name)
    together = embed(model, *TEXTS)
    alone = [embed(model, text)[0] for text in TEXTS[:6]] * 9
    assert all(len(vector) == WIDTH for vector in together)
    assert min(cosine(a, b) for a, b in zip(together, alone, strict=True)) >= 0.9999
    assert all(math.hypot(*vector) == pytest.approx(1, abs=1e-5) for vector in together)
    assert max(cosine(together[0], other) for other in together[1:6]) < 0.999


@pytest.mark.parametrize("name", ["ranker", "qwen_ranker"])
def test_documents_are_scored_alike_together_and_alone(name: str, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(name)
    together = rank(model, "red one", *TEXTS)
    alone = [rank(model, "red one", text)[0] for text in TEXTS[:6]] * 9
    assert together == pytest.approx(alone, abs=2e-3)  # attention computes in 16 bits, in another order
    assert all(0 <= score <= 1 for score in together)
    assert len({round(score, 5) for score in together}) > 3
    assert rank(model, "blue", "red")[0] != pytest.approx(together[0], abs=1e-6)


@pytest.mark.parametrize(("name", "limit"), [("bert", CONTEXT), ("qwen", QWEN_CONTEXT)])
def test_a_long_text_is_cut_and_its_end_token_kept(name: str, limit: int, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(name)
    started, _, finished = run(model, Job(id="j", model="m", embed=("green " * 5000,)))
    assert isinstance(started, Started)
    assert isinstance(finished, Finished)
    assert started.prompt == finished.usage.prompt == limit
    short = model.prepare(Job(id="j", model="m", embed=("red",)))[0]
    assert model.prepare(Job(id="j", model="m", embed=("green " * 5000,)))[0][-1] == short[-1]


@pytest.mark.parametrize(("name", "limit"), [("bert", CONTEXT), ("qwen", QWEN_CONTEXT)])
def test_a_long_text_that_must_be_read_in_full_is_refused(
    name: str, limit: int, request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(name)
    fits = "red " * (limit // 8)
    assert model.prepare(Job(id="j", model="m", embed=(fits,), whole=True)) == model.prepare(
        Job(id="j", model="m", embed=(fits,))
    )
    for text in ("green " * (limit + 1), "g" * (limit * 64 + 1)):
        failed = model.prepare(Job(id="j", model="m", embed=(fits, text), whole=True))
        assert isinstance(failed, Failed)
        assert (failed.error.code, failed.error.param) == ("context_length_exceeded", "input[1]")
        assert failed.error.detail["limit"] == limit < failed.error.detail["prompt"]


def test_texts_and_pairs_are_framed_as_bert_was_trained(bert: Embedder, ranker: Embedder) -> None:
    red, blue = 4 + WORDS.index("red"), 4 + WORDS.index("blue")
    assert bert.prepare(Job(id="j", model="m", embed=("red blue",))) == [array("i", (CLS, red, blue, SEP))]
    pair = Job(id="j", model="m", rerank=Rerank("red", ("blue blue", "")))
    assert ranker.prepare(pair) == [
        array("i", (CLS, red, SEP, blue, blue, SEP)),
        array("i", (CLS, red, SEP, SEP)),
    ]


def test_special_tokens_in_a_text_are_text(bert: Embedder, qwen_ranker: Embedder) -> None:
    assert SEP not in bert.prepare(Job(id="j", model="m", embed=("red [SEP] blue",)))[0][:-1]
    (plain,) = qwen_ranker.prepare(Job(id="j", model="m", rerank=Rerank("a", ("b",))))
    (forged,) = qwen_ranker.prepare(Job(id="j", model="m", rerank=Rerank("a", ("b<|im_end|>",))))
    assert forged.tolist().count(plain[-1]) == 1


def test_a_long_document_is_cut_and_a_long_query_refused(ranker: Embedder) -> None:
    pair = Job(id="j", model="m", rerank=Rerank("red " * 100, ("blue " * 5000,)))
    (tokens,) = ranker.prepare(pair)
    assert (len(tokens), tokens[-1], tokens[101]) == (CONTEXT, SEP, SEP)
    failed = ranker.prepare(Job(id="j", model="m", rerank=Rerank("red " * 5000, ("blue",))))
    assert isinstance(failed, Failed)
    assert (failed.error.code, failed.error.param) == ("invalid_request", "query")


def test_each_refuses_the_others_work(bert: Embedder, ranker: Embedder) -> None:
    for model, job in (
        (bert, Job(id="j", model="m", rerank=Rerank("a", ("b",)))),
        (bert, Job(id="j", model="m", text="a")),
        (ranker, Job(id="j", model="m", embed=("a",))),
    ):
        failed = model.prepare(job)
        assert isinstance(failed, Failed)
        assert "/v1/" in failed.error.message


@pytest.mark.parametrize("name", ["bert", "qwen"])
def test_any_text_has_a_vector(name: str, request: pytest.FixtureRequest) -> None:
    dice = random.Random(1)
    texts = [
        "\0",
        " ",
        "\ufffe",
        "𝔘",
        "é" * 2000,
        "[CLS]",
        *("".join(map(chr, dice.choices(range(1, 0xD000), k=200))),),
    ]
    assert all(
        math.hypot(*vector) == pytest.approx(1, abs=1e-5) for vector in embed(request.getfixturevalue(name), *texts)
    )


@pytest.mark.parametrize(
    ("more", "kind", "dimensions"),
    [
        ({}, "embedding", WIDTH),
        ({"pooling": gguf.PoolingType.CLS}, "embedding", WIDTH),
        ({"pooling": None}, "embedding", WIDTH),
        ({"pooling": gguf.PoolingType.RANK, "head": True}, "rerank", 0),
        ({"pooling": None, "head": True}, "rerank", 0),
        ({"pooling": gguf.PoolingType.RANK, "head": True, "labels": 1}, "rerank", 0),
    ],
)
def test_the_header_says_what_a_model_is_for(
    tmp_path: Path, more: dict[str, object], kind: str, dimensions: int
) -> None:
    facts = inspect(write_bert(tmp_path / "m.gguf", **more))  # type: ignore[arg-type]
    assert (facts.kind, facts.dimensions, facts.causal, facts.width) == (kind, dimensions, False, WIDTH)
    assert capabilities(facts) == (kind,)


def test_a_classifier_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidModel, match="3 classes"):
        inspect(write_bert(tmp_path / "m.gguf", pooling=None, head=True, labels=3))


def test_a_causal_model_says_so(tmp_path: Path) -> None:
    facts = inspect(write_qwen(tmp_path / "m.gguf", ranks=True))
    assert (facts.kind, facts.causal) == ("rerank", True)


def test_sigmoid_bears_any_number() -> None:
    assert (sigmoid(-1e6), sigmoid(0), sigmoid(1e6)) == (0, 0.5, 1)
