"""`Remember that …` and `forget …` said in chat: which of them a message is, by its first words alone. Pure.

English, German and French. Only a whole message of one short paragraph that begins so counts: a question about
remembering, or a long text that happens to begin with the word, does not.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

MAX_LENGTH = 1000  # characters


class Command(NamedTuple):
    verb: Literal["remember", "forget"]
    text: str


_PLEASE = r"(?:(?:please|bitte|s'il (?:te|vous) pla[iî]t)\s*,?\s+)?"
_PATTERNS: tuple[tuple[Literal["remember", "forget"], re.Pattern[str]], ...] = tuple(
    (verb, re.compile(rf"\s*{_PLEASE}(?:{words})(?P<text>\S.*)", re.IGNORECASE))  # type: ignore[misc]
    for verb, words in (
        ("remember", r"remember\s+that\s+|remember\s*:\s*|keep\s+in\s+mind\s+that\s+"),
        ("remember", r"merke?\s+dir\s*,?\s*dass\s+|merke?\s+dir\s*:\s*"),
        ("remember", r"(?:retiens|rappelle-toi|souviens-toi)\s+qu(?:e\s+|['’])"),
        ("forget", r"forget\s+that\s+|forget\s+about\s+|forget\s*:\s*|forget\s+(?=(?:my|our|the|what)\b)"),
        ("forget", r"vergiss\s*,?\s*dass\s+|vergiss\s*:\s*|vergiss\s+(?=(?:mein|unser|de[nr]|die|das|was)\w*\b)"),
        ("forget", r"oublie\s+qu(?:e\s+|['’])|oublie\s*:\s*|oublie\s+(?=(?:m[aeo]|no|l[ae])\w*\b|l['’])"),
    )
)


def command(message: str) -> Command | None:
    """What the user's last message orders; None = nothing."""
    if len(message) > MAX_LENGTH or "\n" in message.strip() or message.rstrip().endswith("?"):
        return None
    for verb, pattern in _PATTERNS:
        if match := pattern.fullmatch(message.strip()):
            return Command(verb, match["text"].strip())
    return None
