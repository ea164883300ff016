"""Items that a client sends become messages; messages become turns, and turns messages again. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

from mongarsd.api.openai.requests import ChatMessage, FunctionCall, ToolCall
from mongarsd.api.openai.responses.citations import passages
from mongarsd.api.openai.responses.requests import InputItem, Part
from mongarsd.ground.errors import BadRequest
from mongarsd.memory.conversations.types import Details, NewTurn, Role, Searched, new_id

_TEXTS = ("input_text", "output_text", "text", "summary_text", "reasoning_text")
_SENSES = {"input_image": "no vision", "image_url": "no vision", "input_audio": "no hearing"}
_ROLES: dict[str, Role] = {"developer": "developer", "user": "user", "assistant": "assistant", "tool": "tool"}


def messages_of(given: str | Sequence[InputItem] | None, where: str = "input") -> list[ChatMessage]:
    """Reasoning, an answer and its function calls, one after the other, are one message. Raises BadRequest."""
    if isinstance(given, str):
        return [ChatMessage(role="user", content=given)]
    messages: list[ChatMessage] = []
    for number, item in enumerate(given or ()):
        message = _message(item, f"{where}[{number}]")
        if message is None:
            continue
        if messages and (joined := _joined(messages[-1], message)):
            messages[-1] = joined
        else:
            messages.append(message)
    return messages


def turns_of(messages: Sequence[ChatMessage]) -> list[NewTurn]:
    """With ids."""
    return [
        NewTurn(
            id=new_id("msg"),
            role=_ROLES.get(message.role, "system"),
            content=str(message.content or ""),
            details=Details(
                reasoning=message.reasoning_content or "",
                tool_calls=tuple(stored_call(call) for call in message.tool_calls or ()),
                tool_call_id=message.tool_call_id or "",
            ),
        )
        for message in messages
    ]


def told(turns: Sequence[NewTurn]) -> list[ChatMessage]:
    """Turns as the model saw them when they were new, so that their prompt comes from the prefix cache."""
    messages: list[ChatMessage] = []
    for turn in turns:
        details = turn.details
        if details.searched:
            with_passages(messages, details.searched)
        calls = [_call(one) for one in details.tool_calls]
        messages.append(
            ChatMessage(
                role=turn.role,
                content=turn.content,
                name=details.name or None,
                reasoning_content=details.reasoning or None,
                tool_calls=calls or None,
                tool_call_id=details.tool_call_id or None,
            )
        )
    return messages


def with_passages(messages: list[ChatMessage], found: Searched) -> None:
    """Put what was found before the user's last words."""
    for number in range(len(messages) - 1, -1, -1):
        if messages[number].role == "user":
            text = passages(found.results) + str(messages[number].content)
            messages[number] = structs.replace(messages[number], content=text)
            return


def with_instructions(instructions: str | None, messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """As one system message with what follows, if that is one: templates know no second."""
    if not instructions:
        return list(messages)
    first = messages[0] if messages else None
    if first and first.role in ("system", "developer"):
        text = f"{instructions}\n\n{first.content}"
        return [ChatMessage(role="system", content=text), *messages[1:]]
    return [ChatMessage(role="system", content=instructions), *messages]


def stored_call(call: ToolCall) -> dict[str, object]:
    """As chats are stored."""
    function = {"name": call.function.name, "arguments": call.function.arguments}
    return {"id": call.id, "type": "function", "function": function}


def _call(stored: dict[str, dict[str, str]]) -> ToolCall:
    function = stored.get("function") or {}
    call = FunctionCall(function.get("name") or "", function.get("arguments") or "")
    return ToolCall(call, id=str(stored.get("id") or ""))


def _joined(before: ChatMessage, message: ChatMessage) -> ChatMessage | None:
    """Both as one message, if they are parts of one answer."""
    if before.role != "assistant" or message.role != "assistant":
        return None
    if message.tool_calls:
        return structs.replace(before, tool_calls=[*(before.tool_calls or ()), *message.tool_calls])
    if message.content and before.reasoning_content and not (before.content or before.tool_calls):
        return structs.replace(before, content=message.content)
    return None


def _message(item: InputItem, path: str) -> ChatMessage | None:
    if item.type in (None, "message"):
        if item.role is None:
            raise _missing(f"{path}.role")
        if item.content is None:
            raise _missing(f"{path}.content")
        return ChatMessage(role=item.role, content=_text(item.content, f"{path}.content"))
    if item.type == "function_call":
        if item.name is None or item.call_id is None:
            raise _missing(f"{path}.name" if item.name is None else f"{path}.call_id")
        call = ToolCall(FunctionCall(item.name, item.arguments or "{}"), id=item.call_id)
        return ChatMessage(role="assistant", content="", tool_calls=[call])
    if item.type == "function_call_output":
        if item.output is None or item.call_id is None:
            raise _missing(f"{path}.output" if item.output is None else f"{path}.call_id")
        return ChatMessage(role="tool", content=_text(item.output, f"{path}.output"), tool_call_id=item.call_id)
    if item.type == "reasoning":
        thought = item.content if isinstance(item.content, list) and item.content else item.summary or []
        return ChatMessage(role="assistant", content="", reasoning_content=_text(thought, f"{path}.content"))
    if item.type == "file_search_call":  # of an earlier answer; without the passages it says nothing to a model
        return None
    raise BadRequest(
        f"{path}.type: message, function_call, function_call_output or reasoning, not {item.type[:60]!r}",
        param=f"{path}.type",
    )


def _text(content: str | Sequence[Part], path: str) -> str:
    return content if isinstance(content, str) else "".join(_part(p, f"{path}[{i}]") for i, p in enumerate(content))


def _part(part: Part, path: str) -> str:
    text = part.refusal if part.type == "refusal" else part.text
    if part.type in (*_TEXTS, "refusal"):
        if text is None:
            raise _missing(f"{path}.{'refusal' if part.type == 'refusal' else 'text'}")
        return text
    why = f"this model has {_SENSES[part.type]}" if part.type in _SENSES else "only text is supported"
    raise BadRequest(f"{path}: {why}; send text parts", param=path)


def _missing(path: str) -> BadRequest:
    return BadRequest(f"{path}: required, and missing", param=path)
