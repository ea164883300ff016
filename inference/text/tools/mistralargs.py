"""Mistral since 2025 (Small 3.2, Devstral, Ministral 3): `[TOOL_CALLS]name[ARGS]{…}`, once for each call."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from mongarsd.inference.grammar.rules import literal
from mongarsd.inference.grammar.schema import SchemaRules
from mongarsd.inference.text.tools.base import ANY_ARGUMENTS, MAX_CALLS
from mongarsd.inference.text.tools.jsoncalls import JsonCalls

OPEN, ID, ARGS = "[TOOL_CALLS]", "[CALL_ID]", "[ARGS]"


class MistralArgs:
    name = "mistral-args"
    opens = (OPEN,)
    marks = (OPEN, ID, ARGS)

    def knows(self, template: str) -> bool:
        return OPEN in template and ARGS in template

    def grammar(self, tools: Sequence[Mapping[str, Any]], *, many: bool, opened: bool) -> str:
        rules = SchemaRules("tools")
        options = []
        for tool in tools:
            name = tool["function"]["name"]
            arguments = rules.add(tool["function"].get("parameters") or ANY_ARGUMENTS, f"tool {name}: parameters")
            options.append(f'{literal(name)} ("{ID}" [a-zA-Z0-9]{{1,32}})? "{ARGS}" {arguments}')
        call = rules.writer.rule("call", " | ".join(options))
        more = f' ("{OPEN}" {call}){{0,{MAX_CALLS - 1}}}' if many else ""
        return rules.text(rules.writer.rule("calls", (call if opened else f'"{OPEN}" {call}') + more))

    def parser(self, names: Collection[str], *, bound: str | None) -> JsonCalls:
        some = "|".join(map(re.escape, names))
        head = re.compile(rf"(?P<name>{some})(?:\[CALL_ID\]\w+)?\[ARGS\]\s*(?=\{{)")
        return JsonCalls(names, opens=self.opens, bare=False, bound=OPEN if bound is None else bound, head=head)
