"""Grammars that would take llama.cpp too long, and their harmless neighbours."""

from __future__ import annotations

from typing import Any

import pytest
from fakes.tool_schemas import SCHEMAS

from mongarsd.ground.errors import BadRequest
from mongarsd.inference.grammar.ambiguity import ambiguous
from mongarsd.inference.grammar.check import check
from mongarsd.inference.grammar.json import json_object
from mongarsd.inference.grammar.schema import compile_schema


@pytest.mark.parametrize(
    "text",
    [
        'root ::= ("a" | "a")* "b"',
        'root ::= ("a" | "aa")* "b"',
        'root ::= ("a" | "aa"){0,1000} "b"',
        'root ::= ("a"+)+ "b"',
        'root ::= part+ "!"\npart ::= [a-z]+ " "?',
        'root ::= "a" root "b" | "a" root "c" | "a"',
        'root ::= "a" | "a" root root',
        "root ::= " + '"a"? ' * 60,
        'root ::= "' + "x" * 500 + '" ([a-z] | [a-c])* "!"',
        'root ::= "{" ("k" | other)* "}"\nother ::= "o" deep\ndeep ::= ("(" deep | "(" deep ")" | "(" deep "]" | "1")',
    ],
)
def test_what_can_be_read_in_too_many_ways_is_refused(text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        check(text)
    assert "too many ways" in caught.value.message
    assert caught.value.param == "grammar"


@pytest.mark.parametrize(
    "text",
    [
        'root ::= ("a" | "b")* "c"',
        'root ::= ("a" | "ba")* "c"',
        'root ::= "a"+ "b"',
        'root ::= part+ "!"\npart ::= [a-z]+ " "',
        'root ::= "a" root "b" | "c"',
        'root ::= [a-z]* "end"',  # the end may begin anywhere, and is found out at once
        'ws ::= [ \\t\\n]*\nroot ::= "a" ws ws "b"',
        'root ::= "a" root "a" | "b" root "b" | ""',
        'root ::= sum ("\\n" sum)*\nsum ::= term ([-+*/] term)*\nterm ::= [0-9]+ | "(" sum ")"',
        'root ::= "- " [^\\x00-\\x1F]+ ("\\n- " [^\\x00-\\x1F]+)*',
        "root ::= " + " | ".join(f'"item {number:03}"' for number in range(300)),
        'root ::= "[" n ("," n)* "]"\nn ::= [0-9] | [1-9] [0-9]{0,15}',  # a digit in two ways, never more
        json_object(),
    ],
)
def test_what_llama_cpp_can_follow_passes(text: str) -> None:
    assert check(text)
    assert ambiguous(text) is None


@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas_of_real_tools_pass(name: str) -> None:
    assert ambiguous(compile_schema(SCHEMAS[name])) is None


def _lists(times: int) -> dict[str, Any]:
    """Lists within lists, each of two kinds that begin alike."""
    schema: Any = {"type": "integer"}
    definitions = {}
    for level in range(times):
        two = [{"type": "array", "items": schema, "maxItems": most} for most in (2, 3)]
        definitions[f"d{level}"] = {"anyOf": two}
        schema = {"$ref": f"#/$defs/d{level}"}
    return {**schema, "$defs": definitions}


def test_a_schema_whose_branches_begin_alike_too_often_is_refused_and_one_that_does_not_passes() -> None:
    assert compile_schema(_lists(4))
    for schema in ({"type": "string", "pattern": "^(a+)+b$"}, {"anyOf": [_rec(1), _rec(2)]}):
        with pytest.raises(BadRequest, match="too many ways"):
            compile_schema(schema)
    assert compile_schema({"type": "string", "pattern": "^([a-z]+\\.)+[a-z]+$"})


def _rec(most: int) -> dict[str, Any]:
    return {"type": "array", "items": {"$ref": "#"}, "maxItems": most}
