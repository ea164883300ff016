"""SmolLM2: `<tool_call>` and a list of calls, `[{"name": …, "arguments": …}, …]`, `</tool_call>`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mongarsd.inference.text.tools.base import MAX_CALLS, tool_rules
from mongarsd.inference.text.tools.hermes import Hermes


class SmolLM(Hermes):
    name = "smollm"

    def knows(self, template: str) -> bool:
        return "<tool_call>[" in template.replace("\\n", "").replace("\n", "")

    def grammar(self, tools: Sequence[Mapping[str, Any]], *, many: bool, opened: bool) -> str:
        rules, call = tool_rules(tools)
        more = f'("," ws {call} ws){{0,{MAX_CALLS - 1}}}' if many else ""
        body = f'ws "[" ws {call} ws {more} "]" ws "</tool_call>"'
        return rules.text(rules.writer.rule("calls", body if opened else f'"<tool_call>" {body}'))
