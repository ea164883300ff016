"""Which turns go into the next summary, and what a model is given to write it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from mongarsd.memory.conversations.types import Role, Turn

#: Shares of the context. Turns beyond HIGH are summarised until LOW of them stand as they were said: so a summary, and
#: with it the beginning of the prompt, stays the same for a quarter of the context. BITE is read at once, the rest of
#: the context is for the summary before, the instruction and the new summary.
HIGH, LOW, BITE = 0.5, 0.25, 0.5
#: A summary has a sixteenth of the context, within these tokens.
SHORTEST, LONGEST = 32, 512
#: Characters of a token where no model has counted: less than English has (4), so that nothing is too long.
USUAL = 3.0
#: Within these a count is believed; fewer occur where most of an answer was not kept.
FEWEST, MOST = 0.5, 5.0
#: Characters around a message in a prompt.
FRAME = 16

_NAMES: dict[Role, str] = {"user": "User", "assistant": "Assistant", "tool": "Tool"}


def summarised(tokens: Sequence[int], questions: Sequence[bool], context: int) -> int:
    """How many of the turns that are in no summary yet should go into the next one; 0 = none. The next summary ends
    before a question, and never has the last one. `tokens`: of each turn, about; `questions`: is it the user's?"""
    before = [0, *accumulate(tokens)]
    if before[-1] <= context * HIGH:
        return 0
    places = [i for i, question in enumerate(questions) if question and i]
    enough = next((i for i in places if before[-1] - before[i] <= context * LOW), len(tokens))
    within = [i for i in places if i <= enough and before[i] <= context * BITE]
    return within[-1] if within else next(iter(places), 0)  # a single one that is too long is read in part


def longest(context: int) -> int:
    """Tokens of a summary."""
    return min(max(context // 16, SHORTEST), LONGEST)


def characters(turns: Sequence[Turn]) -> float:
    """Of a token, as far as the models that answered have counted."""
    answers = [turn for turn in turns if turn.role == "assistant" and turn.details.completion_tokens]
    counted = sum(turn.details.completion_tokens for turn in answers)
    return min(max(sum(map(length, answers)) / counted, FEWEST), MOST) if counted else USUAL


def length(turn: Turn) -> int:
    """Characters."""
    details = turn.details
    return len(turn.content) + len(details.reasoning) + len(str(details.tool_calls)) * bool(details.tool_calls)


def estimate(turns: Sequence[Turn], one: float) -> list[int]:
    """Tokens of each turn's message; `one` has so many characters."""
    return [int((length(turn) + FRAME) / one) + 1 for turn in turns]


def text(before: str, turns: Sequence[Turn], most: int) -> str:
    """What the model reads: the summary before and what was said since, `most` characters of that; of a turn that is
    too long its middle is left out. System messages are not in it: they always stay."""
    said = [turn for turn in turns if turn.role in _NAMES and turn.content.strip()]
    each = max(most // max(len(said), 1), 1) if sum(len(turn.content) for turn in said) > most else most
    lines = [f"{_NAMES[turn.role]}: {_shortened(turn.content.strip(), each)}" for turn in said]
    return "\n".join([*([f"Earlier: {before}"] if before else []), *lines])


def _shortened(words: str, most: int) -> str:
    return words if len(words) <= most else f"{words[: most - most // 2]} … {words[len(words) - most // 2 :]}"
