from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mongarsd.inference.text.reasoning import LEAD, Phase, split


def separate(phase: Phase, text: str) -> tuple[str, str]:
    texts, begin = {Phase.THOUGHT: "", Phase.ANSWER: ""}, 0
    for part in split(phase, text, final=True):
        if part.shown:
            texts[part.phase] += text[begin : part.end]
        begin = part.end
    assert begin == len(text)
    return texts[Phase.THOUGHT], texts[Phase.ANSWER]


@pytest.mark.parametrize(
    ("text", "reasoning", "answer"),
    [
        ("<think>\nhm\n</think>\n\nYes.", "hm\n", "Yes."),
        ("\n <think>hm</think>Yes.", "hm", "Yes."),
        ("<think>\n\n</think>\n\nYes.", "", "Yes."),
        ("<think>never closed", "never closed", ""),
        ("<think>almost </thin", "almost </thin", ""),
        ("<thi", "", "<thi"),
        ("\n\nplain", "", "\n\nplain"),
        ("\n", "", "\n"),
        ("a <think> in the answer</think>", "", "a <think> in the answer</think>"),
        ("<think>a</think>b<think>c</think>", "a", "b<think>c</think>"),
        ("<think>a<think>b</think>c", "a<think>b", "c"),
        (" " * LEAD + "<think>a", "a", ""),
        (" " * (LEAD + 1) + "<think>a", "", " " * (LEAD + 1) + "<think>a"),
    ],
)
def test_separates(text: str, reasoning: str, answer: str) -> None:
    assert separate(Phase.LEAD, text) == (reasoning, answer)


def test_a_prompt_that_opened_the_block() -> None:
    assert separate(Phase.THOUGHT_START, "\nhm</think>\nYes.") == ("hm", "Yes.")
    assert separate(Phase.ANSWER, "<think>hm</think>") == ("", "<think>hm</think>")


@pytest.mark.parametrize(
    ("phase", "text", "certain"),
    [
        (Phase.LEAD, "\n <thi", 0),
        (Phase.LEAD, "\n <thx", 6),
        (Phase.LEAD, " " * LEAD, 0),
        (Phase.LEAD, " " * (LEAD + 1), LEAD + 1),
        (Phase.THOUGHT, "a < b </th", 6),
        (Phase.THOUGHT, "a</think>\n", 10),
        (Phase.ANSWER, "a <think", 8),
    ],
)
def test_what_is_certain(phase: Phase, text: str, certain: int) -> None:
    parts = split(phase, text)
    assert (parts[-1].end if parts else 0) == certain


@given(
    st.lists(st.sampled_from(["<", "think>", "</", "/", "\n", " ", "x", "<think>", "</think>"]), max_size=12).map(
        "".join
    )
)
def test_what_is_certain_stays_so(text: str) -> None:
    whole = split(Phase.LEAD, text, final=True)
    for size in range(len(text)):
        parts = split(Phase.LEAD, text[:size])
        for index, part in enumerate(parts):
            begin = parts[index - 1].end if index else 0
            for at in range(begin, part.end):
                match = next(p for p in whole if p.end > at)
                assert (match.phase, match.shown) == (part.phase, part.shown)
