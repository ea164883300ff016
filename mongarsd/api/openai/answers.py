"""What OpenAI's clients expect. These types encode answers and make /openapi.json; `chunks.py` writes the same."""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, Struct, UnsetType


class TopLogprob(Struct, frozen=True):
    token: str
    logprob: float
    bytes: list[int]


class ContentLogprob(Struct, frozen=True):
    token: str
    logprob: float
    bytes: list[int]
    top_logprobs: list[TopLogprob]


class ChatLogprobs(Struct, frozen=True):
    content: list[ContentLogprob]
    refusal: None = None


class CompletionLogprobs(Struct, frozen=True):
    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]] | None
    text_offset: list[int]  # characters from the start of the text


class PromptDetails(Struct, frozen=True):
    cached_tokens: int


class UsageObject(Struct, frozen=True):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails


class TimingsObject(Struct, frozen=True):
    """As llama.cpp's server says it; milliseconds."""

    cache_n: int  # prompt tokens taken from the cache
    prompt_n: int  # prompt tokens computed
    prompt_ms: float
    prompt_per_second: float
    predicted_n: int
    predicted_ms: float
    predicted_per_second: float
    queue_ms: float
    draft_n: int  # tokens guessed ahead
    draft_n_accepted: int


FinishWord = Literal["stop", "length", "tool_calls", "function_call", "content_filter"]


class CalledFunction(Struct, frozen=True):
    name: str
    arguments: str  # JSON text


class AnswerToolCall(Struct, frozen=True, kw_only=True):
    id: str
    type: Literal["function"] = "function"
    function: CalledFunction


class AnswerMessage(Struct, frozen=True, kw_only=True):
    role: Literal["assistant"] = "assistant"
    content: str | None
    refusal: None = None
    reasoning_content: str | UnsetType = UNSET
    tool_calls: list[AnswerToolCall] | UnsetType = UNSET
    function_call: CalledFunction | UnsetType = UNSET  # for who asked with `functions`


class ChatChoice(Struct, frozen=True):
    index: int
    message: AnswerMessage
    logprobs: ChatLogprobs | None
    finish_reason: FinishWord


class Recalled(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A memory the model was given, and why: score 0 to 1, cosine with the question, share of its words."""

    id: str
    text: str
    score: float | None = None
    similarity: float | None = None
    words: float | None = None
    earlier: bool = False  # found for an earlier turn of this conversation, where it stands still


class Told(Struct, frozen=True, kw_only=True):
    id: str
    text: str


class MemoryReport(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an answer had to do with memories."""

    recalled: list[Recalled] = []
    remembered: list[Told] = []  # stored because the user said so
    forgotten: list[Told] = []  # deleted because the user said so
    trouble: str = ""  # why nothing of it was done


class ChatCompletion(Struct, frozen=True, kw_only=True):
    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[ChatChoice]
    usage: UsageObject
    timings: TimingsObject | UnsetType = UNSET
    memory: MemoryReport | UnsetType = UNSET
    system_fingerprint: str | UnsetType = UNSET


class ChunkFunction(Struct, frozen=True, kw_only=True):
    name: str | UnsetType = UNSET
    arguments: str


class ChunkToolCall(Struct, frozen=True, kw_only=True):
    """`id`, `type` and the name come once for each index."""

    index: int
    id: str | UnsetType = UNSET
    type: Literal["function"] | UnsetType = UNSET
    function: ChunkFunction


class ChunkDelta(Struct, frozen=True, kw_only=True):
    role: Literal["assistant"] | UnsetType = UNSET
    content: str | UnsetType = UNSET
    reasoning_content: str | UnsetType = UNSET
    tool_calls: list[ChunkToolCall] | UnsetType = UNSET
    function_call: ChunkFunction | UnsetType = UNSET  # for who asked with `functions`; the name comes once


class ChunkChoice(Struct, frozen=True):
    index: int
    delta: ChunkDelta
    logprobs: ChatLogprobs | None
    finish_reason: FinishWord | None


class ChatChunk(Struct, frozen=True, kw_only=True):
    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice]
    system_fingerprint: str
    usage: UsageObject | UnsetType | None = UNSET
    timings: TimingsObject | UnsetType = UNSET
    memory: MemoryReport | UnsetType = UNSET


class CompletionChoice(Struct, frozen=True):
    index: int
    text: str
    logprobs: CompletionLogprobs | None
    finish_reason: FinishWord | None


class Completion(Struct, frozen=True, kw_only=True):
    """The whole answer, and every chunk of a stream."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[CompletionChoice]
    system_fingerprint: str
    usage: UsageObject | UnsetType | None = UNSET
    timings: TimingsObject | UnsetType = UNSET


class Model(Struct, frozen=True, kw_only=True):
    """OpenAI's four fields, and ours."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "mongarsd"
    digest: str
    parent: str | UnsetType = UNSET  # of a LoRA adapter: its model
    state: str
    size: int  # bytes
    architecture: str
    parameters: int
    quantization: str
    kind: Literal["chat", "embedding", "rerank"]
    capabilities: tuple[str, ...]  # of: completion, tools, insert, thinking, embedding, rerank
    dimensions: int | UnsetType = UNSET  # numbers in a vector, of embedding models
    context_length: int  # tokens: as loaded, else as trained
    licence: str


class ModelList(Struct, frozen=True, kw_only=True):
    object: Literal["list"] = "list"
    data: list[Model]


class ErrorObject(Struct, frozen=True, kw_only=True):
    """More fields may follow, such as position and estimate (seconds) of a full queue."""

    message: str
    type: str
    param: str | None
    code: str


class ErrorBody(Struct, frozen=True):
    error: ErrorObject
