"""onnxruntime and tokenizers on a model of 40 numbers."""

from __future__ import annotations

import math
import os
import struct
import subprocess
import sys
from array import array
from pathlib import Path

import pytest
from fakes.tiny_onnx import WIDTH, row, tiny_onnx, tokenizer

from mongarsd.ground.errors import ContextOverflow, InvalidModel
from mongarsd.inference.onnx.session import Session
from mongarsd.inference.onnx.tokens import Tokenizer
from mongarsd.inference.worker.protocol import Load

pytestmark = pytest.mark.filterwarnings("default")


def load(path: Path) -> Load:
    return Load(
        model="m", path=str(path), node="n", slots=1, context=8,
        decode_threads=1, prefill_threads=1, queue=1, max_gap=1.0,
    )  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "model.onnx").write_bytes(tiny_onnx())
    return tmp_path / "model.onnx"


def unpack(vector: bytes) -> tuple[float, ...]:
    return struct.unpack(f"<{WIDTH}f", vector)


def expected(*tokens: int) -> tuple[float, ...]:
    mean = [sum(column) / len(tokens) for column in zip(*map(row, tokens), strict=True)]
    length = math.hypot(*mean)
    return tuple(x / length for x in mean)


def test_a_vector_is_the_mean_of_the_tokens_of_length_one(path: Path) -> None:
    session = Session(load(path))
    assert session.dimensions == WIDTH
    for tokens in ((4,), (2, 5, 6, 3)):
        (vector,) = session.vectors([array("i", tokens)])
        assert unpack(vector) == pytest.approx(expected(*tokens), abs=1e-6)


def test_the_library_reports_nothing_to_its_maker(path: Path, tmp_path: Path) -> None:
    """Its uploader would leave a device id and a queue of events in the home directory."""
    home = tmp_path / "home"
    home.mkdir()
    unwatched = ("CI", "ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS", "XDG_CACHE_HOME")
    environ = {name: value for name, value in os.environ.items() if name not in unwatched}
    script = f"""
from mongarsd.inference.onnx.session import Session
from mongarsd.inference.worker.protocol import Load
Session(Load(model="m", path={str(path)!r}, node="n", slots=1, context=8,
             decode_threads=1, prefill_threads=1, queue=1, max_gap=1.0))
"""
    subprocess.run([sys.executable, "-c", script], env={**environ, "HOME": str(home)}, check=True)
    assert list(home.rglob("*")) == []


def test_padding_changes_nothing(path: Path) -> None:
    session = Session(load(path))
    texts = [array("i", [4]), array("i", [2, 5, 6, 7, 8, 3]), array("i", [9, 9])]
    together = session.vectors(texts)
    assert together == [session.vectors([text])[0] for text in texts]


@pytest.mark.parametrize(
    "model",
    [
        tiny_onnx()[:-40],
        tiny_onnx(inputs=("input_ids",)),
        tiny_onnx(width=WIDTH + 1),  # claims what it does not give
        tiny_onnx().replace(b"Gather", b"Bother"),  # an operator that nobody knows
    ],
)
def test_a_model_that_cannot_work_is_refused_with_a_reason(path: Path, model: bytes) -> None:
    path.write_bytes(model)
    with pytest.raises(InvalidModel) as caught:
        Session(load(path))
    assert len(caught.value.message) > 20


def test_the_tokenizer_adds_special_tokens_and_cuts_at_the_context_not_at_its_own_length(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes(tokenizer())
    tokenize = Tokenizer(str(tmp_path / "tokenizer.json"), 8)
    assert [list(tokens) for tokens in tokenize(["Red green", "nobody", ""])] == [[2, 4, 5, 3], [2, 1, 3], [2, 3]]
    assert [len(tokens) for tokens in tokenize(["one " * 100, "one " * 1_000_000])] == [8, 8]
    assert len(tokenize(["two"] * 100)) == 100


@pytest.mark.parametrize(("text", "tokens"), [("one " * 7, 9), ("one " * 100, 102), ("x" * 1_000_000, 9)])
def test_a_text_that_must_be_read_in_full_is_refused_where_it_cannot(tmp_path: Path, text: str, tokens: int) -> None:
    (tmp_path / "tokenizer.json").write_bytes(tokenizer())
    tokenize = Tokenizer(str(tmp_path / "tokenizer.json"), 8)
    assert [len(tokens) for tokens in tokenize(["one " * 6] * 9, whole=True)] == [8] * 9
    with pytest.raises(ContextOverflow, match=r"input\[9\]") as caught:
        tokenize([*["one " * 6] * 9, text], whole=True)
    assert caught.value.detail["limit"] == 8
    assert caught.value.detail["prompt"] >= tokens


@pytest.mark.parametrize("text", ["", "{}", '{"model": {"type": "Nothing"}}'])
def test_a_damaged_tokenizer_is_an_invalid_model(tmp_path: Path, text: str) -> None:
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(InvalidModel, match="tokenizer"):
        Tokenizer(str(tmp_path / "tokenizer.json"), 8)


def test_only_what_is_used_is_imported() -> None:
    import subprocess

    heavy = ("numpy", "onnxruntime", "tokenizers")
    program = f"import sys, mongarsd.inference.onnx.embedding\nprint([m for m in {heavy!r} if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "[]"
