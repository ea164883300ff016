"""What Ollama's clients expect. These types encode answers and make /openapi.json."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType


class OllamaToken(Struct, frozen=True):
    token: str
    logprob: float
    bytes: list[int]


class OllamaLogprob(OllamaToken, frozen=True):
    top_logprobs: list[OllamaToken] | UnsetType = UNSET


class OllamaCalled(Struct, frozen=True, kw_only=True):
    index: int
    name: str
    arguments: dict[str, Any]


class OllamaCall(Struct, frozen=True, kw_only=True):
    id: str
    function: OllamaCalled


class OllamaSaid(Struct, frozen=True, kw_only=True):
    role: Literal["assistant"] = "assistant"
    content: str
    thinking: str | UnsetType = UNSET
    tool_calls: list[OllamaCall] | UnsetType = UNSET


class _Line(Struct, frozen=True, kw_only=True):
    """The whole answer, or a line of a stream. Durations are nanoseconds and come with the last line."""

    model: str
    created_at: str
    done: bool = False
    done_reason: Literal["stop", "length", "load", "unload"] | UnsetType = UNSET
    logprobs: list[OllamaLogprob] | UnsetType = UNSET
    total_duration: int | UnsetType = UNSET
    load_duration: int | UnsetType = UNSET  # before the prompt was read: loading and waiting
    prompt_eval_count: int | UnsetType = UNSET  # tokens, those taken from the cache too
    prompt_eval_duration: int | UnsetType = UNSET
    eval_count: int | UnsetType = UNSET
    eval_duration: int | UnsetType = UNSET


class OllamaChatLine(_Line, frozen=True, kw_only=True):
    message: OllamaSaid


class OllamaGenerateLine(_Line, frozen=True, kw_only=True):
    response: str
    thinking: str | UnsetType = UNSET


class OllamaVectors(Struct, frozen=True, kw_only=True):
    model: str
    embeddings: list[list[float]]
    total_duration: int
    load_duration: int
    prompt_eval_count: int


class OllamaVector(Struct, frozen=True, kw_only=True):
    embedding: list[float]


class OllamaDetails(Struct, frozen=True, kw_only=True):
    parent_model: str
    format: str
    family: str
    families: list[str]
    parameter_size: str
    quantization_level: str


class OllamaModel(Struct, frozen=True, kw_only=True):
    name: str
    model: str
    modified_at: str
    size: int  # bytes
    digest: str  # 64 hex digits
    details: OllamaDetails


class OllamaTags(Struct, frozen=True, kw_only=True):
    models: list[OllamaModel]


class OllamaRunning(Struct, frozen=True, kw_only=True):
    name: str
    model: str
    size: int  # bytes in memory
    digest: str
    details: OllamaDetails
    expires_at: str
    size_vram: int
    context_length: int  # tokens


class OllamaPs(Struct, frozen=True, kw_only=True):
    models: list[OllamaRunning]


class OllamaShown(Struct, frozen=True, kw_only=True):
    license: str
    modelfile: str
    parameters: str
    template: str
    system: str | UnsetType = UNSET
    details: OllamaDetails
    messages: list[dict[str, str]] | UnsetType = UNSET
    model_info: dict[str, Any]
    capabilities: tuple[str, ...]
    modified_at: str


class OllamaVersion(Struct, frozen=True, kw_only=True):
    version: str  # of Ollama, whose API this is
    mongarsd: str


class OllamaProgress(Struct, frozen=True, kw_only=True, omit_defaults=True):
    status: str
    digest: str = ""
    total: int = 0  # bytes
    completed: int = 0


class OllamaError(Struct, frozen=True, kw_only=True):
    """More fields may follow, such as position and estimate (seconds) of a full queue."""

    error: str
    code: str
