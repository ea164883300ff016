"""Mistral: `[TOOL_CALLS]` and a list of calls."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from mongarsd.inference.text.tools.base import MAX_CALLS, tool_rules
from mongarsd.inference.text.tools.jsoncalls import JsonCalls


class Mistral:
    name = "mistral"
    opens = ("[TOOL_CALLS]",)
    marks = opens

    def knows(self, template: str) -> bool:
        return self.opens[0] in template

    def grammar(self, tools: Sequence[Mapping[str, Any]], *, many: bool, opened: bool) -> str:
        rules, call = tool_rules(tools)
        more = f'("," ws {call} ws){{0,{MAX_CALLS - 1}}}' if many else ""
        body = f'ws "[" ws {call} ws {more} "]"'
        return rules.text(rules.writer.rule("calls", body if opened else f'"{self.opens[0]}" {body}'))

    def parser(self, names: Collection[str], *, bound: str | None) -> JsonCalls:
        return JsonCalls(names, opens=self.opens, bare=False, bound=bound)
