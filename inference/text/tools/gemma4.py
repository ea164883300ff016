"""Gemma 4: FunctionGemma's notation, `<|tool_call>call:name{key:<|"|>text<|"|>,n:1}<tool_call|>`."""

from __future__ import annotations

from mongarsd.inference.text.tools.functiongemma import FunctionGemma


class Gemma4(FunctionGemma):
    name = "gemma4"
    marks = ("<|tool_call>", "<tool_call|>", '<|"|>')
