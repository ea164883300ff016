"""Calls numbered and named, whoever carries the job on."""

from __future__ import annotations

from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from mongarsd.ground.job import ToolCall
from mongarsd.inference.engine.calls import Calls
from mongarsd.inference.text.tools.hermes import Hermes

ANSWER = (
    '<tool_call>\n{"name": "f", "arguments": {"a": "x}"}}\n</tool_call>\n'
    '<tool_call>\n{"name": "g", "arguments": {}}\n</tool_call>'
)
MAKE = partial(Hermes().parser, ["f", "g"], bound="")


def together(pieces: list[ToolCall]) -> dict[int, tuple[str, str, str]]:
    calls: dict[int, tuple[str, str, str]] = {}
    for piece in pieces:
        before = calls.get(piece.index, ("", "", ""))
        calls[piece.index] = (before[0] + piece.id, before[1] + piece.name, before[2] + piece.arguments)
    return calls


def test_a_name_and_an_id_once_and_the_arguments_in_pieces() -> None:
    calls = Calls("job", MAKE)
    pieces = [piece for character in ANSWER for piece in calls.feed(character)[1]]
    assert len(pieces) > 10
    whole = together(pieces)
    assert [(name, arguments) for _, name, arguments in whole.values()] == [("f", '{"a": "x}"}'), ("g", "{}")]
    assert len({id_ for id_, _, _ in whole.values()}) == 2
    assert [piece.index for piece in pieces] == sorted(piece.index for piece in pieces)


@given(st.integers(0, len(ANSWER)))
def test_a_job_carried_on_goes_on_within_the_arguments(cut: int) -> None:
    lost, next_ = Calls("job", MAKE), Calls("job", MAKE)
    given_ = [*lost.feed(ANSWER[:cut])[1]]
    next_.feed(ANSWER[:cut])  # what the client has already
    assert together([*given_, *next_.feed(ANSWER[cut:])[1]]) == together([*Calls("job", MAKE).feed(ANSWER)[1]])
    assert next_.finish() == ("", ())


def test_without_tools_all_is_text() -> None:
    assert Calls("job", None).feed(ANSWER) == (ANSWER, ())
    assert Calls("job", None).finish() == ("", ())
