from __future__ import annotations

import math

import pytest

from mongarsd.api.openai.logprobs import NEVER, CompletionShape, chat_logprobs, finite
from mongarsd.ground.job import TokenLogprob

CAT = "🐈".encode()


def test_part_of_a_character_is_told_in_bytes() -> None:
    (entry,) = chat_logprobs([TokenLogprob(1, CAT[:2], -1.0, ((2, b"a", -2.0),))]).content
    assert entry.token == r"\xf0\x9f"
    assert entry.bytes == [0xF0, 0x9F]
    assert entry.top_logprobs[0].token == "a"


def test_offsets_count_whole_characters_across_deltas() -> None:
    shape = CompletionShape()
    first = shape([TokenLogprob(1, b"ab", -1.0), TokenLogprob(2, CAT[:2], -1.0)], 0)
    second = shape([TokenLogprob(3, CAT[2:], -1.0), TokenLogprob(4, b"c", -1.0)], 0)
    assert first.text_offset + second.text_offset == [0, 2, 2, 3]
    assert first.tokens[1] == r"bytes:\xf0\x9f"
    assert first.top_logprobs is None


@pytest.mark.parametrize("value", [-math.inf, math.nan, -1e9])
def test_json_has_no_infinity(value: float) -> None:
    assert finite(value) == NEVER
    assert finite(-0.5) == -0.5
