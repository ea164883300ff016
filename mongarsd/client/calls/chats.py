"""Chats, as OpenAI's clients know them: `POST /v1/chat/completions`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypedDict, Unpack

import msgspec
from msgspec import Struct

from mongarsd.client.call import Call, Streamed, decoded, given
from mongarsd.client.lines import ServerSent
from mongarsd.client.refusal import failure

#: `{"role": "user", "content": "…"}`, as a mapping or as a struct of your own.
Message = Mapping[str, Any] | Struct
Priority = Literal["interactive", "batch"]


class Sampling(TypedDict, total=False):
    """What every answer may be told. Any other field of the API is passed on as it is."""

    model: str | None  # else the node's default
    temperature: float | None  # 0 = always the likeliest word
    top_k: int | None
    top_p: float | None
    min_p: float | None
    seed: int | None  # the same seed gives the same answer
    stop: str | Sequence[str] | None
    tools: Sequence[Mapping[str, Any]] | None
    tool_choice: str | Mapping[str, Any] | None
    priority: Priority | None
    memory: Mapping[str, Any] | None


class ChatOptions(Sampling, total=False):
    max_tokens: int | None
    response_format: Mapping[str, Any] | None
    logprobs: bool | None
    top_logprobs: int | None
    store: bool | None


class CalledFunction(Struct, frozen=True):
    name: str | None = None
    arguments: str = ""  # JSON text; a piece of it in a stream


class ToolCall(Struct, frozen=True, kw_only=True):
    """In a stream `id` and the name come once for each index."""

    index: int = 0
    id: str | None = None
    function: CalledFunction = CalledFunction()


class Said(Struct, frozen=True, kw_only=True):
    """A message, or in a stream a piece of one."""

    role: str | None = None
    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()


class PromptDetails(Struct, frozen=True):
    cached_tokens: int = 0


class Usage(Struct, frozen=True, kw_only=True):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    prompt_tokens_details: PromptDetails = PromptDetails()


class Timings(Struct, frozen=True, kw_only=True):
    """Milliseconds, and tokens a second."""

    prompt_n: int = 0
    prompt_ms: float = 0.0
    prompt_per_second: float = 0.0
    predicted_n: int = 0
    predicted_ms: float = 0.0
    predicted_per_second: float = 0.0
    queue_ms: float = 0.0


class Choice(Struct, frozen=True, kw_only=True):
    index: int = 0
    message: Said
    finish_reason: str | None = None  # "stop", "length", "tool_calls"


class ChunkChoice(Struct, frozen=True, kw_only=True):
    index: int = 0
    delta: Said = Said()
    finish_reason: str | None = None


class Chat(Struct, frozen=True, kw_only=True):
    """A whole answer."""

    id: str
    model: str
    created: int
    choices: tuple[Choice, ...]
    usage: Usage = Usage()
    timings: Timings | None = None

    @property
    def text(self) -> str:
        """Of the first choice."""
        return (self.choices[0].message.content or "") if self.choices else ""

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """Of the first choice."""
        return self.choices[0].message.tool_calls if self.choices else ()


class ChatChunk(Struct, frozen=True, kw_only=True):
    """A piece of an answer. The last has no choices and says what the answer took."""

    id: str = ""
    model: str = ""
    created: int = 0
    choices: tuple[ChunkChoice, ...] = ()
    usage: Usage | None = None
    timings: Timings | None = None

    @property
    def text(self) -> str:
        """Of the first choice; "" in a piece that has none."""
        return (self.choices[0].delta.content or "") if self.choices and not self.choices[0].index else ""


class _Line(ChatChunk, frozen=True, kw_only=True):
    error: Any = None


class ChatReader:
    """Ends with `[DONE]`."""

    def __init__(self) -> None:
        self._events = ServerSent()
        self.ended = False

    def feed(self, data: bytes) -> Iterator[ChatChunk]:
        for event in self._events.feed(data):
            if event == b"[DONE]":
                self.ended = True
                return
            chunk = decoded(event, _Line)
            if chunk.error:
                raise failure(chunk.error)
            yield chunk


def chat(messages: str | Iterable[Message], **options: Unpack[ChatOptions]) -> Call[Chat]:
    """Answer a question, or a conversation."""
    return Call("POST", "/v1/chat/completions", Chat, _body(messages, options))


def stream(messages: str | Iterable[Message], **options: Unpack[ChatOptions]) -> Streamed[ChatChunk]:
    """Answer a question, or a conversation, word by word."""
    body = _body(messages, options) | {"stream": True, "stream_options": {"include_usage": True}}
    return Streamed(Call("POST", "/v1/chat/completions", type(None), body), ChatReader)


def _body(messages: str | Iterable[Message], options: Mapping[str, Any]) -> dict[str, Any]:
    said = [{"role": "user", "content": messages}] if isinstance(messages, str) else list(messages)
    return given(options, messages=msgspec.to_builtins(said))
