"""Items: what OpenAI's clients see of a turn. One turn is a message with what belongs to it: a search in documents and
reasoning before it, function calls after it. The ids of all of them are made of the turn's."""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from mongarsd.api.openai.answers import ContentLogprob
from mongarsd.api.openai.logprobs import chat_logprobs
from mongarsd.api.openai.responses.citations import Citation, citations
from mongarsd.ground.errors import NotFound
from mongarsd.memory.conversations.types import NewTurn, Turn

#: What a client may ask for besides (`include`): the passages a search found, the log-probabilities of the text.
RESULTS, LOGPROBS = "file_search_call.results", "message.output_text.logprobs"

Status = Literal["in_progress", "completed", "incomplete"]
Kind = Literal["msg", "rs", "fs", "fc", "fco"]

_ID = re.compile(r"(msg|rs|fs|fc|fco)_([0-9a-f]{48})(?:_([0-9]{1,4}))?")


class InputText(Struct, frozen=True, tag="input_text"):
    text: str


class OutputText(Struct, frozen=True, kw_only=True, tag="output_text"):
    text: str
    annotations: list[Citation] = []
    logprobs: list[ContentLogprob] = []


class ReasoningText(Struct, frozen=True, tag="reasoning_text"):
    text: str


class Rated(Struct, frozen=True, kw_only=True):
    rating: Literal["up", "down"]
    correction: str


class MessageItem(Struct, frozen=True, kw_only=True, tag="message"):
    id: str
    role: str
    status: Status = "completed"
    content: list[InputText | OutputText]
    feedback: Rated | UnsetType = UNSET  # see /v1/feedback


class ReasoningItem(Struct, frozen=True, kw_only=True, tag="reasoning"):
    id: str
    status: Status = "completed"
    summary: list[Any] = []  # never made
    content: list[ReasoningText]


class CallItem(Struct, frozen=True, kw_only=True, tag="function_call"):
    id: str
    status: Status = "completed"
    call_id: str
    name: str
    arguments: str  # JSON text


class CallOutputItem(Struct, frozen=True, kw_only=True, tag="function_call_output"):
    id: str
    status: Status = "completed"
    call_id: str
    output: str


class FileSearchItem(Struct, frozen=True, kw_only=True, tag="file_search_call"):
    id: str
    status: Literal["in_progress", "searching", "completed"] = "completed"
    queries: tuple[str, ...]
    results: tuple[dict[str, Any], ...] | None = None  # when they are asked for


Item = MessageItem | ReasoningItem | CallItem | CallOutputItem | FileSearchItem


class ItemList(Struct, frozen=True, kw_only=True):
    object: Literal["list"] = "list"
    data: list[Item]
    first_id: str | None
    last_id: str | None
    has_more: bool


def item_id(kind: Kind, turn: str, number: int | None = None) -> str:
    """`turn`: "msg_…", and so is the id of its message."""
    name = kind + turn.removeprefix("msg")
    return name if number is None else f"{name}_{number}"


def turn_id(item: str) -> str:
    """The turn that the item is of. Raises NotFound."""
    if not (match := _ID.fullmatch(item)):
        raise no_item(item)
    return f"msg_{match[2]}"


def no_item(item: str) -> NotFound:
    return NotFound(f"there is no item {item[:80]!r}")


def items_of(turn: NewTurn, include: Container[str] = ()) -> list[Item]:
    """`include`: RESULTS, LOGPROBS. The last item of an answer that was cut is incomplete."""
    details = turn.details
    if turn.role == "tool":
        output = CallOutputItem(id=item_id("fco", turn.id), call_id=details.tool_call_id, output=turn.content)
        return [output]
    if turn.role != "assistant":
        return [MessageItem(id=turn.id, role=turn.role, content=[InputText(turn.content)])]
    items: list[Item] = []
    found = details.searched
    if found:
        shown = found.results if RESULTS in include else None
        items.append(FileSearchItem(id=item_id("fs", turn.id), queries=found.queries, results=shown))
    if details.reasoning:
        items.append(ReasoningItem(id=item_id("rs", turn.id), content=[ReasoningText(details.reasoning)]))
    if turn.content or not (details.reasoning or details.tool_calls):
        marks = citations(turn.content, found.results) if found else []
        logprobs = chat_logprobs(details.logprobs).content if LOGPROBS in include else []
        text = OutputText(text=turn.content, annotations=marks, logprobs=logprobs)
        items.append(MessageItem(id=turn.id, role="assistant", content=[text], feedback=_rated(turn)))
    for number, call in enumerate(details.tool_calls):
        function = call.get("function") or {}
        items.append(
            CallItem(
                id=item_id("fc", turn.id, number),
                call_id=call.get("id") or "",
                name=function.get("name") or "",
                arguments=arguments_text(function.get("arguments", "")),
            )
        )
    if details.finish_reason in ("length", "cancelled") and not isinstance(items[-1], FileSearchItem):
        items[-1] = msgspec.structs.replace(items[-1], status="incomplete")
    return items


def without(turn: NewTurn, item: str) -> NewTurn | None:
    """What is left of the turn when one of its items is deleted; None = nothing. Raises NotFound."""
    details, content = turn.details, turn.content
    items = items_of(turn)
    number = next((i for i, one in enumerate(items) if one.id == item), None)
    if number is None:
        raise no_item(item)
    if len(items) == 1:
        return None
    gone = items[number]
    if isinstance(gone, MessageItem):
        content, details = "", msgspec.structs.replace(details, logprobs=())
    elif isinstance(gone, ReasoningItem):
        details = msgspec.structs.replace(details, reasoning="")
    elif isinstance(gone, FileSearchItem):
        details = msgspec.structs.replace(details, searched=None)
    else:
        first = len(items) - len(details.tool_calls)
        calls = tuple(call for i, call in enumerate(details.tool_calls) if first + i != number)
        details = msgspec.structs.replace(details, tool_calls=calls)
    left = msgspec.structs.replace(turn, content=content, details=details)
    return left if left.content or details.reasoning or details.tool_calls else None


def item_list(items: list[Item], more: bool) -> ItemList:
    return ItemList(
        data=items, first_id=items[0].id if items else None, last_id=items[-1].id if items else None, has_more=more
    )


def _rated(turn: NewTurn) -> Rated | UnsetType:
    if not isinstance(turn, Turn) or not turn.feedback:
        return UNSET
    return Rated(rating="up" if turn.feedback > 0 else "down", correction=turn.comment)


def arguments_text(arguments: Any) -> str:
    """A chat's client may have sent an object."""
    return arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode()
