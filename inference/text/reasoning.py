"""Reasoning, `<think>` … `</think>`, kept apart from the answer. Pure: phase and text in, parts out.

`<think>` counts only as the first thing a model says (after at most `LEAD` characters of white space): later on it is
text somebody asked for. There is one block; its tags, and the newlines right after each tag, belong to nobody, as in
llama-server and DeepSeek's API. A block that is never closed is reasoning to the end.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

OPEN = "<think>"
CLOSE = "</think>"
LEAD = 16  # characters; models put a newline or two there


class Phase(enum.Enum):
    LEAD = enum.auto()  # nothing but white space so far: <think> may follow
    THOUGHT_START = enum.auto()  # inside the block, its leading newlines are being dropped
    THOUGHT = enum.auto()
    ANSWER_START = enum.auto()  # after the block, newlines are being dropped
    ANSWER = enum.auto()  # the rest, to the end


class Part(NamedTuple):
    """A run of characters. `phase` is the one after any of them."""

    end: int  # where it ends; it begins where the part before it ends
    phase: Phase
    shown: bool = True
    tag: bool = False  # nothing may be cut inside


def split(phase: Phase, text: str, *, final: bool = False) -> list[Part]:
    """The parts of `text`, which begins in `phase`, up to the last character whose part is certain.

    `final` says that no more text comes: everything is certain.
    """
    parts: list[Part] = []
    at, size = 0, len(text)
    while at < size:
        if phase is Phase.LEAD:
            lead = size - len(text.lstrip())
            if lead <= LEAD and text.startswith(OPEN, lead):
                phase, at = Phase.THOUGHT_START, lead + len(OPEN)
                parts.append(Part(at, phase, shown=False, tag=True))
            elif lead <= LEAD and OPEN.startswith(text[lead:]) and not final:
                break
            else:
                phase = Phase.ANSWER
        elif phase is Phase.THOUGHT:
            end = text.find(CLOSE, at)
            if end < 0:
                parts.append(Part(size - (0 if final else _unfinished(text, at)), phase))
                break
            parts.append(Part(end, phase))
            phase, at = Phase.ANSWER_START, end + len(CLOSE)
            parts.append(Part(at, phase, shown=False, tag=True))
        elif phase is Phase.ANSWER:
            parts.append(Part(size, phase))
            break
        else:
            while at < size and text[at] == "\n":
                at += 1
            parts.append(Part(at, phase, shown=False))
            if at < size:
                phase = Phase.THOUGHT if phase is Phase.THOUGHT_START else Phase.ANSWER
    return parts


def _unfinished(text: str, at: int) -> int:
    """Characters at the end of `text[at:]` that may become CLOSE."""
    longest = min(len(CLOSE) - 1, len(text) - at)
    return next((size for size in range(longest, 0, -1) if CLOSE.startswith(text[-size:])), 0)
