from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from fakes.tiny_onnx import FLOAT, WIDTH, WORDS, message, number, tiny_onnx, tiny_ranker
from hypothesis import given
from hypothesis import strategies as st

from mongarsd.ground.errors import InvalidModel
from mongarsd.inference.models.formats import inspect
from mongarsd.inference.models.onnx import read_onnx
from mongarsd.inference.models.onnx_weights import DataFile

DATA = "model.onnx_data"
ESCAPES = (
    "/etc/passwd", "../model.onnx_data", "sub/model.onnx_data", "a\\model.onnx_data", ".onnx_data", "tokenizer.json",
    "..", "model.onnx", "model.onnx_data/../x", "x" * 300 + ".onnx_data", "",
)  # fmt: skip


def outside(**entries: str) -> bytes:
    return b"".join(message(13, message(1, key), message(2, value)) for key, value in entries.items())


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("onnx") / "model.onnx"


def test_the_facts_of_a_model(file: Path) -> None:
    file.write_bytes(tiny_onnx())
    header = read_onnx(file)
    assert header.inputs == ("input_ids", "attention_mask")
    assert (header.output, header.dimensions) == ("last_hidden_state", WIDTH)
    assert (header.parameters, header.quantization) == (len(WORDS) * WIDTH, "F32")
    facts = inspect(file)
    assert (facts.format, facts.kind, facts.dimensions) == ("onnx", "embedding", WIDTH)


def test_where_weights_in_another_file_end(file: Path) -> None:
    file.write_bytes(tiny_onnx(tensor=outside(location=DATA, offset="4096")))
    assert read_onnx(file).data == (DataFile(DATA, 4096 + len(WORDS) * WIDTH * 4),)


def test_a_model_with_one_logit_ranks(file: Path) -> None:
    file.write_bytes(tiny_ranker())
    facts = inspect(file)
    assert (facts.format, facts.kind, facts.dimensions) == ("onnx", "rerank", 0)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (tiny_onnx(inputs=("input_ids",)), "lacks the input attention_mask"),
        (tiny_onnx(inputs=("pixels",)), "lacks the input"),
        (tiny_onnx(inputs=("input_ids", "attention_mask", "past_key_values.0.key")), "a key and a value for each"),
        (tiny_onnx(kind=FLOAT), "64-bit integers"),
        (tiny_onnx(output="logits"), "into 4 classes"),
        (tiny_onnx(width=0), "how long its vectors are"),
        (tiny_onnx(tensor=number(14, 1)), "only files beside it"),
        *((tiny_onnx(tensor=outside(location=name)), "only files beside it") for name in ESCAPES),
        (tiny_onnx(tensor=outside(location=DATA, offset="-1")), "does not say properly"),
        (tiny_onnx(tensor=outside(location=DATA, offset="9" * 13)), "does not say properly"),
        (tiny_onnx(tensor=outside(location=DATA, offset="9" * 12)), "claims"),
        (tiny_onnx(tensor=outside(location=DATA, length="7")), "claims 7 bytes"),
        (tiny_onnx(tensor=number(1, 1 << 40)), "impossible size"),
        (number(1, 8) + b"\x00" * 20, "not an ONNX model"),
        (number(1, 8) + number(7, 5) + b" " * 20, "not an ONNX model"),
        (b"", "0 bytes"),
    ],
)
def test_what_is_refused_and_why(file: Path, model: bytes, reason: str) -> None:
    file.write_bytes(model)
    with pytest.raises(InvalidModel, match=reason):
        read_onnx(file)


def test_a_truncated_file_is_refused_wherever_it_ends(file: Path) -> None:
    whole = tiny_onnx()
    opset = len(message(8, number(2, 17)))  # without it the graph is whole; onnxruntime says what it misses
    for end in range(len(whole) - opset):
        file.write_bytes(whole[:end])
        with pytest.raises(InvalidModel):
            read_onnx(file)


def test_weights_inside_a_nested_graph_are_looked_at_too(file: Path) -> None:
    outside = message(5, number(2, 1), message(13, message(1, "location")))
    node = message(1, message(5, message(6, outside)))
    file.write_bytes(tiny_onnx() + message(7, node))
    with pytest.raises(InvalidModel):
        read_onnx(file)


@given(data=st.binary(max_size=200))
def test_any_bytes(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    with pytest.raises(InvalidModel):
        read_onnx(file)


@given(at=st.integers(min_value=0), byte=st.integers(0, 255))
def test_any_damage(file: Path, at: int, byte: int) -> None:
    data = bytearray(tiny_onnx())
    data[at % len(data)] = byte
    file.write_bytes(data)
    with contextlib.suppress(InvalidModel):
        read_onnx(file)
