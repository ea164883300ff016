from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from mongarsd.inference.engine.base import Row
from mongarsd.inference.llama import alike
from mongarsd.inference.llama.backend import LlamaBackend


class Kernels:
    """A context that rounds otherwise in rows of `odd` tokens."""

    def __init__(self, odd: int) -> None:
        self._odd = odd
        self.cells = 0
        self._row: Sequence[int] = ()

    def decode(self, rows: Sequence[Row]) -> None:
        (row,) = rows
        assert row.start == self.cells
        self.cells += len(row.tokens)
        self._row = row.tokens

    def trim(self, sequence: int, length: int) -> bool:
        assert sequence == 0
        self.cells = length
        return True

    def logits(self, output: int) -> bytes:
        return b"%d %d" % (self._row[output], len(self._row) == self._odd)


@pytest.mark.parametrize(("odd", "expected"), [(0, True), (1, False), (4, False), (8, False), (5, True)])
def test_other_bits_in_any_width_of_a_draft_are_noticed(
    monkeypatch: pytest.MonkeyPatch, odd: int, expected: bool
) -> None:
    context: Any = Kernels(odd)
    monkeypatch.setattr(alike, "_logits", lambda context, output, vocabulary: context.logits(output))
    assert alike.rows_alike(context, 300) is expected
    assert not context.cells


def test_a_model_keeps_what_it_says_of_its_rows(tiny: LlamaBackend) -> None:
    """Behind other tokens than those it was asked about."""
    tokens = [n % 200 + 1 for n in range(70)]

    def after(rows: list[list[int]]) -> list[bytes]:
        tiny.trim(0, 0)
        tiny.decode([Row(0, 0, tokens, 0)])
        said, place = [], len(tokens)
        for row in rows:
            tiny.decode([Row(0, place, row, len(row))])
            said += [alike._logits(tiny._context, n, tiny.info.vocabulary) for n in range(len(row))]
            place += len(row)
        return said

    singles, together = after([[5], [6], [7], [8]]), after([[5, 6, 7, 8]])
    assert not tiny.info.drafts or singles == together
    tiny.trim(0, 0)
