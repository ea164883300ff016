"""Hermes, Qwen 2.5 and 3, SmolLM3: `<tool_call>` {"name": …, "arguments": …} `</tool_call>`, once for each call."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from mongarsd.inference.text.tools.base import MAX_CALLS, tool_rules
from mongarsd.inference.text.tools.jsoncalls import JsonCalls


class Hermes:
    name = "hermes"
    opens = ("<tool_call>",)
    marks = ("<tool_call>", "</tool_call>")

    def knows(self, template: str) -> bool:
        return "<tool_call>" in template

    def grammar(self, tools: Sequence[Mapping[str, Any]], *, many: bool, opened: bool) -> str:
        rules, call = tool_rules(tools)
        body = f'ws {call} ws "</tool_call>"'
        first = body if opened else f'"<tool_call>" {body}'
        more = f' (ws "<tool_call>" {body}){{0,{MAX_CALLS - 1}}}' if many else ""
        return rules.text(rules.writer.rule("calls", first + more))

    def parser(self, names: Collection[str], *, bound: str | None) -> JsonCalls:
        return JsonCalls(names, opens=self.opens, closes=("</tool_call>",), bare=False, bound=bound)
