"""A grammar followed byte by byte, for backends whose vocabularies llama.cpp does not know.

It accepts what llama.cpp's grammar accepts, with one difference: what is not UTF-8 never fits. A token may end inside a
character, if what there is of it may become one that fits; as in llama.cpp, a set that excludes characters then takes
none of those that begin like one of them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from mongarsd.ground.errors import BadRequest
from mongarsd.inference.grammar.gbnf import Chars, Literal, Ref, parse
from mongarsd.inference.grammar.stacks import END, REFERENCES, Stack, Stacks, TooMany

#: Stacks that may be followed for one token: half a second (x86). An enumeration of 4,000 texts takes 40,000 where all
#: tokens of a vocabulary are looked at.
WORK = 200_000
#: … and for each of many, one after another: 0.1 s, as other answers wait meanwhile.
LASTING = 50_000
#: No character: stands for the sets of them.
SETS = ""
#: Steps and stacks remembered, 0.3 KB each (`__len__`).
MEMORY = 40_000


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
        try:
            self.start = State(frozenset(self._stacks.open(self._stacks.push(Ref("root"), END))))
        except TooMany:
            raise _ambiguous() from None

    def begin(self) -> None:
        """Allow the work of another token."""
        self._stacks.left = min(max(self._stacks.left, 0) + LASTING, WORK)

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

    def _make_room(self) -> None:
        if len(self) > MEMORY:
            self._steps.clear()
            self._pieces.clear()
            self._readers.clear()
            self._references = 0
            self._stacks.forget()


@lru_cache(maxsize=4)
def matcher(grammar: str) -> Matcher:
    """One for all jobs of a grammar: tools come with each request of a conversation."""
    return Matcher(grammar)


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
