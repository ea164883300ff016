"""Templates in the idioms of real ones; what they must give was worked out by hand."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime
from typing import Any

import pytest

from mongarsd.ground.errors import BadRequest, InvalidModel
from mongarsd.ground.job import Message
from mongarsd.inference.text.template import MAX_SOURCE, ChatTemplate

NOW = datetime(2026, 3, 1, 9, 5)
HI = Message(role="user", content="Hi <b>")
BRIEF = Message(role="system", content="Be brief.")
YO = Message(role="assistant", content="Yo")
CALL = {"id": "c1", "type": "function", "function": {"name": "sky", "arguments": '{"at": "Zürich"}'}}


def render(source: str, *messages: Message, tools: Any = (), **args: Any) -> str:
    return ChatTemplate(source, bos="<s>", eos="</s>").render(messages, tools=tools, args=args, now=NOW)


# The template of SmolLM2-135M-Instruct (Apache-2.0, Hugging Face).
SMOLLM2 = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n"
    "You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def test_smollm2() -> None:
    assert render(SMOLLM2, HI, YO, HI) == (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        "<|im_start|>user\nHi <b><|im_end|>\n<|im_start|>assistant\nYo<|im_end|>\n"
        "<|im_start|>user\nHi <b><|im_end|>\n<|im_start|>assistant\n"
    )
    assert render(SMOLLM2, BRIEF, HI, add_generation_prompt=False) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi <b><|im_end|>\n"
    )


# Blocks on lines of their own, as in Llama and Phi.
LINES = """{{ bos_token }}
{%- for message in messages %}
    {%- if message['role'] == 'user' %}
[{{ message['content'] | trim }}]
    {% elif message.role == 'assistant' %}
        {% generation %}
{{ message.content + eos_token }}
        {% endgeneration %}
    {% endif %}
{% endfor %}
"""


def test_white_space_around_blocks_is_trimmed_as_in_transformers() -> None:
    assert render(LINES, HI, YO, HI) == "<s>[Hi <b>]\nYo</s>\n[Hi <b>]\n"


# Gemma: no system role, strict alternation.
STRICT = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Roles must alternate') }}{% endif %}<{{ m.role }}>{{ m.content }}{% endfor %}"
)


def test_a_refused_system_role_moves_into_the_first_user_message() -> None:
    assert render(STRICT, BRIEF, HI, YO) == "<user>Be brief.\n\nHi <b><assistant>Yo"
    assert render(STRICT, BRIEF) == "<user>Be brief."


@pytest.mark.parametrize("messages", [(HI, HI), (BRIEF, HI, HI)])
def test_any_other_refusal_names_the_messages(messages: tuple[Message, ...]) -> None:
    with pytest.raises(BadRequest, match="refuses these messages: Roles must alternate") as caught:
        render(STRICT, *messages)
    assert caught.value.param == "messages"


# Qwen: tools, arguments as objects, a namespace that is carried over loop turns, slices, break.
TOOLS = """{% macro show(tool) %}{{ tool.function.name }}: {{ tool | tojson }}{% endmacro %}
{% if tools %}{% for tool in tools %}{{ show(tool) }}
{% endfor %}{% endif %}
{% set ns = namespace(last=-1) %}
{% for m in messages[::-1] %}
{% if m.role == 'user' %}{% set ns.last = loop.revindex0 %}{% break %}{% endif %}
{% endfor %}
{% for m in messages %}
{{ m.role ~ ('*' if loop.index0 == ns.last else '') }}{% if m.reasoning_content %}({{ m.reasoning_content }}){% endif %}
={{ m.content }}{% if m.tool_call_id %}#{{ m.tool_call_id }}{% endif %}
{% for call in m.tool_calls %}
{{ call.function.name }}|{{ call.function.arguments | tojson }}
{%- endfor %}

{% endfor %}"""


def test_tools_and_reasoning() -> None:
    tool = {"type": "function", "function": {"name": "sky", "description": "<i>é</i>"}}
    out = render(
        TOOLS,
        HI,
        Message(role="assistant", reasoning="hm", tool_calls=(CALL,)),
        Message(role="tool", content="blue", tool_call_id="c1", name="sky"),
        tools=[tool],
    )
    assert out.split("\n") == [
        'sky: {"type": "function", "function": {"name": "sky", "description": "<i>é</i>"}}',
        "user*=Hi <b>",
        'assistant(hm)=sky|{"at": "Zürich"}',
        "tool=blue#c1",
        "",
    ]


def test_without_tools_the_name_is_none_and_absent_fields_are_undefined() -> None:
    source = "{{ tools is none }} {{ 'tool_calls' in messages[0] }} {{ messages[0].name is defined }}"
    assert render(source, HI) == "True False False"


@pytest.mark.parametrize("arguments", ["not json", "[" * 100_000, {"at": 1}])
def test_arguments_that_are_no_json_text_stay_as_they_are(arguments: object) -> None:
    call = {"function": {"name": "f", "arguments": arguments}}
    source = "{{ messages[0].tool_calls[0].function.arguments }}"
    assert render(source, Message(role="assistant", tool_calls=(call,))) == str(arguments)


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("strftime_now('%d %b %Y')", "01 Mar 2026"),
        ("{'b': '<', 'a': 'é'} | tojson", '{"b": "<", "a": "é"}'),
        ("{'b': 1, 'a': 'é'} | tojson(ensure_ascii=true, sort_keys=true)", '{"a": "\\u00e9", "b": 1}'),
        ("[1, [2]] | tojson(indent=2)", "[\n  1,\n  [\n    2\n  ]\n]"),
        ("[1, 2] | tojson(separators=(',', ':'))", "[1,2]"),
        ("'{}-{n}'.format('a', n=2)", "a-2"),
        ("', '.join(messages | map(attribute='role'))", "user, user"),
        ("messages | selectattr('role', 'equalto', 'user') | list | length", "2"),
        ("messages | join('|', attribute='content')", "x|y"),
        ("'a-b'.replace('-', '+') ~ 1 ~ none", "a+b1None"),
        ("'a\nb' | indent(2)", "a\n  b"),
        ("'<think>a</think>b'.split('</think>')[-1]", "b"),
        ("enable_thinking is defined and not enable_thinking", "True"),
        ("(7 * 6) % 5 + 2", "4"),
        ("{'x': 1}.items() | list", "[('x', 1)]"),
        ("namespace(a=1).a", "1"),
        ("(messages | groupby('role') | first).grouper", "user"),
        ("nothing_of_the_kind", ""),
    ],
)
def test_expressions(expression: str, text: str) -> None:
    messages = (Message(role="user", content="x"), Message(role="user", content="y"))
    assert render("{{ " + expression + " }}", *messages, enable_thinking=False) == text


def test_developer_is_a_system_role_unless_the_template_knows_it() -> None:
    message = Message(role="developer", content="x")
    assert render("{{ messages[0].role }}", message) == "system"
    assert render("{# developer #}{{ messages[0].role }}", message) == "developer"


@pytest.mark.parametrize(
    ("source", "thinks"), [("{{ '<think>' }}", True), ("{% if enable_thinking %}{% endif %}", True), (SMOLLM2, False)]
)
def test_thinks(source: str, thinks: bool) -> None:
    assert ChatTemplate(source, bos="", eos="").thinks is thinks


@pytest.mark.parametrize(
    ("source", "line", "why"),
    [
        ("a\nb{% if %}", 2, "Expected an expression"),
        ("\n\n{{ x | no_such_filter }}", 3, "No filter named"),
        ("{% for %}", 1, "Expected"),
        ("{% if x %}", 1, "Unexpected end of template"),
    ],
)
def test_a_broken_template_names_the_line(source: str, line: int, why: str) -> None:
    with pytest.raises(InvalidModel, match=rf"line {line}: {why}") as caught:
        ChatTemplate(source, bos="", eos="")
    assert caught.value.detail == {"line": line}


def test_a_huge_template_is_refused() -> None:
    with pytest.raises(InvalidModel, match="131073 characters"):
        ChatTemplate("x" * (MAX_SOURCE + 1), bos="", eos="")


@pytest.mark.parametrize(
    "expression", ["a.b.c", "messages[9].content + 'x'", "1 + none", "a()", "[] | first | upper + 1"]
)
def test_what_the_template_cannot_handle_names_the_messages(expression: str) -> None:
    with pytest.raises(BadRequest, match="cannot handle these messages") as caught:
        render("{{ " + expression + " }}", HI)
    assert caught.value.param == "messages"


def test_args_cannot_replace_the_messages() -> None:
    with pytest.raises(BadRequest, match="cannot replace messages") as caught:
        ChatTemplate("", bos="", eos="").render([HI], args={"messages": []}, now=NOW)
    assert caught.value.param == "chat_template_kwargs"


def test_an_error_is_one_short_printable_line() -> None:
    with pytest.raises(BadRequest) as caught:
        render("{{ raise_exception('a\x1b[31m\n' ~ 'x' * 10000) }}", HI)
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 400


def test_jinja_is_not_imported_until_a_template_is_made() -> None:
    code = "import sys, mongarsd.inference.text.template as t; assert t.ChatTemplate and 'jinja2' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
