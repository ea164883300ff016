"""What the answer must look like: `response_format`, `grammar`, `json_schema` and tools, checked. Pure.

What cannot be kept is refused here, before the job waits for anything.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from time import thread_time
from typing import Any

from mongarsd.api.body import check_plain
from mongarsd.api.openai.requests import ChatRequest, CompletionRequest
from mongarsd.ground.errors import BadRequest
from mongarsd.ground.job import ToolChoice
from mongarsd.inference.grammar.check import check
from mongarsd.inference.grammar.json import json_object
from mongarsd.inference.grammar.loose import loosened
from mongarsd.inference.grammar.schema import compile_schema

MAX_BRANCHES = 64  # nesting of a schema; the compiler's own limit is lower and has a better message
#: Seconds of computing after which no more tools are looked at, because the forms of others wait meanwhile. A tool
#: takes 1 to 10 ms (x86), one made to be slow up to 5 s.
CHECKED = 20.0
_TOOL_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def has_form(request: ChatRequest | CompletionRequest) -> bool:
    """Is there something to check that may take long? 0.1 s where a schema is as large as they may be (x86)."""
    chat = request if isinstance(request, ChatRequest) else None
    return bool(request.grammar or request.json_schema is not None or (chat and (chat.tools or chat.response_format)))


def chat_form(request: ChatRequest) -> dict[str, Any]:
    """Job's fields `grammar`, `tools`, `tool_choice`, `tool_name`, `parallel_tool_calls`. Raises BadRequest."""
    tools = _tools(request.tools or ())
    names = [tool["function"]["name"] for tool in tools]
    if twice := next((name for i, name in enumerate(names) if name in names[:i]), None):
        raise BadRequest(f"tools: two tools are named {twice}", param=f"tools[{names.index(twice)}].function.name")
    wanted = request.tool_choice
    if isinstance(wanted, dict) and wanted.get("type") == "allowed_tools":
        names, wanted = _allowed(wanted.get("allowed_tools"), names)
        tools = [tool for tool in tools if tool["function"]["name"] in names]
    choice, name = _choice(wanted, names)
    grammar = grammar_of(request)
    if tools and grammar and choice is not ToolChoice.NONE:
        raise BadRequest("response_format: together with tools only text is supported", param="response_format")
    many = request.parallel_tool_calls
    return {
        "grammar": grammar,
        "tools": tuple(tools),
        "tool_choice": choice,
        "tool_name": name,
        # A model that is forced to call, and small, does not know when to stop calling.
        "parallel_tool_calls": choice is not ToolChoice.REQUIRED if many is None else many,
    }


def grammar_of(request: ChatRequest | CompletionRequest) -> str | None:
    """GBNF. Raises BadRequest."""
    form = request.response_format if isinstance(request, ChatRequest) else None
    schema_given = request.json_schema is not None
    given = [name for name, there in (("grammar", request.grammar), ("json_schema", schema_given)) if there]
    if form and form.type != "text":
        given.append("response_format")
    if len(given) > 1:
        raise BadRequest(f"{given[0]}: not together with {given[1]}", param=given[0])
    if request.grammar:
        check(request.grammar, "grammar")
        return request.grammar
    if schema_given:
        check_plain(request.json_schema, "json_schema", MAX_BRANCHES)
        return compile_schema(request.json_schema, param="json_schema")
    if form is None or form.type == "text":
        return None
    if form.type == "json_object":
        if form.schema_ is None:
            return json_object()
        check_plain(form.schema_, "response_format.schema", MAX_BRANCHES)  # llama.cpp's server takes one here
        return compile_schema(form.schema_, param="response_format.schema")
    if form.type != "json_schema":
        raise BadRequest(
            f"response_format.type: text, json_object or json_schema, not {form.type[:60]!r}",
            param="response_format.type",
        )
    path = "response_format.json_schema.schema"
    if form.json_schema is None or form.json_schema.schema_ is None:
        raise BadRequest(f"{path}: required, and missing", param=path)
    check_plain(form.json_schema.schema_, path, MAX_BRANCHES)
    return compile_schema(form.json_schema.schema_, param=path)


def _tools(given: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Raises BadRequest."""
    tools: list[dict[str, Any]] = []
    end = thread_time() + CHECKED
    for i, tool in enumerate(given):
        if i and thread_time() > end:
            where = f"tools[{i}].function"
            why = f"the schemas of the tools before it take more than {CHECKED:g} s to check"
            raise BadRequest(f"{where}: {why}: send fewer or simpler ones", param=where)
        tools.append(_tool(tool, f"tools[{i}]"))
    return tools


def _tool(tool: dict[str, Any], path: str) -> dict[str, Any]:
    """The tool with what matters of it. Raises BadRequest."""
    function = tool.get("function")
    if tool.get("type", "function") != "function" or not isinstance(function, dict):
        raise BadRequest(f"{path}: only tools of type function are supported", param=path)
    name, about = function.get("name"), function.get("description")
    if not isinstance(name, str) or not _TOOL_NAME.fullmatch(name):
        raise BadRequest(
            f"{path}.function.name: 1 to 64 letters, digits, and any of _ . -", param=f"{path}.function.name"
        )
    if about is not None and not isinstance(about, str):
        raise BadRequest(f"{path}.function.description: expected str", param=f"{path}.function.description")
    parameters = function.get("parameters")
    where = f"{path}.function.parameters"
    if parameters is not None:
        check_plain(parameters, where)
        if not isinstance(parameters, dict) or parameters.get("type", "object") != "object":
            raise BadRequest(f"tool {name}: parameters: expected the schema of an object", param=where)
        # `strict` too binds as far as it can: Cline sets it on whatever schema an MCP server has.
        parameters = loosened(parameters, param=where, path=f"tool {name}: parameters")
    whole: dict[str, Any] = {"name": name, "description": about or "", "parameters": parameters or _NOTHING}
    return {"type": "function", "function": whole}


_NOTHING: dict[str, Any] = {"type": "object", "properties": {}}


def _allowed(allowed: Any, names: list[str]) -> tuple[list[str], str]:
    """Those of `names` that may be called, and the choice among them. Raises BadRequest."""
    where = "tool_choice.allowed_tools"
    mode, listed = (allowed.get("mode"), allowed.get("tools")) if isinstance(allowed, dict) else (None, None)
    if mode not in ("auto", "required"):
        raise BadRequest(f"{where}.mode: auto or required", param=f"{where}.mode")
    if not isinstance(listed, list):
        raise BadRequest(f"{where}.tools: a list of objects", param=f"{where}.tools")
    meant = [_meant(one) for one in listed]
    if any(name not in names for name in meant):
        raise BadRequest(f"{where}.tools: functions that are among the tools", param=f"{where}.tools")
    return [name for name in names if name in meant], mode


def _meant(choice: Any) -> Any:
    """The name of the function that is chosen, or None."""
    function = choice.get("function") if isinstance(choice, dict) else None
    return function.get("name") if isinstance(function, dict) else None


def _choice(choice: str | dict[str, Any] | None, names: list[str]) -> tuple[ToolChoice, str | None]:
    if isinstance(choice, dict):
        if (name := _meant(choice)) not in names:
            raise BadRequest("tool_choice.function.name: none of the tools", param="tool_choice.function.name")
        return ToolChoice.REQUIRED, name
    if choice is None:
        return ToolChoice.AUTO, None
    if choice not in list(ToolChoice):
        raise BadRequest("tool_choice: auto, none, required, a function or allowed_tools", param="tool_choice")
    if choice == ToolChoice.REQUIRED and not names:
        raise BadRequest("tool_choice: required, but there are no tools", param="tool_choice")
    return ToolChoice(choice), None
