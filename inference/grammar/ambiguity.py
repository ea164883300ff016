"""Whether a grammar is so ambiguous that llama.cpp cannot follow it: a bounded search for text that shows it.

llama.cpp keeps a stack for every way in which the text so far may be read, and tries each token in all of them, one by
one. `root ::= ("a" | "a" root "b" | "a" root "c")` doubles them with each letter; `("a" | "aa")* "b"` keeps two, but
there are 1.6^n ways to read a token of n letters. Here the same stacks are followed, from the start and from each loop,
always where most ways are, until there are too many or the search's work is done. What hides deeper than that costs a
worker its `hang_timeout`, and the job its second chance.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from functools import lru_cache

from mongarsd.inference.grammar.gbnf import Chars, Choice, Literal, Node, Ref, Repeat, Rules, Sequence, parse

MAX_STACKS = 500  # at once: llama.cpp compares each new one with all others, some 10 ms then
MAX_READINGS = 10_000  # of one character again and again, as the longest tokens are: some 10 ms for such a token then
WINDOW = 32  # characters: few tokens are longer
WORK = 6000  # stacks followed by a character, 2 to 4 µs each (x86); in all
SHARES = (150, 1500)  # … and from one start: a glance everywhere, then a longer look
CHARACTERS = 48  # tried in one state
_END = 0  # the empty stack

Ways = dict[int, int]  # stack: how many ways lead to it


class _TooMany(Exception):
    """The search has found it."""


@lru_cache(maxsize=32)
def ambiguous(text: str) -> str | None:
    """Where the grammar (checked but for this) can be read in too many ways: the name of a rule, or None."""
    rules = parse(text)
    search, work = _Search(rules), WORK
    starts = list(_starts(rules))
    for share in SHARES:
        left = []
        for name, start in starts:
            if work <= 0:
                return None
            try:
                done = search.follow(start, min(work, share))
            except _TooMany:
                return name
            work -= done
            left += [(name, start)] if done >= share else []
        starts = left
    return None


def _starts(rules: Rules) -> Iterator[tuple[str, Node]]:
    """The root, then each rule and each loop that it needs."""
    seen, todo = {"root"}, ["root"]
    while todo:
        name = todo.pop()
        yield name, rules[name]
        nodes = [rules[name]]
        while nodes:
            node = nodes.pop()
            if isinstance(node, Ref) and node.name not in seen:
                seen.add(node.name)
                todo.append(node.name)
            elif isinstance(node, Repeat):
                yield name, node
                nodes.append(node.item)
            elif isinstance(node, Sequence | Choice):
                nodes.extend(node.items if isinstance(node, Sequence) else node.options)


class _Search:
    """Stacks are numbers: what is next (a node and how far within it), and the stack below."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._stacks: list[tuple[Node, int, int, int]] = [(Sequence(()), 0, 0, _END)]
        self._numbers: dict[tuple[int, int, int, int], int] = {}
        self._opened: dict[int, tuple[int, ...]] = {}

    def follow(self, start: Node, work: int) -> int:
        """The work done. Raises _TooMany."""
        first = dict.fromkeys(self._open(self._push(start, _END)), 1)
        best, order, done = {frozenset(first): 1}, 0, 0
        heap: list[tuple[int, int, int, str, Ways]] = [(-1, 0, 0, "", first)]
        while heap and done < work:
            _, _, depth, last, ways = heapq.heappop(heap)
            if depth == WINDOW:
                continue
            anew = dict.fromkeys(ways, 1)
            for character in self._characters(ways):
                after = self._read(ways if character == last else anew, character)
                done += 1 + len(after)
                readings, key = sum(after.values()), frozenset(after)
                if len(after) > MAX_STACKS or readings > MAX_READINGS:
                    raise _TooMany
                if readings > best.get(key, 0):
                    best[key] = readings
                    order += 1
                    heapq.heappush(heap, (-readings, order, depth + 1, character, after))
        return done

    def _read(self, ways: Ways, character: str) -> Ways:
        after: Ways = {}
        for stack, count in ways.items():
            node, at, _, below = self._stacks[stack]
            if isinstance(node, Literal):
                if node.text[at] != character:
                    continue
                next_ = self._stack(node, at + 1, 0, below) if at + 1 < len(node.text) else below
            elif isinstance(node, Chars) and _within(node, character):
                next_ = below
            else:
                continue
            for one in self._open(next_):
                after[one] = after.get(one, 0) + count
        return after

    def _characters(self, ways: Ways) -> list[str]:
        """One of each kind that matters to what may come next."""
        edges = set()
        for stack in ways:
            node, at, _, _ = self._stacks[stack]
            if isinstance(node, Literal):
                edges.add(ord(node.text[at]))
            elif isinstance(node, Chars):
                edges.update(ord(first) for first, _ in node.ranges)
                edges.update(ord(last) + 1 for _, last in node.ranges)
                edges.add(ord("a"))
        return [chr(edge) for edge in sorted(edges)[:CHARACTERS] if edge < 0x110000]

    def _open(self, stack: int) -> tuple[int, ...]:
        """The stacks whose next is a character, or the end. Raises _TooMany."""
        if (known := self._opened.get(stack)) is not None:
            return known
        found, seen, todo = [], set(), [stack]
        while todo:
            one = todo.pop()
            if one in seen:
                continue
            seen.add(one)
            if len(seen) > 4 * MAX_STACKS:
                raise _TooMany
            node, least, most, below = self._stacks[one]
            if one == _END or isinstance(node, Literal | Chars):
                found.append(one)
            elif isinstance(node, Ref):
                todo.append(self._push(self._rules[node.name], below))
            elif isinstance(node, Choice):
                todo.extend(self._push(option, below) for option in node.options)
            elif isinstance(node, Repeat):
                if least <= 0:
                    todo.append(below)
                if most:
                    # -1: a copy within llama.cpp's loop, which is another than the ones before it.
                    again = self._stack(node, max(least - 1, -1), most - 1 if most > 0 else most, below)
                    todo.append(self._push(node.item, again))
        self._opened[stack] = tuple(found)
        return self._opened[stack]

    def _push(self, node: Node, below: int) -> int:
        if isinstance(node, Sequence):
            for item in reversed(node.items):
                below = self._push(item, below)
            return below
        if isinstance(node, Literal) and not node.text:
            return below
        if isinstance(node, Repeat):
            return self._stack(node, node.least, -1 if node.most is None else node.most, below)
        return self._stack(node, 0, 0, below)

    def _stack(self, node: Node, one: int, other: int, below: int) -> int:
        key = (id(node), one, other, below)
        if key not in self._numbers:
            self._numbers[key] = len(self._stacks)
            self._stacks.append((node, one, other, below))
        return self._numbers[key]


def _within(node: Chars, character: str) -> bool:
    return any(first <= character <= last for first, last in node.ranges) != node.negated
