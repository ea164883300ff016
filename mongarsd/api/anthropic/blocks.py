"""Anthropic's messages become OpenAI's, which everything behind the API understands. Pure.

Turns of one role that follow each other are one turn, as with Anthropic. Results of tools, which users send there,
become messages of their own, with the name of the tool for the templates that want it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from mongarsd.api.anthropic.requests import Block, InputMessage
from mongarsd.api.openai.requests import ChatMessage, FunctionCall, ToolCall
from mongarsd.ground.errors import BadRequest

#: A block and where it stood in the request.
Placed = tuple[Block, str]

_NOT_HERE = {"image": "this model has no vision", "document": "documents are not read here: see /v1/files"}
#: What another server thought in secret: there is nothing to read in it.
_SKIPPED = frozenset({"redacted_thinking"})
_SEPARATOR = "\n"


def chat_messages(system: str | Sequence[Block] | None, messages: Sequence[InputMessage]) -> list[ChatMessage]:
    """Raises BadRequest."""
    if messages and messages[-1].role == "assistant":
        raise BadRequest(
            "messages: the last one is the assistant's, and answers cannot be begun for the model here: end with the "
            "user's; a form is kept to with output_config.format",
            param="messages",
        )
    made: list[ChatMessage] = []
    if told := _joined(_blocks(system or "", "system")):
        made.append(ChatMessage(role="system", content=told))
    names: dict[str, str] = {}  # of tools, by the id of their use
    for role, group in groupby(enumerate(messages), lambda numbered: numbered[1].role):
        blocks = [one for i, message in group for one in _blocks(message.content, f"messages[{i}].content")]
        if role == "assistant":
            made.append(_assistant(blocks, names))
        else:
            made += _user(blocks, names)
    return made


def _blocks(content: str | Sequence[Block], path: str) -> list[Placed]:
    if isinstance(content, str):
        return [(Block(type="text", text=content), path)]
    placed = [(block, f"{path}[{i}]") for i, block in enumerate(content)]
    return [one for one in placed if one[0].type not in _SKIPPED]


def _assistant(blocks: Iterable[Placed], names: dict[str, str]) -> ChatMessage:
    text: list[Placed] = []
    thoughts: list[str] = []
    calls: list[ToolCall] = []
    for block, path in blocks:
        if block.type == "thinking":
            thoughts.append(_needed(block.thinking, f"{path}.thinking"))
        elif block.type == "tool_use":
            name, use = _needed(block.name, f"{path}.name"), _needed(block.id, f"{path}.id")
            calls.append(ToolCall(FunctionCall(name, block.input or {}), id=use))
            names[use] = name
        else:
            text.append((block, path))
    return ChatMessage(
        role="assistant",
        content=_joined(text),
        reasoning_content=_SEPARATOR.join(thoughts) or None,
        tool_calls=calls or None,
    )


def _user(blocks: Sequence[Placed], names: dict[str, str]) -> Iterable[ChatMessage]:
    """Results and what is said beside them, in their order."""
    for result, group in groupby(blocks, lambda placed: placed[0].type == "tool_result"):
        if not result:
            yield ChatMessage(role="user", content=_joined(group))
            continue
        for block, path in group:
            use = _needed(block.tool_use_id, f"{path}.tool_use_id")
            if use not in names:
                raise BadRequest(f"{path}.tool_use_id: no tool_use before it has this id", param=f"{path}.tool_use_id")
            said = _joined(_blocks(block.content or "", f"{path}.content"))
            content = f"Error: {said}" if block.is_error else said
            yield ChatMessage(role="tool", content=content, name=names[use], tool_call_id=use)


def _joined(blocks: Iterable[Placed]) -> str:
    """Raises BadRequest for what is no text."""
    return _SEPARATOR.join(_text(block, path) for block, path in blocks)


def _text(block: Block, path: str) -> str:
    if block.type != "text":
        why = _NOT_HERE.get(block.type, f"a block of type {block.type[:40]!r} is not supported here")
        raise BadRequest(f"{path}: {why}; send text", param=path)
    return _needed(block.text, f"{path}.text")


def _needed(value: str | None, path: str) -> str:
    if value is None:
        raise BadRequest(f"{path}: required, and missing", param=path)
    return value
