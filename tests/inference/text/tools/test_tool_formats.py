"""Answers as the models of each format give them, whole and cut anywhere."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest
from fakes.grammar_walk import walk
from hypothesis import given, settings
from hypothesis import strategies as st

from mongarsd.inference.grammar.check import check
from mongarsd.inference.text.tools.base import Call, Format, Parser, Said
from mongarsd.inference.text.tools.detect import FORMATS, detect

BY_NAME: dict[str, Format] = {one.name: one for one in FORMATS}
STRING, FLAG, NUMBER = {"type": "string"}, {"type": "boolean"}, {"type": "integer"}
NAMES: dict[str, Any] = {
    "get_weather": {"type": "object", "properties": {"city": STRING}},
    "set_light": {"type": "object", "properties": {"on": FLAG, "level": NUMBER}},
}
PARIS = ("get_weather", {"city": 'Paris {"x"}'})
LIGHT = ("set_light", {"on": True, "level": 3})
P, L = (
    '{"name": "get_weather", "arguments": {"city": "Paris {\\"x\\"}"}}',
    '{"name": "set_light", "arguments": {"on": true, "level": 3}}',
)
P3 = P.replace("arguments", "parameters")
L3 = L.replace("arguments", "parameters")

TOLD = "<tool_call>\n<function={}>\n<parameter={}>\n{}\n</parameter>\n</function>\n</tool_call>"
PX = TOLD.format("get_weather", "city", 'Paris {"x"}')
LX = TOLD.format("set_light", "on", "true\n</parameter>\n<parameter=level>\n3")

#: format, the model's answer, the text and the calls in it
RECORDED: list[tuple[str, str, str, list[tuple[str, dict[str, Any]]]]] = [
    ("hermes", f"<tool_call>\n{P}\n</tool_call>", "", [PARIS]),
    (
        "hermes",
        f"Let me look.\n<tool_call>\n{P}\n</tool_call>\n<tool_call>\n{L}\n</tool_call>",
        "Let me look.\n",
        [PARIS, LIGHT],
    ),
    ("hermes", "1 < 2 and <tool", "1 < 2 and <tool", []),
    ("hermes", f"{P}", P, []),
    ("hermes", "<tool_call>\nnonsense\n</tool_call>", "<tool_call>\nnonsense\n</tool_call>", []),
    ("hermes", '<tool_call>\n{"name": "rm", "arguments": {}}\n', '<tool_call>\n{"name": "rm", "arguments": {}}\n', []),
    ("hermes", '<tool_call>\n{"name": "get_we', '<tool_call>\n{"name": "get_we', []),
    ("smollm", f"<tool_call>[{P}, {L}]</tool_call>", "", [PARIS, LIGHT]),
    ("mistral", f"[TOOL_CALLS] [{P}, {L}]", "", [PARIS, LIGHT]),
    ("mistral", f"Sure.[TOOL_CALLS][{P}]", "Sure.", [PARIS]),
    (
        "mistral-args",
        f"Hm.[TOOL_CALLS]get_weather[ARGS]{P[37:-1]}[TOOL_CALLS]set_light[ARGS]{L[35:-1]}",
        "Hm.",
        [PARIS, LIGHT],
    ),
    ("mistral-args", '[TOOL_CALLS]set_light[CALL_ID]a1[ARGS]{"on": true, "level": 3}', "", [LIGHT]),
    ("mistral-args", "[TOOL_CALLS]rm[ARGS]{}", "[TOOL_CALLS]rm[ARGS]{}", []),
    ("granite", f"<|tool_call|>[{P}]", "", [PARIS]),
    ("granite", f"<tool_call>[{L}]", "", [LIGHT]),
    ("llama3", P3, "", [PARIS]),
    ("llama3", f"<|python_tag|>{P3}; {L3}", "", [PARIS, LIGHT]),
    ("llama3", "{not a call}", "{not a call}", []),
    ("llama3", "The set {1} is small.", "The set {1} is small.", []),
    ("qwen-coder", f"Let me look.\n{PX}\n{LX}\n", "Let me look.\n", [PARIS, LIGHT]),
    ("qwen-coder", PX.replace("<tool_call>\n", "").replace("\n</tool_call>", ""), "", [PARIS]),
    ("qwen-coder", f"{LX} Done.", " Done.", [LIGHT]),
    ("qwen-coder", "<tool_call><function=set_light></function></tool_call>", "", [("set_light", {})]),
    ("qwen-coder", "1 < 2, <tool_call>, <function=rm> and <func", "1 < 2, <tool_call>, <function=rm> and <func", []),
    ("qwen-coder", "<tool_call>\n<function=get_we", "<tool_call>\n<function=get_we", []),
    (
        "qwen-coder",
        TOLD.format("get_weather", "city", "\na\n<parameter> </p>\n"),
        "",
        [("get_weather", {"city": "\na\n<parameter> </p>\n"})],
    ),
    ("qwen-coder", TOLD.format("get_weather", "city", "7"), "", [("get_weather", {"city": "7"})]),
    ("qwen-coder", TOLD.format("set_light", "level", "very"), "", [("set_light", {"level": "very"})]),
    ("qwen-coder", TOLD.format("set_light", "other", '{"a": [1]}'), "", [("set_light", {"other": {"a": [1]}})]),
    ("qwen-coder", TOLD.format("set_light", "other", "NaN"), "", [("set_light", {"other": "NaN"})]),
    ("generic", f"{P}\n{L}", "", [PARIS, LIGHT]),
    ("generic", "It rains.", "It rains.", []),
    (
        "functiongemma",
        '<start_function_call>call:get_weather{city:<escape>Paris {"x"}<escape>}<end_function_call>',
        "",
        [PARIS],
    ),
    ("functiongemma", "Hi <start_function_call>call:set_light{on:true,level:3}<end_function_call>", "Hi ", [LIGHT]),
    (
        "functiongemma",
        "<start_function_call>call:rm{}<end_function_call>",
        "<start_function_call>call:rm{}<end_function_call>",
        [],
    ),
    (
        "gemma4",
        'Hm.<|tool_call>call:get_weather{city:<|"|>Paris {"x"}<|"|>}<tool_call|>'
        "<|tool_call>call:set_light{level:3,on:true}<tool_call|>",
        "Hm.",
        [PARIS, LIGHT],
    ),
    ("gemma4", "<|tool_call>call:rm{}<tool_call|>", "<|tool_call>call:rm{}<tool_call|>", []),
]


def joined(said: list[Said]) -> tuple[str, list[Call]]:
    """All text, and whole calls."""
    calls: list[Call] = []
    for piece in (piece for one in said for piece in one.calls):
        if not piece.name:
            last = calls.pop()
            piece = Call(last.name, last.arguments + piece.arguments)
        calls.append(piece)
    return "".join(one.content for one in said), calls


def read(parser: Parser, pieces: list[str]) -> tuple[str, list[Call]]:
    return joined([*map(parser.feed, pieces), parser.finish()])


@pytest.mark.parametrize(("form", "answer", "text", "calls"), RECORDED)
def test_recorded_answers(form: str, answer: str, text: str, calls: list[tuple[str, Any]]) -> None:
    for pieces in ([answer], list(answer)):
        said, found = read(BY_NAME[form].parser(NAMES, bound=None), pieces)
        assert [(call.name, json.loads(call.arguments)) for call in found] == calls
        assert said == text


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_cuts_change_nothing(data: st.DataObject) -> None:
    form = data.draw(st.sampled_from(FORMATS))
    parts = [P, L3, "<tool_call>", "</tool_call>", "[TOOL_CALLS]", "[", "]", ",", " ", "x", "{", "}", '"', ";", "<"]
    marks = [
        "<|python_tag|>",
        "get_weather[ARGS]",
        "<start_function_call>",
        "<end_function_call>",
        "call:set_light{on:true}",
        "<escape>",
        "<|tool_call>",
        "<tool_call|>",
        '<|"|>',
        "<function=set_light>",
        "<function=get_weather>",
        "<parameter=city>",
        "<parameter=level>",
        "\n",
        "</parameter>",
        "</function>",
        PX,
    ]
    pieces = data.draw(st.lists(st.sampled_from([*parts, *marks]), max_size=8))
    bound = data.draw(st.sampled_from([None, "", *form.opens[:1]]))
    one, other = form.parser(NAMES, bound=bound), form.parser(NAMES, bound=bound)
    ones, others = list[Said](), list[Said]()
    for piece in pieces:  # so that a job may be carried on from any place
        ones.append(one.feed(piece))
        others += map(other.feed, piece)
        assert joined(ones) == joined(others)
    whole = read(form.parser(NAMES, bound=bound), ["".join(pieces)])
    assert joined([*ones, one.finish()]) == joined([*others, other.finish()]) == whole


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string", "pattern": "^[a-z]+$"}},
                "required": ["city"],
            },
        },
    },
    {"type": "function", "function": {"name": "set_light"}},
]


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
@given(seed=st.integers(), many=st.booleans())
@settings(max_examples=30, deadline=None)
def test_a_forced_answer_is_nothing_but_calls(form: Format, seed: int, many: bool) -> None:
    text = walk(check(form.grammar(TOOLS, many=many, opened=False)), Random(seed))
    said, calls = read(form.parser(NAMES, bound=""), [text])
    unbound = read(form.parser(NAMES, bound=None), [text])[1]
    assert [whole(call) for call in unbound] == [whole(call) for call in calls]
    assert not said.strip(), text
    assert calls
    assert many or len(calls) == 1
    for call in calls:
        assert isinstance(json.loads(call.arguments), dict)


@pytest.mark.parametrize("form", [form for form in FORMATS if form.opens], ids=lambda form: form.name)
@given(seed=st.integers())
@settings(max_examples=10, deadline=None)
def test_a_lazy_grammar_goes_on_after_the_opening(form: Format, seed: int) -> None:
    text = walk(check(form.grammar(TOOLS, many=True, opened=True)), Random(seed))
    said, calls = read(form.parser(NAMES, bound=form.opens[0]), ["Yes. " + form.opens[0] + text])
    assert said.strip() == "Yes."
    assert calls
    assert [call.name for call in calls] == [
        call.name for call in read(form.parser(NAMES, bound=None), [form.opens[0] + text])[1]
    ]


@pytest.mark.parametrize(
    ("form", "bound", "answer"),
    [
        ("hermes", "", f"<tool_call>\n{P}\n</tool_call>\n<tool_call>{L}</tool_call>"),
        ("hermes", "<tool_call>", f"Yes. <tool_call>\n{P}\n</tool_call>\n<tool_call>{L}</tool_call>"),
        ("smollm", "<tool_call>", f"<tool_call>[{P}, {L}]</tool_call>"),
        ("mistral", "[TOOL_CALLS]", f"[TOOL_CALLS][{P}, {L}]"),
        ("granite", "", f"<|tool_call|>[{P}, {L}]"),
        ("llama3", "", f"{P3}; {L3}"),
        ("llama3", "<|python_tag|>", f"<|python_tag|>{P3}; {L3}"),
        ("generic", "", f"{P}\n{L}"),
    ],
)
def test_arguments_come_as_they_are_written_where_a_grammar_binds(form: str, bound: str, answer: str) -> None:
    parser = BY_NAME[form].parser(NAMES, bound=bound)
    pieces = [piece for character in answer for piece in parser.feed(character).calls]
    named = [index for index, piece in enumerate(pieces) if piece.name]
    assert [pieces[index] for index in named] == [Call("get_weather", "{"), Call("set_light", "{")]
    texts = [piece.arguments for piece in pieces]
    first, second = texts[: named[1]], texts[named[1] :]
    assert all(len(text) == 1 for text in (*first, *second))
    assert (json.loads("".join(first)), json.loads("".join(second))) == (PARIS[1], LIGHT[1])
    assert parser.finish() == Said()


def test_a_bound_call_that_was_cut_is_what_came_of_it() -> None:
    form = BY_NAME["hermes"]
    assert read(form.parser(NAMES, bound=""), ["<tool_call>", P[:-4]]) == ("", [Call("get_weather", P[37:-4])])
    before = '<tool_call>{"name": "get_w'  # nothing certain: it is text, if it is all
    assert read(form.parser(NAMES, bound=""), [before]) == (before, [])
    assert read(form.parser(NAMES, bound="<tool_call>"), [before]) == (before, [])
    assert read(form.parser(NAMES, bound=""), ["<tool_call>", L, "</tool_call>", before]) == (
        "",
        [Call("set_light", L[35:-1])],
    )


def whole(call: Call) -> Call:
    """As it is read where nothing binds: its arguments written anew."""
    return Call(call.name, json.dumps(json.loads(call.arguments), ensure_ascii=False))


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("{{ messages }}", "generic"),
        ("{% if tools %}<tool_call>{% endif %}", "hermes"),
        ("{{ tools }}<tool_call>[{...}]", "smollm"),
        ("{{ tools }}[TOOL_CALLS]", "mistral"),
        ("{{ tools }}[TOOL_CALLS]{{ name }}[ARGS]", "mistral-args"),
        ("{{ tools }}<|tool_call|>", "granite"),
        ("{{ tools }}Environment: ipython", "llama3"),
        ("{{ tools }}<start_function_call>", "functiongemma"),
        ("{{ tools }}<|tool_call>call:", "gemma4"),
        ("{{ tools }}<tool_call>\n<function={{ f }}>\n<parameter={{ k }}>", "qwen-coder"),
    ],
)
def test_the_template_tells_the_format(template: str, name: str) -> None:
    assert detect(template).name == name
