"""A radix tree over token paths: which holders (KV sequences) begin with the same tokens as a prompt, and how many.

What one adapter computed is of no use to another, so each has a root of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

Tokens = Sequence[int]


def common(a: Tokens, b: Tokens, start: int = 0) -> int:
    """How many tokens `a[start:]` and `b` share at the front.

    Slices are compared whole and halved: list comparison runs in C, so 2,000 tokens take about 20 µs.
    """
    low, high = 0, min(len(a) - start, len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[start + low : start + middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


class _Node:
    __slots__ = ("children", "edge", "holders")

    def __init__(self, edge: list[int], holders: set[int]) -> None:
        self.edge = edge  # the tokens between the parent and here
        self.children: dict[int, _Node] = {}  # by first token of their edge
        self.holders = holders  # whose path runs through the whole edge


class RadixTree:
    """Every holder has one path. Nodes without holders do not exist, so the tree is never larger than its paths."""

    def __init__(self) -> None:
        self._roots: dict[str, _Node] = {}  # by adapter
        self._paths: dict[int, list[int]] = {}
        self._adapters: dict[int, str] = {}  # of those who have a path

    def path(self, holder: int) -> list[int]:
        return self._paths.get(holder, [])

    def adapter(self, holder: int) -> str:
        """What the holder's path was computed with."""
        return self._adapters.get(holder, "")

    def set(self, holder: int, tokens: Tokens, adapter: str = "") -> None:
        """Replace the holder's path; an empty one removes it."""
        self.remove(holder)
        if not tokens:
            return
        path = self._paths[holder] = list(tokens)
        self._adapters[holder] = adapter
        node, done = self._roots.setdefault(adapter, _Node([], set())), 0
        while done < len(path):
            child = node.children.get(path[done])
            if child is None:
                node.children[path[done]] = _Node(path[done:], {holder})
                return
            shared = common(path, child.edge, done)
            if shared < len(child.edge):
                child = self._split(node, child, shared)
            child.holders.add(holder)
            node, done = child, done + shared

    def remove(self, holder: int) -> None:
        path = self._paths.pop(holder, None)
        if not path:
            return
        adapter = self._adapters.pop(holder)
        root = node = self._roots[adapter]
        done = 0
        while done < len(path):
            child = node.children[path[done]]
            child.holders.discard(holder)
            if not child.holders:
                del node.children[path[done]]
                if not root.children:
                    del self._roots[adapter]
                return
            done += len(child.edge)
            node = child

    def match(self, tokens: Tokens, adapter: str = "") -> tuple[int, frozenset[int]]:
        """The longest prefix of `tokens` that somebody holds, and all who hold it; (0, nobody) if none."""
        node, done = self._roots.get(adapter, _Node([], set())), 0
        holders: set[int] = set()
        while done < len(tokens) and (child := node.children.get(tokens[done])):
            shared = common(tokens, child.edge, done)
            holders, done = child.holders, done + shared
            if shared < len(child.edge):
                break
            node = child
        return done, frozenset(holders)

    @staticmethod
    def _split(parent: _Node, child: _Node, at: int) -> _Node:
        upper = _Node(child.edge[:at], set(child.holders))
        child.edge = child.edge[at:]
        upper.children[child.edge[0]] = child
        parent.children[upper.edge[0]] = upper
        return upper
