"""A validated request of Anthropic's becomes OpenAI's, so that both are checked and obeyed alike. Pure."""

from __future__ import annotations

import re
from typing import Any

from mongarsd.api.anthropic.blocks import chat_messages
from mongarsd.api.anthropic.requests import CountRequest, MessagesRequest, Tool, ToolChosen
from mongarsd.api.openai.jobs import Order, chat_jobs
from mongarsd.api.openai.naming import by, renamed
from mongarsd.api.openai.requests import SAMPLING, ChatRequest
from mongarsd.ground.errors import BadRequest
from mongarsd.ground.job import Job
from mongarsd.ground.status import ModelStatus


def chat_request(body: CountRequest) -> ChatRequest:
    """Raises BadRequest."""
    if body.mcp_servers:
        raise BadRequest("mcp_servers: not supported here; run the tools in the client", param="mcp_servers")
    form = body.output_config.format if body.output_config else None
    return ChatRequest(
        model=body.model,
        messages=chat_messages(body.system, body.messages),
        tools=[_tool(tool, f"tools[{i}]") for i, tool in enumerate(body.tools or ())] or None,
        json_schema=form.schema_ if form else None,
        **_choice(body.tool_choice),
        **_thinking(body),
        **(_sampling(body) if isinstance(body, MessagesRequest) else {}),
    )


def job_of(body: CountRequest, request: ChatRequest, model: ModelStatus, order: Order) -> Job:
    """Raises BadRequest."""
    if body.thinking and body.thinking.type == "enabled" and "thinking" not in model.capabilities:
        raise BadRequest(f"thinking: {model.name} does not think", param="thinking")
    with renamed(by(_NAMES)):
        (job,) = chat_jobs(request, order)
    return job


#: Of the fields of the request that is made, at the beginning of a complaint: what was sent instead.
_NAMES = (
    (re.compile(r"\A(tools\[\d+\])\.function\.parameters"), r"\1.input_schema"),
    (re.compile(r"\A(tools\[\d+\]|tool_choice)\.function"), r"\1"),
    (re.compile(r"\Ajson_schema"), "output_config.format.schema"),
    (re.compile(r"\Aresponse_format"), "output_config.format"),
)


def _tool(tool: Tool, path: str) -> dict[str, Any]:
    if tool.type not in (None, "custom"):
        raise BadRequest(f"{path}.type: there are no server tools here; run tools in the client", param=f"{path}.type")
    if tool.input_schema is None:
        raise BadRequest(f"{path}.input_schema: required, and missing", param=f"{path}.input_schema")
    function = {"name": tool.name, "description": tool.description, "parameters": tool.input_schema}
    return {"type": "function", "function": function}


def _choice(choice: ToolChosen | None) -> dict[str, Any]:
    """ChatRequest's `tool_choice` and `parallel_tool_calls`."""
    if choice is None:
        return {}
    words: dict[str, Any] = {"auto": "auto", "none": "none", "any": "required"}
    function = {"type": "function", "function": {"name": choice.name}}
    alone = choice.disable_parallel_tool_use
    return {
        "tool_choice": words.get(choice.type, function),
        "parallel_tool_calls": None if alone is None else not alone,
    }


def _thinking(body: CountRequest) -> dict[str, Any]:
    """Without a word of it there is none, as with Anthropic; adaptive = as the model likes."""
    if body.thinking and body.thinking.type == "adaptive":
        return {}
    on = body.thinking is not None and body.thinking.type == "enabled"
    return {"chat_template_kwargs": {"enable_thinking": on}}


def _sampling(body: MessagesRequest) -> dict[str, Any]:
    return {
        **{name: getattr(body, name) for name in SAMPLING},
        "seed": body.seed,
        "max_tokens": body.max_tokens,
        "stop": body.stop_sequences or None,
    }
