"""The Response object, as OpenAI's clients expect it."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from mongarsd.api.openai.answers import MemoryReport
from mongarsd.api.openai.responses.items import Item
from mongarsd.api.openai.responses.requests import Reasoning, ResponseRequest
from mongarsd.ground.job import Finished, FinishReason, Job

ResponseStatus = Literal["in_progress", "completed", "incomplete", "failed", "cancelled"]


class CachedDetails(Struct, frozen=True):
    cached_tokens: int
    cache_write_tokens: int  # computed now


class ReasoningDetails(Struct, frozen=True):
    reasoning_tokens: int


class ResponseUsage(Struct, frozen=True, kw_only=True):
    input_tokens: int
    input_tokens_details: CachedDetails
    output_tokens: int
    output_tokens_details: ReasoningDetails
    total_tokens: int


class Incomplete(Struct, frozen=True):
    reason: Literal["max_output_tokens"] = "max_output_tokens"


class Failure(Struct, frozen=True):
    code: str
    message: str


class ConversationName(Struct, frozen=True):
    id: str


class Response(Struct, frozen=True, kw_only=True):
    id: str
    object: Literal["response"] = "response"
    created_at: int
    completed_at: int | None = None
    status: ResponseStatus
    background: Literal[False] = False
    error: Failure | None = None
    incomplete_details: Incomplete | None = None
    instructions: str | None
    conversation: ConversationName | None  # that the client named
    conversation_id: str | UnsetType = UNSET  # ours: where it is stored, once it is
    previous_response_id: str | None
    model: str
    output: list[Item] = []
    store: bool
    text: dict[str, Any]
    tools: list[dict[str, Any]]
    tool_choice: str | dict[str, Any]
    parallel_tool_calls: bool
    max_output_tokens: int | None
    max_tool_calls: int | None
    top_logprobs: int
    temperature: float
    top_p: float
    truncation: Literal["auto", "disabled"]
    summarised_turns: int | UnsetType = UNSET  # of the stored ones, that the model was told a summary of
    reasoning: Reasoning
    metadata: dict[str, str]
    usage: ResponseUsage | None = None
    memory: MemoryReport | UnsetType = UNSET


class ResponseDeleted(Struct, frozen=True, kw_only=True):
    id: str
    object: Literal["response"] = "response"
    deleted: Literal[True] = True


class InputTokens(Struct, frozen=True, kw_only=True):
    object: Literal["response.input_tokens"] = "response.input_tokens"
    input_tokens: int


class StreamEvent(Struct, frozen=True):
    """More fields follow, according to the type; they are OpenAI's."""

    type: str
    sequence_number: int


def begun(name: str, now: float, model: str, body: ResponseRequest, job: Job, *, conversation: str) -> Response:
    """What is known before the model begins. `conversation`: the one that the client named."""
    text = body.text
    form: dict[str, Any] = {"type": "text"}
    if text and text.format:
        form = {"type": text.format.type}
        if text.format.type == "json_schema":
            form |= {"name": text.format.name, "schema": text.format.schema_, "strict": True}
    return Response(
        id=name,
        created_at=int(now),
        status="in_progress",
        instructions=body.instructions,
        conversation=ConversationName(conversation) if conversation else None,
        previous_response_id=body.previous_response_id,
        model=model,
        store=body.store is not False,
        text={"format": form, "verbosity": (text and text.verbosity) or "medium"},
        tools=body.tools or [],
        tool_choice=body.tool_choice or "auto",
        parallel_tool_calls=job.parallel_tool_calls,
        max_output_tokens=body.max_output_tokens,
        max_tool_calls=body.max_tool_calls,
        top_logprobs=body.top_logprobs or 0,
        temperature=job.sampling.temperature,
        top_p=job.sampling.top_p,
        truncation=body.truncation or "disabled",
        reasoning=body.reasoning or Reasoning(),
        metadata=body.metadata or {},
    )


def usage(end: Finished, reasoning: int) -> ResponseUsage:
    used = end.usage
    return ResponseUsage(
        input_tokens=used.prompt,
        input_tokens_details=CachedDetails(used.cached, used.prompt - used.cached),
        output_tokens=used.completion,
        output_tokens_details=ReasoningDetails(reasoning),
        total_tokens=used.prompt + used.completion,
    )


def cut(end: Finished) -> bool:
    """The answer is not all that the model wanted to say."""
    return end.reason is not FinishReason.STOP
