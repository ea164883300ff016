"""A validated request of Ollama's becomes a Job, by way of OpenAI's, so that both are checked and obeyed alike."""

from __future__ import annotations

from typing import Any

from msgspec import structs

from mongarsd.api.body import check_plain
from mongarsd.api.ollama.find import need
from mongarsd.api.ollama.messages import chat_messages
from mongarsd.api.ollama.requests import ModelOptions, OllamaChat, OllamaGenerate, OllamaMessage
from mongarsd.api.openai.forms import MAX_BRANCHES
from mongarsd.api.openai.jobs import Order, chat_jobs, completion_jobs
from mongarsd.api.openai.requests import NO_LIMIT, SAMPLING, ChatRequest, CompletionRequest
from mongarsd.ground.errors import BadRequest
from mongarsd.ground.job import Job
from mongarsd.ground.status import ModelStatus
from mongarsd.inference.grammar.json import json_object
from mongarsd.inference.grammar.schema import compile_schema

#: Ollama's levels of thinking and OpenAI's.
_EFFORT = {"low": "low", "medium": "medium", "high": "high", "max": "xhigh"}


def chat_job(body: OllamaChat, model: ModelStatus, order: Order) -> Job:
    """Raises BadRequest."""
    grammar = _grammar(body.format)
    request = ChatRequest(
        messages=chat_messages(body.messages or ()),
        tools=body.tools,
        # An answer in a form cannot be a call too: as in Ollama, the form wins.
        tool_choice="none" if body.tools and grammar else None,
        **_thinking(body, model),
        **_shared(body),
    )
    (job,) = chat_jobs(request, order)
    return structs.replace(job, grammar=grammar)


def generate_job(body: OllamaGenerate, model: ModelStatus, order: Order) -> Job:
    """Raises BadRequest."""
    _refuse(body, model)
    grammar = _grammar(body.format)
    if body.raw or body.suffix:
        shared = _shared(body)
        alternatives = shared.pop("top_logprobs") or 0
        shared["logprobs"] = alternatives if body.logprobs else None
        (job,) = completion_jobs(CompletionRequest(prompt=body.prompt or "", suffix=body.suffix, **shared), order)
    else:
        system = [OllamaMessage("system", body.system)] if body.system else []
        messages = chat_messages([*system, OllamaMessage("user", body.prompt)])
        (job,) = chat_jobs(ChatRequest(messages=messages, **_thinking(body, model), **_shared(body)), order)
    return structs.replace(job, grammar=grammar)


def sampling_of(options: ModelOptions | None) -> dict[str, Any]:
    """What the options say, under Sampling's names."""
    if options is None:
        return {}
    given = {name: getattr(options, name) for name in SAMPLING}
    given["seed"] = None if options.seed is None or options.seed < 0 else options.seed
    return {name: value for name, value in given.items() if value is not None}


def max_tokens_of(options: ModelOptions | None) -> int | None:
    """NO_LIMIT where that is said: it counts more than a preset's limit."""
    if options is None or options.num_predict is None:
        return None
    return options.num_predict if options.num_predict > 0 else NO_LIMIT


def _shared(body: OllamaChat | OllamaGenerate) -> dict[str, Any]:
    options = body.options
    return {
        **sampling_of(options),
        "stop": options.stop if options else None,
        "max_tokens": max_tokens_of(options),
        "logprobs": body.logprobs,
        "top_logprobs": body.top_logprobs if body.logprobs else None,
    }


def _thinking(body: OllamaChat | OllamaGenerate, model: ModelStatus) -> dict[str, Any]:
    """Raises BadRequest."""
    if body.think:
        need(model, body.model, "thinking", "thinking")
    args = {} if body.think is None else {"chat_template_kwargs": {"enable_thinking": bool(body.think)}}
    return {**args, "reasoning_effort": _EFFORT.get(body.think) if isinstance(body.think, str) else None}


def _grammar(form: str | dict[str, Any] | None) -> str | None:
    """GBNF. Raises BadRequest."""
    if not form:
        return None
    if isinstance(form, str):
        return json_object()
    check_plain(form, "format", MAX_BRANCHES)
    return compile_schema(form, param="format")


def _refuse(body: OllamaGenerate, model: ModelStatus) -> None:
    """What would change the answer and cannot be done is refused, never ignored. Raises BadRequest."""
    if body.suffix:
        need(model, body.model, "insert", "insert")
        if body.system:
            raise BadRequest("suffix: a text with a gap has no place for system", param="suffix")
    if body.images:
        raise BadRequest(f'"{body.model}" does not support vision: images cannot be sent to it', param="images")
    if body.template:
        raise BadRequest(
            "template: a model's own chat template is used here; send the finished text with raw: true",
            param="template",
        )
    if body.context:
        raise BadRequest("context: not supported; /api/chat takes the whole conversation as messages", param="context")
    if body.raw and body.system:
        raise BadRequest("raw mode does not support template, system, or context", param="system")
