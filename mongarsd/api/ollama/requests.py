"""What Ollama's clients send. These types validate requests and make /openapi.json.

As in Ollama, fields and options that are not named here are ignored; those that are have a type and a range.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from mongarsd.api.openai.requests import MAX_MESSAGES, SamplingFields, Stops
from mongarsd.ground.job import MAX_TOP_LOGPROBS

MAX_INPUTS = 2048

Name = Annotated[str, Meta(min_length=1, max_length=256)]
#: Seconds, or a duration such as "5m"; negative = for ever.
KeepAlive = float | Annotated[str, Meta(max_length=64)]
Level = Literal["low", "medium", "high", "max"]


class ModelOptions(SamplingFields, frozen=True, kw_only=True):
    """Sampling under its own names, and what follows. How a model is loaded (`num_gpu`, `num_thread`, …) is for the
    node to decide; so is its context: `num_ctx` may say any length, what counts is the loaded one (see /api/ps)."""

    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None  # negative = random
    stop: Stops | None = None
    num_predict: Annotated[int, Meta(ge=-2)] | None = None  # below 1: as many as inference.max_tokens allows
    num_ctx: Annotated[int, Meta(ge=0)] | None = None


class _Answering(Struct, frozen=True, kw_only=True):
    model: Name
    stream: bool | None = None  # absent = true
    options: ModelOptions | None = None
    keep_alive: KeepAlive | None = None
    format: Literal["", "json"] | dict[str, Any] | None = None  # "json", or a JSON schema
    think: bool | Level | None = None
    truncate: bool | None = None  # false: refuse what the context cannot hold, in place of leaving it out
    shift: bool | None = None  # makes no difference: an answer ends where the context does ("length")
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=MAX_TOP_LOGPROBS)] | None = None


class OllamaFunction(Struct, frozen=True):
    name: str
    arguments: dict[str, Any] = {}


class OllamaToolCall(Struct, frozen=True):
    function: OllamaFunction
    id: str | None = None


class OllamaMessage(Struct, frozen=True):
    role: Literal["system", "user", "assistant", "tool"]
    content: str | None = None
    thinking: str | None = None
    images: list[str] | None = None
    tool_calls: Annotated[list[OllamaToolCall], Meta(max_length=128)] | None = None
    tool_name: str | None = None  # of the tool that gave this result
    tool_call_id: str | None = None


class OllamaChat(_Answering, frozen=True, kw_only=True):
    """No messages: load the model, or unload it with `keep_alive: 0`."""

    messages: Annotated[list[OllamaMessage], Meta(max_length=MAX_MESSAGES)] | None = None
    tools: Annotated[list[dict[str, Any]], Meta(max_length=128)] | None = None


class OllamaGenerate(_Answering, frozen=True, kw_only=True):
    """No prompt: load the model, or unload it with `keep_alive: 0`."""

    prompt: str | None = None
    suffix: str | None = None
    system: str | None = None
    template: str | None = None
    context: list[int] | None = None
    raw: bool | None = None  # the prompt as it is, without the model's chat template
    images: list[str] | None = None


class OllamaEmbed(Struct, frozen=True, kw_only=True):
    model: Name
    input: str | Annotated[list[str], Meta(max_length=MAX_INPUTS)]
    truncate: bool | None = None  # false: refuse a text that the model cannot read in full; else its end is cut off
    dimensions: Annotated[int, Meta(ge=1)] | None = None  # of each vector the first, made of length 1 again
    keep_alive: KeepAlive | None = None


class OllamaEmbeddings(Struct, frozen=True, kw_only=True):
    """The old form: one text."""

    model: Name
    prompt: str | None = None
    keep_alive: KeepAlive | None = None


class OllamaNamed(Struct, frozen=True, kw_only=True):
    """`name` is what older clients say for `model`."""

    model: Annotated[str, Meta(max_length=1024)] = ""
    name: Annotated[str, Meta(max_length=1024)] = ""


class OllamaPull(OllamaNamed, frozen=True, kw_only=True):
    stream: bool | None = None


class OllamaCopy(Struct, frozen=True, kw_only=True):
    source: Name
    destination: Name


class OllamaCreate(OllamaNamed, frozen=True, kw_only=True):
    from_: Annotated[str, Meta(max_length=256)] | None = field(name="from", default=None)
    system: str | None = None
    template: str | None = None
    parameters: ModelOptions | None = None
    messages: Annotated[list[OllamaMessage], Meta(max_length=64)] | None = None
    license: str | list[str] | None = None
    stream: bool | None = None
    files: dict[str, str] | None = None
    adapters: dict[str, str] | None = None
    quantize: str | None = None
    modelfile: str | None = None
