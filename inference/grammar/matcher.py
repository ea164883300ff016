"""A grammar followed byte by byte, for backends whose vocabularies llama.cpp does not know.

It accepts what llama.cpp's grammar accepts, with one difference: what is not UTF-8 never fits. A token may end inside a
character, if what there is of it may become one that fits; as in llama.cpp, a set that excludes characters then takes
none of those that begin like one of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import NamedTuple
from weakref import WeakSet, WeakValueDictionary

from mongarsd.ground.errors import BadRequest
from mongarsd.inference.grammar.gbnf import Chars, Literal, Ref, parse
from mongarsd.inference.grammar.stacks import END, REFERENCES, Stack, Stacks, TooMany

#: Stacks that may be followed for one token: half a second (x86). An enumeration of 4,000 texts takes 40,000 where all
#: tokens of a vocabulary are looked at.
WORK = 200_000
#: … and for each of many, one after another: 0.1 s, as other answers wait meanwhile. Answers that are bound at the same
#: time share both, down to these: together they hold a step up for a second once, and for a quarter lastingly, at 8.
LASTING = 50_000
BURST, LEAST = 50_000, 12_500
#: No character: stands for the sets of them.
SETS = ""
#: Steps and stacks remembered for each answer that may be bound, 0.3 KB each (`__len__`): less takes enumerations of
#: 4,000 texts twice the time, more gains a tenth. `tuning/estimate.py` counts it.
MEMORY = 10_000
#: Grammars that are kept though no answer is bound by them: tools come with each request of a conversation.
KEPT = 4


class State(NamedTuple):
    """Where a text stands: nothing changes it, and it may be kept for as long as one likes."""

    stacks: frozenset[Stack]
    begun: bytes = b""  # of a character


class Matcher:
    """Used by one thread. It remembers each step it took, so that it takes a dictionary's time the next time."""

    def __init__(self, grammar: str) -> None:
        """A checked grammar. Raises BadRequest."""
        self._stacks = Stacks(parse(grammar), most=WORK, left=WORK)
        self._steps: dict[tuple[State, int], State | None] = {}
        self._pieces: dict[tuple[State, bytes], State | None] = {}
        self._readers: dict[frozenset[Stack], dict[str, list[Stack]]] = {}
        self._references = 0  # in these
        self.memory = MEMORY
        try:
            self.start = State(frozenset(self._stacks.open(self._stacks.push(Ref("root"), END))))
        except TooMany:
            raise _ambiguous() from None

    def begin(self, among: int = 1) -> None:
        """Allow the work of another token, of one of so many answers."""
        left = max(self._stacks.left, 0) + max(LASTING // among, LEAST)
        self._stacks.left = min(left, max(WORK // among, BURST))

    def accept(self, state: State, piece: bytes) -> State | None:
        """The state after a token that stands for `piece`, None if it does not fit. Raises BadRequest."""
        key = (state, piece)
        try:
            return self._pieces[key]
        except KeyError:
            found = self.follow(state, piece)
            self._make_room()
            self._pieces[key] = found
            return found

    def follow(self, state: State, piece: bytes) -> State | None:
        """The same, not remembered."""
        for byte in piece:
            if (after := self.step(state, byte)) is None:
                return None
            state = after
        return state if self.whole(state) else None

    def step(self, state: State, byte: int) -> State | None:
        """The state after a byte of a token, None if it does not fit. Raises BadRequest."""
        key = (state, byte)
        try:
            return self._steps[key]
        except KeyError:
            self._make_room()
            found = self._steps[key] = self._step(state, byte)
            self._references += len(found.stacks) if found else 0
            return found

    def whole(self, state: State) -> bool:
        """May a token end here?"""
        if not state.begun:
            return True
        first, last = _becomes(state.begun)
        readers = self._by_character(state.stacks)
        self._stacks.left -= len(readers[SETS])
        return any(first <= character <= last for character in readers) or any(
            isinstance(stack.node, Chars) and stack.node.meets(first, last) for stack in readers[SETS]
        )

    def ended(self, state: State) -> bool:
        """May the text end here?"""
        return END in state.stacks and not state.begun

    def _step(self, state: State, byte: int) -> State | None:
        begun = state.begun + bytes((byte,))
        try:
            character = begun.decode()
        except UnicodeDecodeError as error:
            return State(state.stacks, begun) if error.reason == "unexpected end of data" else None
        if byte == 0:  # no text has it
            return None
        after: set[Stack] = set()
        try:
            readers = self._by_character(state.stacks)
            for stack in (*readers.get(character, ()), *readers[SETS]):
                after.update(self._stacks.read(stack, character))
        except TooMany:
            raise _ambiguous() from None
        return State(frozenset(after)) if after else None

    def _by_character(self, stacks: frozenset[Stack]) -> dict[str, list[Stack]]:
        """The stacks that read each character, and those before SETS: an enumeration is thousands of stacks, of which
        each character fits a few."""
        if (readers := self._readers.get(stacks)) is None:
            readers = self._readers[stacks] = {SETS: []}
            self._references += len(stacks)
            self._stacks.left -= len(stacks) // REFERENCES
            for stack in stacks:
                node = stack.node
                if isinstance(node, Literal):
                    readers.setdefault(node.text[stack.one], []).append(stack)
                elif isinstance(node, Chars):
                    readers[SETS].append(stack)
        return readers

    def __len__(self) -> int:
        """What is remembered, counted in stacks."""
        entries = len(self._steps) + len(self._pieces) + len(self._readers) + self._references // REFERENCES
        return entries + len(self._stacks)

    def allow(self, memory: int) -> None:
        """Remember no more than so much from now on."""
        self.memory = memory
        self._make_room()

    def _make_room(self) -> None:
        if len(self) > self.memory:
            self._steps.clear()
            self._pieces.clear()
            self._readers.clear()
            self._references = 0
            self._stacks.forget()


class Matchers:
    """Those of a worker: one for all answers that a grammar binds. They share the memory for `slots` answers."""

    def __init__(self, slots: int) -> None:
        self._memory = (slots + KEPT) * MEMORY
        self._known: WeakValueDictionary[str, Matcher] = WeakValueDictionary()
        self._kept: deque[Matcher] = deque(maxlen=KEPT)
        self._bound: WeakSet[Hashable] = WeakSet()

    @property
    def bound(self) -> int:
        """Answers, at least 1."""
        return max(len(self._bound), 1)

    def enter(self, answer: Hashable, grammar: str) -> Matcher:
        """For an answer, which counts as bound while somebody holds it. Raises BadRequest."""
        if (one := self._known.get(grammar)) is None:
            one = self._known[grammar] = Matcher(grammar)
        if one in self._kept:
            self._kept.remove(one)
        self._kept.append(one)
        self._bound.add(answer)
        for matcher in (matchers := list(self._known.values())):
            matcher.allow(self._memory // len(matchers))
        return one


def _ambiguous() -> BadRequest:
    why = "the answer so far can be read in too many ways: alternatives that repeat must differ"
    return BadRequest(f"grammar: {why}", param="grammar")


def _becomes(begun: bytes) -> tuple[str, str]:
    """The first and the last character that begin with these bytes."""
    size = 2 if begun[0] < 0xE0 else 3 if begun[0] < 0xF0 else 4
    code = begun[0] & (0x7F >> size)
    for byte in begun[1:]:
        code = code << 6 | byte & 0x3F
    open_ = 6 * (size - len(begun))
    least = (0x80, 0x800, 0x10000)[size - 2]
    return chr(max(code << open_, least)), chr(min((code + 1 << open_) - 1, 0x10FFFF))
