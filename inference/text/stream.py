"""TextStream: a job's tokens in, what may be shown out.

A token is released once all its text is certain: its last character complete, no stop string and no think tag still
possible in it. So the texts released so far are exactly the text of the released tokens, and a job resumed after them
goes on with the very next character. Stop strings are looked for in the answer only, never in the reasoning.
"""

from __future__ import annotations

from codecs import utf_8_decode
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from msgspec import Struct

from mongarsd.ground.job import TokenLogprob
from mongarsd.inference.text.reasoning import CLOSE, Part, Phase, split
from mongarsd.inference.text.stops import Match, Stops
from mongarsd.inference.text.utf8 import decode


class Released(Struct, frozen=True):
    """Tokens and their text.

    When a stop string matched it is the text before it, and the tokens that began before it: the last of them may hold
    its first characters too.
    """

    tokens: tuple[int, ...]
    text: str = ""
    reasoning: str = ""
    logprobs: tuple[TokenLogprob, ...] = ()
    stop: str | None = None  # the stop string that matched: the job is over


class _Held(NamedTuple):
    token: int
    logprob: TokenLogprob | None
    begin: int  # characters of `_text` that were there before the token
    end: int  # … and after it
    whole: bool  # it ends where a character ends

    def before(self, cut: int) -> bool:
        """Does it begin before `cut`, or end there?"""
        return self.begin < cut or (self.whole and self.end <= cut)


class TextStream:
    """Begins in the reasoning when `thinking`; without `thinks` or `thinking` everything is answer. Not thread-safe."""

    def __init__(self, stops: Sequence[str], thinks: bool, thinking: bool) -> None:
        self._stops = Stops(stops)
        self._phase = Phase.THOUGHT_START if thinking else Phase.LEAD if thinks else Phase.ANSWER
        self._pending = b""  # bytes of a character that is not complete
        self._text = ""  # everything decoded and not released yet; begins in `_phase`
        self._shown = 0  # how many characters of `_text` were released before a replay
        self._held: deque[_Held] = deque()
        self.stop: str | None = None  # the stop string that matched; nothing is released any more

    def push(self, token: int, piece: bytes, logprob: TokenLogprob | None) -> Released | None:
        """Take the next token; give what became certain by it."""
        if not (self._held or self._text or self._pending) and self.stop is None:
            # The ordinary case, nothing is held and nothing gives cause to: 1 µs instead of 10 (x86).
            text, used = utf_8_decode(piece, "replace")
            if used == len(piece):
                logprobs = () if logprob is None else (logprob,)
                if self._phase is Phase.ANSWER and not (self._stops.hold(text) or self._stops.find(text)):
                    return Released((token,), text, "", logprobs)
                if self._phase is Phase.THOUGHT and CLOSE[0] not in text:
                    return Released((token,), "", text, logprobs)
        if self.stop is not None:
            return None
        begin = len(self._text)
        text, self._pending = decode(self._pending, piece)
        self._text += text
        self._held.append(_Held(token, logprob, begin, len(self._text), not self._pending))
        return self._release(final=False)

    def finish(self) -> Released | None:
        """The model said its last token: give what was held. A stop string may still match in it."""
        if self.stop is not None:
            return None
        text, self._pending = decode(self._pending, b"", final=True)
        self._text += text
        return self._release(final=True)

    def replay(self, tokens: Sequence[int], pieces: Sequence[bytes]) -> str:
        """Stand where the stream stood that released `tokens`. Look at `stop` afterwards.

        Returns the text that it had given, without reasoning.
        """
        said = []
        for token, piece in zip(tokens, pieces, strict=True):
            if released := self.push(token, piece, None):
                said.append(released.text)
        if self._pending:  # only a last token is released without the rest of its character
            rest, self._pending = decode(self._pending, b"", final=True)
            self._text += rest
        before = 0
        for part in split(self._phase, self._text, final=True):
            if part.shown and part.phase is Phase.ANSWER and self.stop is None:
                said.append(self._text[max(before, self._shown) : part.end])
            before = part.end
        self._held.clear()
        self._shown = len(self._text)
        return "".join(said)

    def _release(self, *, final: bool) -> Released | None:
        parts = split(self._phase, self._text, final=final)
        certain = parts[-1].end if parts else 0
        match: Match | None = None
        if self._stops and parts and parts[-1].phase is Phase.ANSWER:
            begin = parts[-2].end if len(parts) > 1 else 0
            answer = self._text[begin:]
            if match := self._stops.find(answer):
                certain = begin + match.start
                self.stop = match.stop
            elif not final:
                certain -= self._stops.hold(answer)
        if match or final:
            count, end = sum(held.before(certain) or not match for held in self._held), certain
        else:
            count, end = self._boundary(parts, certain)
        if not (count or match or (final and end > self._shown)):
            return None
        released = self._take(parts, count, end)
        self._cut(parts, end)
        return released

    def _boundary(self, parts: list[Part], certain: int) -> tuple[int, int]:
        """How many held tokens may go, and how many characters they end at: a whole character, not inside a tag."""
        best = (0, 0)
        tags = [(before.end if before else 0, part.end) for before, part in _pairs(parts) if part.tag]
        for count, held in enumerate(self._held, 1):
            if held.end > certain:
                break
            if held.whole and not any(begin < held.end < end for begin, end in tags):
                best = (count, held.end)
        return best

    def _take(self, parts: list[Part], count: int, end: int) -> Released:
        """Remove `count` tokens and describe them with the text up to `end`."""
        held = [self._held.popleft() for _ in range(count)]
        texts = {Phase.THOUGHT: "", Phase.ANSWER: ""}
        for before, part in _pairs(parts):
            if part.shown:
                begin = max(before.end if before else 0, self._shown)
                texts[part.phase] += self._text[begin : max(begin, min(part.end, end))]
        return Released(
            tuple(one.token for one in held),
            texts[Phase.ANSWER],
            texts[Phase.THOUGHT],
            tuple(one.logprob for one in held if one.logprob is not None),
            self.stop,
        )

    def _cut(self, parts: list[Part], end: int) -> None:
        """Forget the first `end` characters."""
        if end:
            self._phase = next(part.phase for part in parts if part.end >= end)
            self._text = self._text[end:]
            self._shown = max(0, self._shown - end)
            self._held = deque(one._replace(begin=one.begin - end, end=one.end - end) for one in self._held)


def _pairs(parts: list[Part]) -> zip[tuple[Part | None, Part]]:
    """Each part with the one before it."""
    return zip([None, *parts], parts, strict=False)
