"""The tree against the obvious: compare with every path."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mongarsd.inference.engine.radix import RadixTree, common

tokens = st.lists(st.integers(0, 2), max_size=12)


def naive_common(a: list[int], b: list[int]) -> int:
    n = 0
    while n < min(len(a), len(b)) and a[n] == b[n]:
        n += 1
    return n


@given(tokens, tokens, st.integers(0, 4))
def test_common_counts_the_shared_front(a: list[int], b: list[int], start: int) -> None:
    start = min(start, len(a))
    assert common(a, b, start) == naive_common(a[start:], b)


@given(st.lists(st.tuples(st.integers(0, 4), tokens), max_size=20), tokens)
def test_match_is_the_longest_prefix_and_names_all_who_hold_it(
    changes: list[tuple[int, list[int]]], probe: list[int]
) -> None:
    tree = RadixTree()
    paths: dict[int, list[int]] = {}
    for holder, path in changes:
        tree.set(holder, path)
        paths[holder] = path
        best = max((naive_common(p, probe) for p in paths.values()), default=0)
        length, holders = tree.match(probe)
        assert length == best
        if best:
            assert holders == {h for h, p in paths.items() if naive_common(p, probe) >= best}
        assert all(tree.path(h) == p for h, p in paths.items())


@given(st.lists(st.tuples(st.integers(0, 4), tokens), max_size=20))
def test_nothing_is_left_when_all_paths_are_removed(changes: list[tuple[int, list[int]]]) -> None:
    tree = RadixTree()
    for holder, path in changes:
        tree.set(holder, path)
    for holder in range(5):
        tree.remove(holder)
    assert not tree._roots
    assert tree.match([0, 1, 2]) == (0, frozenset())
