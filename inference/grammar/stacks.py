"""The ways in which a text may go on: llama.cpp's pushdown stacks, followed over the tree of a grammar's rules.

A stack is what comes next (a node, and how far within it) and the stack below. Repetitions are counted, not written
out as llama.cpp does, so that x{0,1000} is one node. Equal stacks are one object as long as they are remembered.
"""

from __future__ import annotations

import sys

from mongarsd.inference.grammar.gbnf import Chars, Choice, Literal, Node, Ref, Repeat, Rules, Sequence

#: References to a stack that take as much memory as one.
REFERENCES = 8


class TooMany(Exception):
    """There are more ways than may be followed."""


class Stack:
    """`one`: characters of a literal that were read, or the least that a repetition still needs; `other`: the most
    that it may have, -1 = any number."""

    __slots__ = ("below", "node", "one", "other")

    def __init__(self, node: Node, one: int, other: int, below: Stack | None = None) -> None:
        self.node, self.one, self.other = node, one, other
        self.below: Stack = below or self


#: Nothing comes next: the text may end here.
END = Stack(Sequence(()), 0, 0)


class Stacks:
    """`left`: stacks that may still be followed, 1 to 4 µs each (x86). TooMany is raised when there are none left, or
    when one stack stands for more than `most`."""

    def __init__(self, rules: Rules, *, most: int, left: int = sys.maxsize) -> None:
        self._rules = rules
        self._most = most
        self.left = left
        self._known: dict[tuple[int, int, int, Stack], Stack] = {}
        self._opened: dict[Stack, tuple[Stack, ...]] = {}
        self._references = 0  # in `_opened`

    def __len__(self) -> int:
        """What is remembered, counted in stacks: 0.3 KB each."""
        return len(self._known) + self._references // REFERENCES

    def forget(self) -> None:
        """Free what no one holds. Stacks made before stay good, but are others than equal ones made later."""
        self._known.clear()
        self._opened.clear()
        self._references = 0

    def read(self, stack: Stack, character: str) -> tuple[Stack, ...]:
        """The stacks, opened, when `character` has been read; none if it does not fit. Raises TooMany."""
        self.left -= 1
        if self.left < 0:
            raise TooMany
        node, below = stack.node, stack.below
        if isinstance(node, Literal):
            if node.text[stack.one] != character:
                return ()
            after = self._stack(node, stack.one + 1, 0, below) if stack.one + 1 < len(node.text) else below
        elif isinstance(node, Chars) and node.holds(character):
            after = below
        else:
            return ()
        return self.open(after)

    def open(self, stack: Stack) -> tuple[Stack, ...]:
        """The stacks that this one stands for, whose next is a character, or the end. Raises TooMany."""
        if (known := self._opened.get(stack)) is not None:
            return known
        found, seen, todo = [], set(), [stack]
        while todo:
            one = todo.pop()
            if one in seen:
                continue
            seen.add(one)
            self.left -= 1
            if len(seen) > self._most or self.left < 0:
                raise TooMany
            node, least, most, below = one.node, one.one, one.other, one.below
            if one is END or isinstance(node, Literal | Chars):
                found.append(one)
            elif isinstance(node, Ref):
                todo.append(self.push(self._rules[node.name], below))
            elif isinstance(node, Choice):
                todo.extend(self.push(option, below) for option in node.options)
            elif isinstance(node, Repeat):
                if least <= 0:
                    todo.append(below)
                if most:
                    # -1: a copy within llama.cpp's loop, which is another than the ones before it.
                    again = self._stack(node, max(least - 1, -1), most - 1 if most > 0 else most, below)
                    todo.append(self.push(node.item, again))
        opened = self._opened[stack] = tuple(found)
        self._references += len(opened)
        return opened

    def push(self, node: Node, below: Stack) -> Stack:
        """The stack that reads `node` and then goes on as `below`."""
        if isinstance(node, Sequence):
            for item in reversed(node.items):
                below = self.push(item, below)
            return below
        if isinstance(node, Literal) and not node.text:
            return below
        if isinstance(node, Repeat):
            return self._stack(node, node.least, -1 if node.most is None else node.most, below)
        return self._stack(node, 0, 0, below)

    def _stack(self, node: Node, one: int, other: int, below: Stack) -> Stack:
        key = (id(node), one, other, below)
        if (known := self._known.get(key)) is None:
            known = self._known[key] = Stack(node, one, other, below)
        return known
