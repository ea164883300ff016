"""IBM Granite: `<|tool_call|>` (3.x: also `<tool_call>`) and a list of calls."""

from __future__ import annotations

from collections.abc import Collection

from mongarsd.inference.text.tools.jsoncalls import JsonCalls
from mongarsd.inference.text.tools.mistral import Mistral


class Granite(Mistral):
    name = "granite"
    opens = ("<|tool_call|>",)
    marks = opens

    def parser(self, names: Collection[str], *, bound: str | None) -> JsonCalls:
        return JsonCalls(names, opens=(*self.opens, "<tool_call>"), closes=("</tool_call>",), bare=False, bound=bound)
