"""For models whose template knows no tools: the system message explains them, and the answer is the JSON of a call."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from msgspec import structs

from mongarsd.ground.job import Message
from mongarsd.inference.text.tools.base import MAX_CALLS, tool_rules
from mongarsd.inference.text.tools.jsoncalls import JsonCalls

INSTRUCTION = (
    "You can call these functions:\n{tools}\nTo call one, answer with nothing but a JSON object:"
    ' {{"name": "the function", "arguments": {{...}}}}. Its result follows; then answer the user.'
)


class Generic:
    name = "generic"
    opens: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()

    def knows(self, template: str) -> bool:  # noqa: ARG002
        return True

    def grammar(self, tools: Sequence[Mapping[str, Any]], *, many: bool, opened: bool) -> str:  # noqa: ARG002
        rules, call = tool_rules(tools)
        more = f' ("\\n" {call}){{0,{MAX_CALLS - 1}}}' if many else ""
        return rules.text(rules.writer.rule("calls", call + more))

    def parser(self, names: Collection[str], *, bound: str | None) -> JsonCalls:
        return JsonCalls(names, opens=("<tool_call>",), closes=("</tool_call>",), bare=True, bound=bound)


def explain(messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]) -> tuple[Message, ...]:
    """The conversation in words that any template knows: tools in the system message, calls and results as text."""
    told = [_plain(message) for message in messages]
    if tools:
        lines = "\n".join(json.dumps(tool["function"], ensure_ascii=False) for tool in tools)
        text = INSTRUCTION.format(tools=lines)
        if told and told[0].role == "system":
            told[0] = structs.replace(told[0], content=f"{told[0].content}\n\n{text}")
        else:
            told.insert(0, Message(role="system", content=text))
    return tuple(told)


def _plain(message: Message) -> Message:
    if message.role == "tool":
        of = f" of {message.name}" if message.name else ""
        return Message(role="user", content=f"The result{of}: {message.content}")
    if not message.tool_calls:
        return message
    functions = [call.get("function", call) for call in message.tool_calls]
    calls = [
        json.dumps({"name": f.get("name"), "arguments": f.get("arguments")}, ensure_ascii=False) for f in functions
    ]
    return structs.replace(message, content="\n".join(filter(None, [message.content, *calls])), tool_calls=())
