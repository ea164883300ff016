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
from mongarsd.inference.grammar.stacks import END, Stack, Stacks, TooMany

MAX_STACKS = 500  # at once: llama.cpp compares each new one with all others, some 10 ms then
MAX_READINGS = 10_000  # of one character again and again, as the longest tokens are: some 10 ms for such a token then
WINDOW = 32  # characters: few tokens are longer
WORK = 6000  # stacks followed by a character, 2 to 4 µs each (x86); in all
SHARES = (150, 1500)  # … and from one start: a glance everywhere, then a longer look
CHARACTERS = 48  # tried in one state

Ways = dict[Stack, int]  # how many ways lead to it


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
            except TooMany:
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
    def __init__(self, rules: Rules) -> None:
        self._stacks = Stacks(rules, most=4 * MAX_STACKS)

    def follow(self, start: Node, work: int) -> int:
        """The work done. Raises TooMany."""
        first = dict.fromkeys(self._stacks.open(self._stacks.push(start, END)), 1)
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
                    raise TooMany
                if readings > best.get(key, 0):
                    best[key] = readings
                    order += 1
                    heapq.heappush(heap, (-readings, order, depth + 1, character, after))
        return done

    def _read(self, ways: Ways, character: str) -> Ways:
        after: Ways = {}
        for stack, count in ways.items():
            for one in self._stacks.read(stack, character):
                after[one] = after.get(one, 0) + count
        return after

    def _characters(self, ways: Ways) -> list[str]:
        """One of each kind that matters to what may come next."""
        edges = set()
        for stack in ways:
            node = stack.node
            if isinstance(node, Literal):
                edges.add(ord(node.text[stack.one]))
            elif isinstance(node, Chars):
                edges.update(node.edges[:CHARACTERS])
                edges.add(ord("a"))
        return [chr(edge) for edge in sorted(edges)[:CHARACTERS] if edge < 0x110000]
