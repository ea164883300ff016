"""Qwen3-Coder's calls: what a template shows is what is read, and what is forced fits the schema."""

from __future__ import annotations

import json
from datetime import datetime
from random import Random
from typing import Any

import jsonschema
import pytest
from fakes.grammar_walk import walk
from fakes.tool_schemas import SCHEMAS
from hypothesis import given, settings
from hypothesis import strategies as st

from mongarsd.ground.errors import BadRequest
from mongarsd.ground.job import Message
from mongarsd.inference.grammar.check import check
from mongarsd.inference.text.template import ChatTemplate
from mongarsd.inference.text.tools.base import Call
from mongarsd.inference.text.tools.detect import detect
from mongarsd.inference.text.tools.qwencoder import QwenCoder

FORM = QwenCoder()
#: In the manner of the models' own.
TEMPLATE = """
{%- if tools %}<|im_start|>system
You may call these functions:
<tools>
{%- for tool in tools %}
<function><name>{{ tool.function.name }}</name></function>
{%- endfor %}
</tools>
Answer like this:
<tool_call>
<function=example>
<parameter=key>
value
</parameter>
</function>
</tool_call><|im_end|>
{% endif %}
{%- for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}
{%- for call in message.tool_calls or [] %}
<tool_call>
<function={{ call.function.name }}>
{%- for key, value in call.function.arguments|items %}
<parameter={{ key }}>
{{ value if value is string else value|tojson }}
</parameter>
{%- endfor %}
</function>
</tool_call>
{%- endfor %}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""

SCHEMA = {
    "type": "object",
    "properties": {
        "path": {"type": "string"},
        "mode": {"enum": ["read", "write"]},
        "lines": {"type": "array"},
        "count": {"type": "number"},
        "force": {"type": ["boolean", "null"]},
        "note": {"type": ["string", "null"]},
    },
}
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=30).filter(
    lambda text: "</parameter>" not in text
)
JSON = st.recursive(st.none() | st.booleans() | st.integers() | TEXT, lambda inner: st.lists(inner, max_size=3))
ARGUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "path": TEXT,
        "mode": st.sampled_from(["read", "write"]),
        "lines": st.lists(JSON, max_size=3),
        "count": st.integers() | st.floats(allow_nan=False, allow_infinity=False),
        "force": st.sampled_from([True, False, None]),
        "note": st.none() | st.integers().map(str),
    },
)
CALLS = st.lists(ARGUMENTS, min_size=1, max_size=4)


def written(arguments: dict[str, Any]) -> str:
    parameters = "".join(
        f"<parameter={key}>\n{value if isinstance(value, str) else json.dumps(value)}\n</parameter>\n"
        for key, value in arguments.items()
    )
    return f"<tool_call>\n<function=edit>\n{parameters}</function>\n</tool_call>"


def read(pieces: list[str]) -> tuple[str, list[dict[str, Any]], list[Call]]:
    """The text, the calls' arguments, and the pieces in which they came."""
    parser = FORM.parser({"edit": SCHEMA}, bound="")
    said = [*map(parser.feed, pieces), parser.finish()]
    told = [call for one in said for call in one.calls]
    arguments: list[str] = []
    for call in told:
        if call.name:
            arguments.append("")
        arguments[-1] += call.arguments
    return "".join(one.content for one in said), [json.loads(one) for one in arguments], told


@given(CALLS, st.data())
@settings(max_examples=150, deadline=None)
def test_what_is_written_is_read_however_it_is_cut(calls: list[dict[str, Any]], data: st.DataObject) -> None:
    answer = "\n".join(map(written, calls))
    places = sorted(data.draw(st.sets(st.integers(0, len(answer)), max_size=9)))
    pieces = [answer[begin:end] for begin, end in zip([0, *places], [*places, len(answer)], strict=True)]
    for cut in (pieces, [answer], list(answer)):
        assert read(cut)[:2] == ("", calls)


def test_a_text_comes_as_it_is_written() -> None:
    *_, told = read(list(written({"path": 'a"b</p>', "count": 3})))
    assert [call.arguments for call in told if call.arguments] == [
        '{"path": "', "a", '\\"', "b", "</p>", '"', ', "count": 3', "}",
    ]  # fmt: skip


def test_the_template_tells_the_format_and_shows_what_is_read() -> None:
    assert detect(TEMPLATE).name == "qwen-coder"
    arguments = {"path": "a.py", "lines": [1, "x"], "force": None, "note": "2"}
    call = {"id": "c", "type": "function", "function": {"name": "edit", "arguments": arguments}}
    messages = (Message(role="user", content="Go"), Message(role="assistant", content="Yes.", tool_calls=(call,)))
    tools = ({"type": "function", "function": {"name": "edit", "parameters": SCHEMA}},)
    shown = ChatTemplate(TEMPLATE, bos="", eos="").render(messages, tools=tools, args={}, now=datetime(2026, 1, 1))
    answer = shown.rpartition("<|im_start|>assistant\nYes.")[2].partition("<|im_end|>")[0]
    assert read([answer])[:2] == ("", [arguments])


@pytest.mark.parametrize("name", [name for name, schema in SCHEMAS.items() if schema.get("type") != "array"])
@given(seed=st.integers())
@settings(max_examples=15, deadline=None)
def test_a_forced_call_fits_its_schema(name: str, seed: int) -> None:
    tools = [{"type": "function", "function": {"name": name, "parameters": SCHEMAS[name]}}]
    text = walk(check(FORM.grammar(tools, many=False, opened=False)), Random(seed))
    parser = FORM.parser({name: SCHEMAS[name]}, bound="")
    said = [parser.feed(text), parser.finish()]
    assert not any(one.content for one in said)
    calls = [call for one in said for call in one.calls]
    jsonschema.Draft202012Validator(SCHEMAS[name]).validate(json.loads("".join(call.arguments for call in calls)))


def test_a_text_may_hold_every_tag_but_its_own_end() -> None:
    tools = [{"function": {"name": "edit", "parameters": {"properties": {"path": {"type": "string"}}}}}]
    rules = check(FORM.grammar(tools, many=False, opened=False))
    for seed in range(300):
        text = walk(rules, Random(seed))
        assert text.count("</parameter>") == text.count("<parameter=path>")


@pytest.mark.parametrize("key", ["a>b", "a\nb"])
def test_a_name_that_cannot_be_written_is_refused(key: str) -> None:
    tools = [{"function": {"name": "edit", "parameters": {"properties": {key: {"type": "string"}}}}}]
    with pytest.raises(BadRequest, match="cannot write"):
        FORM.grammar(tools, many=False, opened=False)
