"""The kinds of exports that the hub has, each against the same model in numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from fakes.tiny_decoder import WIDTH, WORDS, reference, scatter, tiny_decoder, write_decoder

from mongarsd.ground.errors import InvalidModel
from mongarsd.inference.engine.base import BLOCK, Row
from mongarsd.inference.models.names import BESIDE
from mongarsd.inference.models.onnx import read_onnx
from mongarsd.inference.onnx.backend import OnnxBackend
from mongarsd.inference.worker.protocol import Load

pytestmark = pytest.mark.filterwarnings("default")
PLAIN = ("input_ids", "attention_mask", "position_ids")
TEXT = [WORDS.index(letter) for letter in "the end of a long text, " * 6]  # more than two runs


def open_model(path: Path, **more: str) -> OnnxBackend:
    files = {role: str(path.with_name(name)) for role, name in BESIDE.items()} | more
    return OnnxBackend(
        Load(
            model="m", path=str(path), node="n", slots=2, context=400, decode_threads=1, prefill_threads=1, queue=9,
            max_gap=1.0, files=files, backend="onnx", live_threads=False,
        )
    )  # fmt: skip


@pytest.mark.parametrize(
    ("model", "shared"),
    [
        (tiny_decoder(half=True), True),
        (tiny_decoder(half=True, grouped=False), False),
        (tiny_decoder(inputs=(*PLAIN, "num_logits_to_keep")), True),
        (tiny_decoder(inputs=(*PLAIN, "num_logits_to_keep"), grouped=False, half=True), False),
        (tiny_decoder(inputs=(*PLAIN, "use_cache_branch"), grouped=False, merged=True), False),
        (tiny_decoder(inputs=(*PLAIN, "use_cache_branch"), grouped=False, merged=True, half=True), False),
    ],
    ids=["half", "half plain", "last logits", "half plain last logits", "merged", "half merged"],
)
def test_an_export_computes_what_numpy_does(tmp_path: Path, model: bytes, shared: bool) -> None:
    backend = open_model(write_decoder(tmp_path, model))
    header = backend._decoder.header
    assert header.shared is shared
    close = {"abs": 5.0 if header.half else 0.01}  # logits go to 500; float16 moves them by up to 3
    backend.decode([Row(0, 0, TEXT[:-1], 2)])  # a prompt of several runs, with the logits of its two last tokens
    before, last = backend._outputs[0]
    assert last == pytest.approx(reference(TEXT[:-1]), **close)
    assert before == pytest.approx(reference(TEXT[:-2]), **close)
    backend.decode([Row(1, 0, TEXT[:5], 1), Row(0, len(TEXT) - 1, TEXT[-1:], 1)])
    (one,), (other,) = backend._outputs
    assert one == pytest.approx(reference(TEXT[:5]), **close)
    assert other == pytest.approx(reference(TEXT), **close)
    blocks = backend.export(0, 0, 1)
    assert [len(block) for block in blocks] == [BLOCK * header.bytes_per_token]
    assert backend.restore(1, blocks)
    backend.decode([Row(1, BLOCK, TEXT[BLOCK:], 1)])
    assert backend._outputs[0][0] == pytest.approx(reference(TEXT), **close)
    backend.close()


def test_weights_in_other_files_give_the_same_bits(tmp_path: Path) -> None:
    inline = open_model(write_decoder(tmp_path / "a"))
    path = scatter(write_decoder(tmp_path / "b"))
    data = {
        f"data{index}": str(path.with_name(name)) for index, name in enumerate(("model.onnx_data", "model.onnx_data_1"))
    }
    apart = open_model(path, **data)
    for backend in (inline, apart):
        backend.decode([Row(0, 0, TEXT, 1)])
    assert np.array_equal(inline._outputs[0][0], apart._outputs[0][0])
    assert not list(path.parent.glob("*.open")), "the links are gone when the model is open"
    assert apart.info.parameters == inline.info.parameters
    assert apart.info.computes.endswith(": this build of onnxruntime offers no other")


def test_weights_that_were_cut_later_are_refused(tmp_path: Path) -> None:
    path = scatter(write_decoder(tmp_path), ["model.onnx_data"])
    data = path.with_name("model.onnx_data")
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(InvalidModel, match="pull the model again"):
        open_model(path, data0=str(data))
    with pytest.raises(InvalidModel, match="pull the model again"):
        open_model(path)


def test_a_merged_decoder_does_not_write_in_place(tmp_path: Path) -> None:
    """Its branches read the caches out of sight of the outer graph."""
    model = tiny_decoder(inputs=(*PLAIN, "use_cache_branch"), grouped=False, merged=True)
    header = read_onnx(write_decoder(tmp_path, model)).decoder
    assert header is not None
    assert not header.shared


def test_matrices_that_multiply_floats_are_a_warning_for_the_user(tmp_path: Path) -> None:
    made = onnx.load_model_from_string(tiny_decoder())
    packed = np.full((len(WORDS), 1, 16), 0x88, np.uint8)  # all zero: nothing is computed of them but logits of 0
    made.graph.initializer.append(onnx.numpy_helper.from_array(packed, "packed"))
    made.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((len(WORDS), 1), np.float32), "scales"))
    head = next(node for node in made.graph.node if "head" in node.input)
    made.graph.node.remove(head)
    made.graph.initializer.remove(next(each for each in made.graph.initializer if each.name == "head"))
    made.graph.node.insert(
        len(made.graph.node) - 1,
        onnx.helper.make_node(
            "MatMulNBits", [head.input[0], "packed", "scales"], list(head.output), domain="com.microsoft",
            K=WIDTH, N=len(WORDS), bits=4, block_size=32,
        ),
    )  # fmt: skip
    backend = open_model(write_decoder(tmp_path, made.SerializeToString()))
    (warning,) = backend.info.warnings
    assert warning.startswith("1 of the model's MatMulNBits lack accuracy_level=4")
    floats = read_onnx(write_decoder(tmp_path / "f")).parameters
    assert backend.info.parameters == floats, "packed or not, there are as many weights"
