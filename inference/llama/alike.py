"""Do several tokens in one row give the bits that they give one by one? Asked of the model itself, when it is loaded.

A draft is a row of several, so without this it could tip a near tie and change a word. Measured on x86 (AVX-512): alike
for Q4_0, Q4_1, Q5_0, Q8_0, Q5_K, Q6_K and IQ4_NL; not for Q4_K (logits differ by up to 0.1) and F16 (0.002), where
llama.cpp takes another kernel for a single row.
"""

from __future__ import annotations

import ctypes

from mongarsd.inference.engine.base import Row
from mongarsd.inference.llama.context import Context
from mongarsd.inference.llama.library import load_library

#: Tokens of the rows compared with single ones: a draft and the token before it.
WIDTHS = (4, 8)


def rows_alike(context: Context, vocabulary: int) -> bool:
    """Uses sequence 0 and leaves it empty. Costs about a dozen steps."""
    tokens = [(7919 * n) % vocabulary for n in range(1, max(WIDTHS) + 1)]
    singles = []
    for place, token in enumerate(tokens[: min(WIDTHS)]):
        context.decode([Row(0, place, [token], 1)])
        singles.append(_logits(context, 0, vocabulary))
    alike = True
    for width in WIDTHS:
        context.trim(0, 0)
        context.decode([Row(0, 0, tokens[:width], width)])
        alike = alike and singles == [_logits(context, n, vocabulary) for n in range(len(singles))]
    context.trim(0, 0)
    return alike


def _logits(context: Context, output: int, vocabulary: int) -> bytes:
    return ctypes.string_at(
        load_library().llama_get_logits_ith(context.handle, context.output(0, output)), 4 * vocabulary
    )
