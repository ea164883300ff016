"""The two clients offer the same, and say so in the same words."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from mongarsd.client import AsyncClient, Client
from mongarsd.client.calls import access, chats, facts, files, history, node, responses, vectors

BUILDERS = {
    name: function
    for module in (access, chats, facts, files, history, node, responses, vectors)
    for name, function in vars(module).items()
    if inspect.isfunction(function)
    and function.__module__ == module.__name__
    and str(inspect.signature(function).return_annotation).partition("[")[0] in ("Call", "Streamed", "Paged")
}


def public(kind: type[Any]) -> dict[str, Any]:
    return {name: value for name, value in inspect.getmembers(kind) if not name.startswith("_")}


def test_both_have_every_call_and_nothing_else() -> None:
    assert set(public(Client)) == set(public(AsyncClient)) == {*BUILDERS, "run", "session", "url"}


@pytest.mark.parametrize("name", [*BUILDERS, "session", "__init__"])
def test_the_arguments_are_the_same(name: str) -> None:
    one, other = (inspect.signature(getattr(kind, name)) for kind in (Client, AsyncClient))
    assert next(iter(one.parameters)) == "self"
    for mine, its in zip(one.parameters.values(), other.parameters.values(), strict=True):
        assert (mine.name, mine.kind) == (its.name, its.kind)
        if mine.name != "sleep":
            assert (mine.annotation, mine.default) == (its.annotation, its.default)


@pytest.mark.parametrize("name", BUILDERS)
def test_every_method_says_what_it_does(name: str) -> None:
    assert getattr(Client, name).__doc__ == getattr(AsyncClient, name).__doc__ == BUILDERS[name].__doc__
    assert BUILDERS[name].__doc__


def test_nothing_heavy_is_loaded_before_it_is_needed() -> None:
    code = (
        "import sys; from mongarsd.client import Client, AsyncClient; Client('http://x'); AsyncClient('http://x');"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) & {"aiohttp", "asyncio", "http", "websockets", "typer", "ssl"} == set()


def test_the_users_page_lists_every_method_and_its_examples_are_python() -> None:
    text = (Path(__file__).parents[2] / "docs" / "client.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ") and "`" in line]
    listed = re.findall(r"`(\w+)`", "".join(rows))
    assert sorted(listed) == sorted(BUILDERS)
    blocks = re.findall(r"(?:^    .*\n|^\n(?=    ))+", text, re.MULTILINE)
    assert len(blocks) == 6
    for block in blocks:
        compile(textwrap.dedent(block), "docs/client.md", "exec")
