"""Prompts of a wanted size, all different from the first word on and from those of earlier runs, so that no prefix
cache helps unasked: ours outlives the server."""

from __future__ import annotations

import itertools
import random
import secrets

WORDS = (
    "river mountain bread engine winter garden silver window market thunder paper bridge ocean candle forest "
    "teacher morning camera harvest violin station castle blanket compass journey library summer kitchen signal"
).split()
_numbers = itertools.count(secrets.randbelow(10**8))


def prompt(words: int) -> list[dict[str, str]]:
    """A chat of one user message with about 1.3 tokens a word."""
    number = next(_numbers)
    chooser = random.Random(number)
    text = " ".join(chooser.choice(WORDS) for _ in range(words))
    return [
        {"role": "user", "content": f"{number}{number} is the number of this list: {text}. Write a story about it."}
    ]
