"""What Anthropic's clients expect. These types encode answers and make /openapi.json; `events.py` writes the same."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use"]


class TextBlock(Struct, frozen=True, tag="text"):
    text: str


class ThinkingBlock(Struct, frozen=True, tag="thinking"):
    thinking: str
    signature: str = ""  # nothing here is signed


class ToolUseBlock(Struct, frozen=True, tag="tool_use"):
    id: str
    name: str
    input: dict[str, Any]


AnswerBlock = TextBlock | ThinkingBlock | ToolUseBlock


class MessageUsage(Struct, frozen=True, kw_only=True):
    """Tokens. The prompt is `input_tokens` and `cache_read_input_tokens` together."""

    input_tokens: int
    cache_creation_input_tokens: int = 0
    cache_read_input_tokens: int = 0
    output_tokens: int


class AnswerMessage(Struct, frozen=True, kw_only=True, tag="message"):
    id: str
    role: Literal["assistant"] = "assistant"
    model: str
    content: list[AnswerBlock]
    stop_reason: StopReason | None
    stop_sequence: str | None
    usage: MessageUsage


class MessageStart(Struct, frozen=True, tag="message_start"):
    message: AnswerMessage


class BlockStart(Struct, frozen=True, tag="content_block_start"):
    index: int
    content_block: AnswerBlock


class TextDelta(Struct, frozen=True, tag="text_delta"):
    text: str


class ThinkingDelta(Struct, frozen=True, tag="thinking_delta"):
    thinking: str


class InputDelta(Struct, frozen=True, tag="input_json_delta"):
    partial_json: str


class BlockDelta(Struct, frozen=True, tag="content_block_delta"):
    index: int
    delta: TextDelta | ThinkingDelta | InputDelta


class BlockStop(Struct, frozen=True, tag="content_block_stop"):
    index: int


class Stopped(Struct, frozen=True):
    stop_reason: StopReason
    stop_sequence: str | None


class MessageDelta(Struct, frozen=True, tag="message_delta"):
    delta: Stopped
    usage: MessageUsage


class MessageStop(Struct, frozen=True, tag="message_stop"):
    pass


class Ping(Struct, frozen=True, tag="ping"):
    pass


StreamedEvent = MessageStart | BlockStart | BlockDelta | BlockStop | MessageDelta | MessageStop | Ping


class TokenCount(Struct, frozen=True):
    input_tokens: int


class ModelInfo(Struct, frozen=True, kw_only=True, tag="model"):
    id: str
    display_name: str
    created_at: str  # RFC 3339
    lifecycle: Literal["active"] = "active"
    max_input_tokens: int | None
    max_tokens: int | None


class ModelPage(Struct, frozen=True, kw_only=True):
    data: list[ModelInfo]
    has_more: bool
    first_id: str | None
    last_id: str | None


class AnthropicErrorObject(Struct, frozen=True, kw_only=True):
    """More fields may follow, such as position and estimate (seconds) of a full queue."""

    type: str
    message: str
    param: str | None
    code: str


class AnthropicError(Struct, frozen=True, tag="error"):
    error: AnthropicErrorObject
