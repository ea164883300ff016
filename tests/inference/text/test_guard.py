from __future__ import annotations

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from mongarsd.inference.text.guard import Guard

CONTROL = re.compile(re.escape("<|end|>") + "|" + re.escape("<|start|>"))
PARTS = st.lists(st.sampled_from(["<|end|>", "<|start|>", "<|", "end|>", "hello", " ", "\n", "ü", "("])).map("".join)


def test_ordinary_text_is_left_alone() -> None:
    guard = Guard(CONTROL)
    message = {"role": "user", "content": "hello", "n": 1, "list": [None, True]}
    assert guard.mark(message) == message
    assert not guard.found
    assert guard.split("<|start|>hello<|end|>") == [("<|start|>hello<|end|>", True)]


def test_a_model_without_control_tokens_needs_none() -> None:
    guard = Guard(None)
    assert guard.mark(["<|end|>"]) == ["<|end|>"]


@given(PARTS)
def test_control_text_of_a_client_is_always_plain(text: str) -> None:
    guard = Guard(CONTROL)
    rendered = f"<|start|>{guard.mark(text)}<|end|>"
    pieces = guard.split(rendered)
    assert "".join(piece for piece, _ in pieces) == f"<|start|>{text}<|end|>"
    special = "".join(piece if may else "\0" for piece, may in pieces)
    assert CONTROL.findall(special) == ["<|start|>", "<|end|>"]


@given(PARTS, st.integers(0, 200))
def test_cutting_in_the_template_lets_nothing_through(text: str, cut: int) -> None:
    guard = Guard(CONTROL)
    pieces = guard.split(guard.mark(text)[:cut])
    assert not any(CONTROL.search(piece) for piece, special in pieces if special)


@given(PARTS)
def test_marks_survive_json(text: str) -> None:
    guard = Guard(CONTROL)
    pieces = guard.split(json.dumps(guard.mark({"a": [text]})))
    assert not any(CONTROL.search(piece) for piece, special in pieces if special)
