"""A cross-encoder in onnxruntime itself."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from pathlib import Path

import pytest
from fakes.tiny_onnx import WORDS, tiny_ranker, write_model

from mongarsd.ground.errors import BadRequest
from mongarsd.inference.onnx.session import Session
from mongarsd.inference.onnx.tokens import Tokenizer
from mongarsd.inference.worker.protocol import Load


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("rank"), tiny_ranker())


@pytest.fixture(scope="module")
def pairs(path: Path) -> Tokenizer:
    return Tokenizer(str(path.with_name("tokenizer.json")), 8)


@pytest.fixture(scope="module")
def session(path: Path) -> Session:
    return Session(
        Load(
            model="m", path=str(path), node="here", slots=1, context=8, decode_threads=1, prefill_threads=1,
            queue=1, max_gap=1.0, kind="rerank",
        )
    )  # fmt: skip


def scores(found: Sequence[bytes]) -> list[float]:
    return [array("f", data)[0] for data in found]


def expected(first: str, second: str) -> float:
    def weight(word: str) -> float:
        return (WORDS.index(word) * 7) % 5 / 4 - 0.5

    logit = sum(weight(word) ** 2 for word in ("[CLS]", *first.split(), "[SEP]"))
    logit += sum((weight(word) + 0.1) ** 2 for word in (*second.split(), "[SEP]"))
    return 1 / (1 + math.exp(-logit))


def test_a_pair_is_one_row_with_its_parts_marked(pairs: Tokenizer) -> None:
    red, blue = WORDS.index("red"), WORDS.index("blue")
    assert pairs.pairs("red", ["blue"]) == [array("i", (2, red, 3, ~blue, ~3))]


def test_scores_are_those_of_the_model_together_and_alone(session: Session, pairs: Tokenizer) -> None:
    documents = ["blue", "one two three", "red red", ""]
    together = scores(session.vectors(pairs.pairs("red", documents)))
    alone = [scores(session.vectors(pairs.pairs("red", [text])))[0] for text in documents]
    assert together == pytest.approx(alone, abs=1e-6)
    assert together == pytest.approx([expected("red", text) for text in documents], abs=1e-5)


def test_a_long_document_is_cut_and_a_long_query_refused(pairs: Tokenizer) -> None:
    (tokens,) = pairs.pairs("red one", ["blue " * 1000])
    assert tokens.tolist()[:4] == [2, WORDS.index("red"), WORDS.index("one"), 3]
    assert (len(tokens), tokens[-1]) == (8, ~3)
    with pytest.raises(BadRequest, match="query"):
        pairs.pairs("red " * 3, ["blue"])
