from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from mongarsd.inference.grammar import matcher
from mongarsd.tuning.estimate import (
    DEFAULT_MODEL,
    ONNX_GRAMMAR,
    ONNX_GRAMMARS_KEPT,
    ONNX_RUNTIME,
    estimate,
    estimate_memory,
    estimate_onnx,
    onnx_decoder_weights,
)

#: (slots, context, RSS, anonymous memory), bytes: a worker with SmolLM2-135M Q4_0 after prompts of 1,536 tokens.
MEASURED = [
    (8, 2048, 599_490_560, 492_036_096),
    (4, 8192, 976_887_808, 869_474_304),
    (1, 2048, 266_735_616, 159_326_208),
]
#: Pages of files that a worker keeps reading: the token embedding, which is not repacked, and shared libraries.
HOT = 38_000_000


@pytest.mark.parametrize(("slots", "context", "rss", "anonymous"), MEASURED)
def test_within_15_percent_of_what_was_measured(slots: int, context: int, rss: int, anonymous: int) -> None:
    found = estimate(DEFAULT_MODEL, slots, context)
    assert rss < found.resident < rss * 1.15
    assert anonymous + HOT < found.pinned < (anonymous + HOT) * 1.15
    assert estimate_memory(DEFAULT_MODEL, slots, context) == found.pinned


def test_originals_of_repacked_weights_are_not_pinned() -> None:
    mapped = structs.replace(DEFAULT_MODEL, repacks=False)
    assert estimate(mapped, 4, 4096).pinned == estimate(DEFAULT_MODEL, 4, 4096).pinned
    assert estimate(DEFAULT_MODEL, 4, 4096).resident - estimate(mapped, 4, 4096).resident == DEFAULT_MODEL.weights


@given(st.integers(1, 64), st.integers(1, 131072), st.integers(1, 64), st.integers(1, 131072))
def test_grows_with_slots_and_context(slots: int, context: int, more_slots: int, more_context: int) -> None:
    small = estimate_memory(DEFAULT_MODEL, slots, context)
    assert small < estimate_memory(DEFAULT_MODEL, slots + more_slots, context)
    assert small < estimate_memory(DEFAULT_MODEL, slots, context + more_context)
    assert small >= slots * context * DEFAULT_MODEL.kv_bytes_per_token + DEFAULT_MODEL.weights


def test_an_onnx_model_is_budgeted_as_32_bit_numbers() -> None:
    need = estimate_onnx(22_928_619, 90_470_720)
    assert 220e6 <= need <= 270e6, "measured while loading all-MiniLM-L6-v2 int8: 220 MB"
    assert estimate_onnx(90_470_720, 90_470_720) == need, "a file of floats is not counted twice"


def test_what_grammars_remember_beside_an_onnx_model_is_counted() -> None:
    assert ONNX_GRAMMAR == matcher.MEMORY * 300  # bytes of each
    assert matcher.KEPT == ONNX_GRAMMARS_KEPT
    assert onnx_decoder_weights(10**8) - onnx_decoder_weights(0) == 175_000_000
    assert onnx_decoder_weights(0) == ONNX_RUNTIME + ONNX_GRAMMARS_KEPT * ONNX_GRAMMAR
