from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mongarsd.inference.cache.ram import Ram
from mongarsd.inference.cache.tails import LEAST, MOST, Tails

BEFORE = b"the block before"
TOKENS = list(range(40))


def tails(budget: int = 1000) -> tuple[Ram, Tails]:
    ram = Ram(budget)
    ram.put(BEFORE, b"", 0, b"x" * 10, 0.0)
    return ram, Tails(ram)


def test_the_one_that_shares_most_is_found() -> None:
    _, kept = tails()
    kept.keep(BEFORE, 64, TOKENS[:20], b"twenty", 1.0)
    kept.keep(BEFORE, 64, [*TOKENS[:15], 99, 99, 99], b"other", 2.0)
    found = kept.find(BEFORE, TOKENS, 3.0)
    assert found == (20, b"twenty")
    assert kept.find(BEFORE, [*TOKENS[:15], 99, 7], 3.0) == (16, b"other")
    assert kept.find(BEFORE, TOKENS[:12], 3.0) == (12, b"twenty")


def test_nothing_is_found_for_other_tokens_or_behind_another_block() -> None:
    _, kept = tails()
    kept.keep(BEFORE, 64, TOKENS, b"cells", 1.0)
    assert kept.find(BEFORE, [5, *TOKENS], 2.0) is None
    assert kept.find(BEFORE, TOKENS[: LEAST - 1], 2.0) is None
    assert kept.find(b"another", TOKENS, 2.0) is None


def test_too_short_and_without_its_block_it_is_not_kept() -> None:
    ram, kept = tails()
    kept.keep(BEFORE, 64, TOKENS[: LEAST - 1], b"cells", 1.0)
    kept.keep(b"not in RAM", 64, TOKENS, b"cells", 1.0)
    assert len(ram) == 1


def test_it_leaves_with_its_block() -> None:
    ram, kept = tails()
    kept.keep(BEFORE, 64, TOKENS, b"cells", 1.0)
    assert (BEFORE, TOKENS) in kept
    ram.remove(BEFORE)
    assert (BEFORE, TOKENS) not in kept
    assert kept.find(BEFORE, TOKENS, 2.0) is None


@given(st.lists(st.lists(st.integers(0, 3), max_size=30), max_size=30))
def test_few_are_kept_behind_a_block_and_what_is_found_is_shared(turns: list[list[int]]) -> None:
    ram, kept = tails()
    for now, tokens in enumerate(turns):
        kept.keep(BEFORE, 64, tokens, bytes(tokens), float(now))
        assert len(ram) <= 1 + MOST
        if found := kept.find(BEFORE, tokens, float(now)):
            assert found.length >= min(len(tokens), LEAST)
            assert list(found.cells[: found.length]) == tokens[: found.length]
