"""Whatever a model says, in whatever pieces: the events come in the order that clients rely on."""

from __future__ import annotations

import itertools
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mongarsd.api.openai.responses.answers import Response, begun
from mongarsd.api.openai.responses.events import Events, Said
from mongarsd.api.openai.responses.items import FileSearchItem, items_of
from mongarsd.api.openai.responses.requests import ResponseRequest
from mongarsd.ground.job import Delta, Job, ToolCall
from mongarsd.memory.conversations.types import Details, NewTurn, Searched

TURN = "msg_" + "0" * 48
RESULTS = ({"file_id": "file-1", "filename": "a.md", "score": 1.0, "attributes": {}, "text": "x"},)
PIECES = st.lists(st.text("ab [1]", min_size=1, max_size=5), max_size=3)


def said(events: list[Said]) -> list[dict[str, Any]]:
    told = [json.loads(one.data) for one in events]
    assert [one["type"] for one in told] == [one.kind for one in events]
    return told


def response(**fields: Any) -> Response:
    made = begun("resp_1", 0.0, "tiny", ResponseRequest(input="x"), Job(id="", model=""), conversation="")
    return Response(**{name: fields.get(name, getattr(made, name)) for name in made.__struct_fields__})


@given(PIECES, PIECES, st.lists(PIECES, max_size=2), st.booleans(), st.booleans())
def test_each_item_begins_grows_and_ends_before_the_next(
    thought: list[str], text: list[str], calls: list[list[str]], found: bool, cut: bool
) -> None:
    deltas = [Delta(job="", tokens=(1,), reasoning=one) for one in thought]
    deltas += [Delta(job="", tokens=(1,), text=one) for one in text]
    for number, arguments in enumerate(calls):
        begin = ToolCall(index=number, id=f"call_{number}", name="f")
        deltas.append(Delta(job="", tokens=(1,), calls=(begin,)))
        deltas += [Delta(job="", tokens=(1,), calls=(ToolCall(index=number, arguments=one),)) for one in arguments]
    searched = Searched(("q",), RESULTS) if found else None
    details = Details(
        finish_reason="length" if cut else "stop",
        reasoning="".join(thought),
        searched=searched,
        tool_calls=tuple(
            {"id": f"call_{number}", "function": {"name": "f", "arguments": "".join(one)}}
            for number, one in enumerate(calls)
        ),
    )
    output = items_of(NewTurn(id=TURN, role="assistant", content="".join(text), details=details))
    whole = response(status="incomplete" if cut else "completed", output=output)
    events = Events(response(), TURN)
    if searched:
        events.searched(searched, results=False)
    told = said([*itertools.chain.from_iterable(map(events.delta, deltas)), *events.end(whole)])

    assert [one["sequence_number"] for one in told] == list(range(len(told)))
    assert [one["type"] for one in told[:2]] == ["response.created", "response.in_progress"]
    assert told[-1]["type"] == ("response.incomplete" if cut else "response.completed")
    opened: dict[str, Any] | None = None
    grown = ""
    done = []
    for one in told[2:-1]:
        kind = one["type"]
        if kind == "response.output_item.added":
            assert opened is None
            opened, grown = one["item"], ""
            assert one["output_index"] == len(done)
            continue
        assert opened
        assert one["output_index"] == len(done)
        assert one.get("item_id", opened["id"]) == opened["id"]
        if kind.endswith(".delta"):
            grown += one["delta"]
        elif kind.endswith(("text.done", "arguments.done")):
            assert one.get("text", one.get("arguments")) == grown
        elif kind == "response.output_item.done":
            done.append(one["item"])
            opened = None
    assert opened is None
    assert done == told[-1]["response"]["output"]


@given(st.lists(st.sampled_from(["reasoning", "text", "call", "space"]), max_size=8))
def test_any_order_of_pieces_keeps_items_apart(kinds: list[str]) -> None:
    events = Events(response(), TURN)
    out: list[Said] = []
    for number, kind in enumerate(kinds):
        calls = (ToolCall(index=number, id=f"c{number}", name="f"),) if kind == "call" else ()
        text = {"text": "x", "space": "\n"}.get(kind, "")
        out += events.delta(
            Delta(job="", tokens=(1,), text=text, reasoning="r" if kind == "reasoning" else "", calls=calls)
        )
    told = said([*out, *events.end(response(status="completed"))])
    begun_and_ended = [one["type"] for one in told if one["type"].startswith("response.output_item.")]
    assert begun_and_ended == ["response.output_item.added", "response.output_item.done"] * (len(begun_and_ended) // 2)
    assert begun_and_ended


def test_a_failure_comes_after_what_was_held_back() -> None:
    kinds = [one["type"] for one in said(Events(response(), TURN).failed("busy", "later", None))]
    assert kinds == ["response.created", "response.in_progress", "error", "response.failed"]


def test_a_cut_answer_marks_its_last_item_but_never_a_search() -> None:
    details = Details(finish_reason="length", searched=Searched(("q",), RESULTS))
    search, message = items_of(NewTurn(id=TURN, role="assistant", content="see [1] and [2]", details=details))
    assert isinstance(search, FileSearchItem)
    assert search.status == "completed"
    assert message.status == "incomplete"
    assert [mark.index for mark in message.content[0].annotations] == [4]  # type: ignore[union-attr]
