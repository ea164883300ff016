"""Llama 3.x: the answer is {"name": …, "parameters": …}, after `<|python_tag|>` or not; several with `;` between."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from mongarsd.inference.text.tools.base import MAX_CALLS, tool_rules
from mongarsd.inference.text.tools.jsoncalls import JsonCalls


class Llama3:
    name = "llama3"
    opens = ("<|python_tag|>",)
    marks = opens

    def knows(self, template: str) -> bool:
        return "<|python_tag|>" in template or "Environment: ipython" in template

    def grammar(self, tools: Sequence[Mapping[str, Any]], *, many: bool, opened: bool) -> str:  # noqa: ARG002
        rules, call = tool_rules(tools, "parameters")
        more = f' ("; " {call}){{0,{MAX_CALLS - 1}}}' if many else ""
        return rules.text(rules.writer.rule("calls", call + more))

    def parser(self, names: Collection[str], *, bound: str | None) -> JsonCalls:
        return JsonCalls(names, opens=self.opens, bare=True, bound=bound)
