"""OpenAI's old words for tools, `functions` and `function_call`: in at the edge, out at the edge, and nothing behind
knows of them. Extended OpenAI Conversation and other programs of 2023 still speak so. Pure.

One call an answer. A result says the name of its function only, so it belongs to the call before it; programs may leave
that call out, and then the result stands alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import msgspec
from msgspec import UNSET, structs

from mongarsd.api.openai.answers import ChatChoice, ChunkFunction, TimingsObject
from mongarsd.api.openai.chunks import ChatChunks
from mongarsd.api.openai.naming import by, renamed
from mongarsd.api.openai.requests import ChatMessage, ChatRequest, ToolCall
from mongarsd.ground.errors import BadRequest
from mongarsd.ground.job import Delta, ToolChoice

#: Of the fields of the request that is made, at the beginning of a complaint: what was sent instead.
_NAMES = (
    (re.compile(r"tools(\[\d+\])\.function"), r"functions\1"),
    (re.compile(r"tool_choice\.function"), "function_call"),
)


def as_tools(request: ChatRequest) -> ChatRequest:
    """The same in the words of today. Raises BadRequest."""
    return structs.replace(request, messages=_turns(request.messages), **_tools(request))


def named_as_sent(request: ChatRequest) -> AbstractContextManager[None]:
    """Complaints about the request that `as_tools` makes name the fields of `request`."""
    return renamed(by(_NAMES)) if request.functions else nullcontext()


def answered(choice: ChatChoice) -> ChatChoice:
    """Its first call as a function's."""
    if choice.message.tool_calls is UNSET:
        return choice
    message = structs.replace(choice.message, tool_calls=UNSET, function_call=choice.message.tool_calls[0].function)
    return structs.replace(choice, message=message, finish_reason=_word(choice.finish_reason))


class FunctionChunks(ChatChunks):
    """{"delta": {"function_call": …}}: the name, then the arguments in pieces."""

    def delta(self, index: int, delta: Delta) -> bytes:
        if not delta.calls:
            return super().delta(index, delta)
        said = super().delta(index, structs.replace(delta, calls=()))
        return said + b"".join(self._called(index, piece) for piece in _pieces(delta))

    def last(self, index: int, reason: str, timings: TimingsObject | None) -> bytes:
        return super().last(index, _word(reason), timings)

    def _called(self, index: int, piece: ChunkFunction) -> bytes:
        return self._choice(index, b'{"function_call":' + msgspec.json.encode(piece), self._tail)


def _tools(request: ChatRequest) -> dict[str, Any]:
    """Fields of the request. Raises BadRequest."""
    wanted = request.function_call
    if not request.functions:
        if wanted is None or (wanted in ("auto", "none") and not request.tools):
            return {}
        raise BadRequest(
            "function_call: chooses among functions, and there are none; for tools it is tool_choice",
            param="function_call",
        )
    if request.tools:
        raise BadRequest("functions: not together with tools; they are the old word for them", param="functions")
    if request.tool_choice is not None:
        raise BadRequest("tool_choice: chooses among tools; for functions it is function_call", param="tool_choice")
    return {
        "tools": [{"type": "function", "function": function} for function in request.functions],
        "tool_choice": _choice(wanted),
        "parallel_tool_calls": False,
        "functions": None,
        "function_call": None,
    }


def _choice(wanted: str | dict[str, Any] | None) -> str | dict[str, Any] | None:
    """Raises BadRequest."""
    if isinstance(wanted, dict):
        return {"type": "function", "function": {"name": wanted.get("name")}}
    if wanted not in (None, ToolChoice.AUTO, ToolChoice.NONE):
        raise BadRequest('function_call: auto, none or {"name": …}', param="function_call")
    return wanted


def _turns(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    turns, call = [], ""
    for number, message in enumerate(messages):
        if message.role == "function":
            turns.append(
                structs.replace(message, role="tool", content=message.content or "", tool_call_id=call or _id(number))
            )
            call = ""
        elif message.function_call and not message.tool_calls:
            call = _id(number)
            turns.append(structs.replace(message, tool_calls=[ToolCall(message.function_call, call)]))
        else:
            turns.append(message)
    return turns


def _id(number: int) -> str:
    """Nine letters, as Mistral's templates demand, and the same each time the conversation is sent."""
    return f"call{number:05}"


def _pieces(delta: Delta) -> Iterator[ChunkFunction]:
    for call in delta.calls:
        if call.index:
            continue  # a second call, of a model whose notation cannot be bound to one
        if call.name:
            yield ChunkFunction(name=call.name, arguments="")
        if call.arguments:
            yield ChunkFunction(arguments=call.arguments)


def _word(reason: Any) -> Any:
    return "function_call" if reason == "tool_calls" else reason
