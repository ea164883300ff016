"""A request for a response becomes a chat, and a chat's complaints name the fields of the request again. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec
from msgspec import structs

from mongarsd.api.openai.jobs import Order, chat_jobs
from mongarsd.api.openai.naming import renamed
from mongarsd.api.openai.requests import ChatMessage, ChatRequest, NamedSchema, Options, ResponseFormat
from mongarsd.api.openai.responses.items import LOGPROBS
from mongarsd.api.openai.responses.requests import FileSearch, ResponseRequest
from mongarsd.ground.errors import BadRequest
from mongarsd.ground.job import Job

_SHARED = tuple(one.name for one in structs.fields(Options) if one.name not in ("n", "stream_options"))
_TOOL = re.compile(r"tools\[(\d+)\](\.function)?")
_NAMES = (
    ("response_format.json_schema", "text.format"),
    ("response_format", "text.format"),
    ("tool_choice.function", "tool_choice"),
    ("tool_choice.allowed_tools", "tool_choice"),
    ("max_completion_tokens", "max_output_tokens"),
    ("messages", "input"),
)


class Tools(NamedTuple):
    functions: list[dict[str, Any]]  # in the chat's form
    places: list[int]  # of each in the request
    choice: str | dict[str, Any] | None  # in the chat's form
    search: FileSearch | None


def job_of(body: ResponseRequest, tools: Tools, messages: Sequence[ChatMessage], order: Order) -> Job:
    """Raises BadRequest."""
    form = body.text.format if body.text else None
    request = ChatRequest(
        **{name: getattr(body, name) for name in _SHARED},
        messages=list(messages),
        max_completion_tokens=body.max_output_tokens,
        logprobs=_logprobs(body),
        top_logprobs=body.top_logprobs if _logprobs(body) else None,
        reasoning_effort=body.reasoning.effort if body.reasoning else None,
        chat_template_kwargs=body.chat_template_kwargs,
        tools=tools.functions or None,
        tool_choice=tools.choice,
        parallel_tool_calls=body.parallel_tool_calls,
        response_format=(
            ResponseFormat(type=form.type, json_schema=NamedSchema(name=form.name, schema_=form.schema_))
            if form
            else None
        ),
    )
    with renamed(partial(_sent, tools.places)):
        (job,) = chat_jobs(request, order)
    return job


def tools_of(body: ResponseRequest) -> Tools:
    """Raises BadRequest."""
    functions, places, search = [], [], None
    for number, tool in enumerate(body.tools or ()):
        kind = tool.get("type")
        if kind == "function":
            names = ("name", "description", "parameters")
            functions.append({"type": "function", "function": {name: tool.get(name) for name in names}})
            places.append(number)
        elif kind == "file_search" and search is None:
            search = _file_search(tool, f"tools[{number}]")
        elif kind == "file_search":
            raise BadRequest(f"tools[{number}]: one file_search, with all stores", param=f"tools[{number}]")
        else:
            where = f"tools[{number}].type"
            raise BadRequest(f"{where}: function or file_search, not {str(kind)[:60]!r}", param=where)
    return _chosen(body.tool_choice, Tools(functions, places, None, search))


def _chosen(choice: str | dict[str, Any] | None, tools: Tools) -> Tools:
    if not isinstance(choice, dict):
        if choice == "required" and tools.search and not tools.functions:
            choice = None  # the search is the call
        return tools._replace(choice=choice, search=None if choice == "none" else tools.search)
    kind = choice.get("type")
    if kind == "function":
        return tools._replace(choice={"type": "function", "function": {"name": choice.get("name")}})
    if kind == "file_search" and tools.search:
        return tools._replace(choice="none")
    if kind == "allowed_tools":
        return _allowed(choice, tools)
    raise BadRequest(
        "tool_choice: auto, none, required, a function, allowed_tools, or a file_search that is among the tools",
        param="tool_choice",
    )


def _allowed(choice: dict[str, Any], tools: Tools) -> Tools:
    """The functions among the named ones in the chat's form, which is checked there."""
    listed, mode, search = choice.get("tools"), choice.get("mode"), None
    if isinstance(listed, list):
        kinds = [one.get("type") if isinstance(one, dict) else None for one in listed]
        search = tools.search if "file_search" in kinds else None
        listed = [
            {"type": "function", "function": one} if kind == "function" else one
            for one, kind in zip(listed, kinds, strict=True)
            if not (search and kind == "file_search")
        ]
        if search and not listed and mode == "required":
            mode = "auto"  # the search is the call
    return tools._replace(
        choice={"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": listed}}, search=search
    )


def _file_search(tool: dict[str, Any], where: str) -> FileSearch:
    try:
        return msgspec.convert(tool, FileSearch)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `$")
        name = where + path.rstrip("`")
        raise BadRequest(f"{name}: {what[:1].lower()}{what[1:200].replace('`', '')}", param=name) from None


def _logprobs(body: ResponseRequest) -> bool:
    return body.top_logprobs is not None or LOGPROBS in (body.include or ())


def _sent(places: Sequence[int], text: str) -> str:
    for name, new in _NAMES:
        text = re.sub(rf"\b{re.escape(name)}", new, text) if text.startswith(name) else text
    return _TOOL.sub(lambda match: _placed(int(match[1]), places) or match[0], text)


def _placed(number: int, places: Sequence[int]) -> str:
    return f"tools[{places[number]}]" if number < len(places) else ""
