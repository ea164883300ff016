from __future__ import annotations

from typing import Any

import pytest

from mongarsd.ground.errors import InvalidModel
from mongarsd.inference.models.onnx_decoder import FLOAT, FLOAT16, INT64, Node, Value, read_decoder

PAST = ("past_key_values.0.key", "past_key_values.0.value")
PRESENT = ("present.0.key", "present.0.value")
GROUPED = Node("GroupQueryAttention", ("q", "k", "v", *PAST), ("out", *PRESENT), 0)


def signature(kind: int = FLOAT, **changes: Any) -> tuple[dict[str, Value], dict[str, Value]]:
    """`changes`: of inputs, by name; None takes one away."""
    inputs = {name: Value(INT64, [0, 0]) for name in ("input_ids", "attention_mask", "position_ids")}
    inputs |= {name: Value(kind, [0, 3, 0, 64]) for name in PAST}
    outputs = {"logits": Value(kind, [0, 0, 100])} | {name: Value(kind, [0, 3, 0, 64]) for name in PRESENT}
    for name, value in changes.items():
        inputs[name] = value
    return {name: value for name, value in inputs.items() if value is not None}, outputs


def test_what_a_cache_costs() -> None:
    assert read_decoder(*signature(), []).bytes_per_token == 2 * 3 * 64 * 4
    assert read_decoder(*signature(FLOAT16), []).bytes_per_token == 2 * 3 * 64 * 2


def test_a_cache_is_written_in_place_only_if_nothing_else_looks_at_it() -> None:
    assert read_decoder(*signature(), [GROUPED]).shared
    assert not read_decoder(*signature(), [GROUPED, Node("Shape", (PAST[0],), ("size",), 0)]).shared
    assert not read_decoder(*signature(), [Node("Concat", (PAST[0], "k"), (PRESENT[0],), 0)]).shared


def test_matrices_that_multiply_floats_are_counted() -> None:
    levels = [Node("MatMulNBits", (), (), level) for level in (0, 1, 4)]
    assert read_decoder(*signature(), levels).imprecise == 2


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"attention_mask": None}, "lacks the input attention_mask"),
        ({"pixel_values": Value(FLOAT, [0])}, "wants pixel_values"),
        ({"input_ids": Value(FLOAT, [0, 0])}, "input_ids that is no table"),
        ({PAST[1]: None}, "a key and a value for each"),
        ({"past_key_values.7.key": Value(FLOAT, [0, 3, 0, 64])}, "a key and a value for each"),
        ({PAST[0]: Value(FLOAT, [0, 0, 0, 64])}, "how large its caches are"),
        ({PAST[0]: Value(INT64, [0, 3, 0, 64])}, "a type that is not supported"),
        ({PAST[1]: Value(FLOAT16, [0, 3, 0, 64])}, "unlike the first"),
    ],
)
def test_what_is_refused_and_why(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidModel, match=reason):
        read_decoder(*signature(**changes), [])


def test_a_model_that_gives_no_logits_is_refused() -> None:
    inputs, outputs = signature()
    del outputs["logits"]
    with pytest.raises(InvalidModel, match="no logits"):
        read_decoder(inputs, outputs, [])
