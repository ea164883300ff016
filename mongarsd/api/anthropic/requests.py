"""What Anthropic's clients send. These types validate requests and make /openapi.json.

Fields that are not named here (`cache_control`, `service_tier`, …) are ignored; those that are have a type and a range.
Sampling's fields work under their own names as on /v1/chat/completions, beside `temperature`, `top_p` and `top_k`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from mongarsd.api.openai.requests import MAX_MESSAGES, SamplingFields
from mongarsd.ground.job import MAX_STOPS

MAX_BLOCKS = 4096
MAX_TOOLS = 128

Id = Annotated[str, Meta(min_length=1, max_length=256)]
StopSequence = Annotated[str, Meta(min_length=1, max_length=256)]


class Block(Struct, frozen=True, kw_only=True):
    """A part of a message. Which fields it has depends on `type`: see `messages.py`."""

    type: str
    text: str | None = None
    thinking: str | None = None
    id: Id | None = None  # of a tool_use
    name: Annotated[str, Meta(min_length=1, max_length=128)] | None = None
    input: dict[str, Any] | None = None
    tool_use_id: Id | None = None  # of a tool_result
    content: str | list[Block] | None = None
    is_error: bool | None = None


Blocks = Annotated[list[Block], Meta(max_length=MAX_BLOCKS)]


class InputMessage(Struct, frozen=True):
    role: Literal["user", "assistant"]
    content: str | Blocks


class Tool(Struct, frozen=True, kw_only=True):
    name: Annotated[str, Meta(min_length=1, max_length=64)]
    description: str | None = None
    input_schema: dict[str, Any] | None = None
    type: str | None = None  # absent = "custom"; the others are tools that Anthropic runs
    strict: bool | None = None  # makes no difference: the schema binds as far as it can


class ToolChosen(Struct, frozen=True, kw_only=True):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None  # of "tool"
    disable_parallel_tool_use: bool | None = None


class Thinking(Struct, frozen=True, kw_only=True):
    """`budget_tokens` is not kept to: `max_tokens` bounds thinking and answer together."""

    type: Literal["enabled", "disabled", "adaptive"]
    budget_tokens: Annotated[int, Meta(ge=1)] | None = None


class OutputFormat(Struct, frozen=True, kw_only=True):
    type: Literal["json_schema"]
    schema_: dict[str, Any] = field(name="schema")


class OutputConfig(Struct, frozen=True, kw_only=True):
    format: OutputFormat | None = None


class Metadata(Struct, frozen=True):
    user_id: Annotated[str, Meta(max_length=1024)] | None = None


class CountRequest(SamplingFields, frozen=True, kw_only=True):
    """What makes the prompt, and sampling, which makes no difference to it."""

    model: Annotated[str, Meta(min_length=1, max_length=256)]
    messages: Annotated[list[InputMessage], Meta(min_length=1, max_length=MAX_MESSAGES)]
    system: str | Blocks | None = None
    tools: Annotated[list[Tool], Meta(max_length=MAX_TOOLS)] | None = None
    tool_choice: ToolChosen | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    mcp_servers: list[dict[str, Any]] | None = None


class MessagesRequest(CountRequest, frozen=True, kw_only=True):
    max_tokens: Annotated[int, Meta(ge=1)]  # capped at inference.max_tokens
    stop_sequences: Annotated[list[StopSequence], Meta(max_length=MAX_STOPS)] | None = None
    stream: bool | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None  # ours; absent = random
    metadata: Metadata | None = None
