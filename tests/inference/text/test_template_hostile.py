"""What a template out of a downloaded file may try. All of it ends in an error, soon, and in little memory."""

from __future__ import annotations

import threading
import time
from datetime import datetime

import pytest

from mongarsd.ground.errors import BadRequest, InvalidModel, MongarsError
from mongarsd.ground.job import Message
from mongarsd.inference.text.template import ChatTemplate

SECONDS = 0.3


def grow(step: str, then: str = "") -> str:
    """Do something to `ns.x` 99 times."""
    return "{% set ns = namespace(x='ab') %}{% for i in range(99) %}" + step + "{% endfor %}" + then


def attempt(source: str) -> None:
    template = ChatTemplate(source, bos="", eos="", seconds=SECONDS)
    template.render([Message(role="user", content="hi")], args={}, now=datetime(2026, 1, 1))


REACH = [
    "{{ ''.__class__.__mro__ }}",
    "{{ ''['__class__'] }}",
    "{{ messages | map(attribute='__class__') | list }}",
    "{{ '' | attr('__class__') }}",
    "{{ cycler.__init__.__globals__ }}",
    "{{ namespace.__init__ }}",
    "{{ raise_exception.__globals__ }}",
    "{{ strftime_now.__closure__ }}",
    "{{ self._TemplateReference__context }}",
    "{{ (messages | map('string')).gi_frame.f_globals }}",
    "{{ '{0.__class__}'.format(1) }}",
    "{{ '{0[a]}'.format({'a': 1}) }}",
    "{{ '{0!r}'.format(1) }}",
    "{{ '{x.__class__}'.format_map({'x': 1}) }}",
    "{% set f = ''.format %}{{ f.__closure__ }}",
    "{{ messages.append(1) }}",
    "{{ messages[0].update(a=1) }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}",
    "{% from 'os' import path %}",
    "{% extends 'x' %}",
    "{{ lipsum(n=10000) }}",
]

ENDLESS = [
    "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in 'abc' %}{% endfor %}{% endfor %}{% endfor %}",
    "{% for a in range(99999) %}{% for b in range(99999) if b < 0 %}{% endfor %}{% endfor %}",
    "{% for a in range(99999) %}{% set n = range(99999) | map('string') | list %}{% endfor %}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
    "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    "{% for x in [1, 2] recursive %}{% if loop.depth < 60 %}{{ loop([1, 2]) }}{% endif %}{% endfor %}",
    "{% for a in range(99999) %}{% for b in range(99999) %}output without end {% endfor %}{% endfor %}",
    "{% for i in range(1000000000) %}x{% endfor %}",
]

HUGE = [
    "{{ 'a' * 1000000000 }}",
    "{{ 1000000000 * 'a' }}",
    "{{ [0] * 1000000000 }}",
    "{{ '<b>' | safe * 1000000000 }}",
    "{{ 9 ** 9 ** 9 }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ '{:1000000000}'.format(1) }}",
    "{{ '%s' | format('x') }}",
    "{{ 'a' | center(1000000000) }}",
    "{{ 'a'.center(1000000000) }}",
    "{{ 'a'.zfill(1000000000) }}",
    "{{ (1).to_bytes(1000000000, 'big') }}",
    "{{ 'a\nb' | indent(1000000000) }}",
    "{{ [1] | tojson(indent=1000000000) }}",
    "{{ [1] | batch(1000000000, 1) | list }}",
    "{{ 1 | round(-1000000000) }}",
    grow("{% set ns.x = ns.x + ns.x %}"),
    grow("{% set ns.x = ns.x ~ ns.x %}"),
    grow("{% set ns.x = '{}{}'.format(ns.x, ns.x) %}"),
    grow("{% set ns.x = [ns.x, ns.x] | join %}"),
    grow("{% set ns.x = ns.x.replace('a', ns.x) %}"),
    grow("{% set ns.x = ns.x | replace('a', ns.x) %}"),
    grow("{% set y %}{{ ns.x }}{{ ns.x }}{% endset %}{% set ns.x = y %}"),
    "{% macro m(x) %}{{ x }}{{ x }}{% endmacro %}" + grow("{% set ns.x = m(ns.x) %}"),
    grow("{% set ns.x = ns.x | length * 9999999999999999999 %}{% set ns.x = ns.x * ns.x * ns.x * ns.x * ns.x %}"),
    # Little memory, endless to print, to compare or to hash.
    grow("{% set ns.x = [ns.x, ns.x] %}", "{{ ns.x }}"),
    grow("{% set ns.x = (ns.x, ns.x) %}", "{{ {ns.x: 1} }}"),
    grow("{% set ns.x = {'a': ns.x, 'b': ns.x} %}", "{{ ns.x | tojson }}"),
    grow("{% set ns.x = {'a': ns.x, 'b': ns.x}.values() %}", "{{ ns.x }}"),
    grow("{% set ns.x = dict(a=ns.x, b=ns.x) %}", "{{ ns.x | string }}"),
    "{% macro m() %}{% set ns.x = varargs %}{% endmacro %}" + grow("{{ m(ns.x, ns.x) }}", "{{ ns.x }}"),
    "{% set a = [1] %}" + "{% set a = [a, a] %}" * 80 + "{{ a == a | list }}",
    # Each of bounded size, but many.
    "{% set x = 'a' * 1000000 %}{{ range(99999) | map('replace', '1', x) | join }}",
    "{% set x = 'a' * 1000000 %}{{ range(99999) | join(x) }}{{ x.join(range(99999)) }}",
    "{% set n = namespace(l=[]) %}{% set x = 'a' * 1000000 %}"
    "{% for i in range(9999) %}{% set n.l = n.l + [namespace(a=x[i:])] %}{% endfor %}",
    "{% macro m() %}{% for i in range(99999) %}{{ 'a' * 100000 }}{% endfor %}{% endmacro %}{{ m() | length }}",
]

ABSURD = [
    "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "{{ " + " + ".join(["1"] * 5000) + " }}",
    "{% for a in [1] %}" * 30 + "{% endfor %}" * 30,
    "{{ " + "9" * 5000 + " }}",
]


@pytest.mark.parametrize("source", [*REACH, *ENDLESS, *HUGE, *ABSURD])
def test_ends_in_an_error_and_soon(source: str) -> None:
    begin = time.thread_time()
    with pytest.raises((BadRequest, InvalidModel)):
        attempt(source)
    assert time.thread_time() - begin < SECONDS + 2


def test_the_time_limit_needs_no_main_thread() -> None:
    errors: list[MongarsError] = []

    def work() -> None:
        try:
            attempt(ENDLESS[0])
        except MongarsError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(30)
    assert [error.message.split(":")[0] for error in errors] == [
        "the model's chat template was stopped (was not done after 0.3 s)"
    ]


def test_a_template_is_as_good_as_new_after_an_overrun() -> None:
    template = ChatTemplate("{{ 'x' * messages[0].content | int }}", bos="", eos="", seconds=SECONDS)

    def times(count: str) -> str:
        return template.render([Message(role="user", content=count)], args={}, now=datetime(2026, 1, 1))

    with pytest.raises(InvalidModel, match="too large"):
        times("1000000000")
    assert times("3") == "xxx"


def test_a_namespace_that_holds_itself_can_be_printed() -> None:
    attempt("{% set ns = namespace() %}{% set ns.a = ns %}{{ ns }}")


def test_a_long_conversation_is_no_overrun() -> None:
    """Appending message by message copies everything each time; 1,000 messages of 200 characters."""
    source = (
        "{% set n = namespace(t='', l=[]) %}{% for m in messages %}{% set n.t = n.t + m.content %}{% endfor %}{{ n.t }}"
    )
    messages = [Message(role="user", content="x" * 200)] * 1000
    text = ChatTemplate(source, bos="", eos="").render(messages, args={}, now=datetime(2026, 1, 1))
    assert text == "x" * 200_000
