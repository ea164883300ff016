"""What OpenAI's clients send. These types validate requests and make /openapi.json.

Fields that are not named here are ignored: clients send extras, and so do Ollama's and llama.cpp's servers with them.
Fields that are named have a type and a range; null means absent. Sampling follows llama.cpp's names, ranges and
defaults (temperature 0.8, top_k 40, top_p 0.95, min_p 0.05), not OpenAI's temperature of 1: small models need it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta, Struct, defstruct, field, structs

from mongarsd.ground.job import MAX_STOPS, MAX_TOP_LOGPROBS, Priority
from mongarsd.ground.sampling import SAMPLER_ORDER, Sampling

#: Sequences that one request may ask for, all choices of all prompts.
MAX_CHOICES = 16
MAX_MESSAGES = 4096

Token = Annotated[int, Meta(ge=0, lt=2**31)]
Bias = Annotated[float, Meta(ge=-100.0, le=100.0)]
StopString = Annotated[str, Meta(max_length=256)]
#: Empty ones are none: clients send them for a field that nobody filled in.
Stops = StopString | Annotated[list[StopString], Meta(max_length=MAX_STOPS)]
#: llama.cpp's and LM Studio's word, which their clients send elsewhere too.
NO_LIMIT = -1
#: Of an answer; 0 is refused where jobs are made. Capped at inference.max_tokens.
MaxTokens = Annotated[int, Meta(ge=NO_LIMIT)]
Role = Literal["system", "developer", "user", "assistant", "tool", "function"]

#: Sampling's own fields whose form here is another: see `Options`.
_OTHER_FORM = {"seed", "logit_bias", "samplers"}
SAMPLING = tuple(one.name for one in structs.fields(Sampling) if one.name not in _OTHER_FORM)

if TYPE_CHECKING:
    SamplerName = str

    class SamplingFields(Struct, frozen=True, kw_only=True):
        """Every field of Sampling that has the same form on the wire, or None."""
else:
    SamplerName = Literal[SAMPLER_ORDER]
    # Made from Sampling, so that a range is written down once.
    SamplingFields = defstruct(
        "SamplingFields",
        [(one.name, one.type | None, None) for one in structs.fields(Sampling) if one.name in SAMPLING],
        frozen=True,
        kw_only=True,
    )


class StreamOptions(Struct, frozen=True):
    include_usage: bool | None = None


class Options(SamplingFields, frozen=True, kw_only=True):
    """What chat and plain completions have in common."""

    model: Annotated[str, Meta(max_length=256)] | None = None  # absent = models.default
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[int, Meta(ge=1, le=MAX_CHOICES)] | None = None
    max_tokens: MaxTokens | None = None
    stop: Stops | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None  # absent = random
    logit_bias: Annotated[dict[Token, Bias], Meta(max_length=1024)] | None = None
    samplers: Annotated[list[SamplerName], Meta(max_length=32)] | None = None
    cache_prompt: bool | None = None
    priority: Priority | None = None
    user: str | None = None


class ContentPart(Struct, frozen=True):
    type: str
    text: str | None = None
    refusal: str | None = None


class FunctionCall(Struct, frozen=True):
    name: str
    arguments: str | dict[str, Any] = ""


class ToolCall(Struct, frozen=True):
    function: FunctionCall
    id: str = ""
    type: Literal["function"] = "function"


class ChatMessage(Struct, frozen=True):
    role: Role
    content: str | list[ContentPart] | None = None
    name: str | None = None
    reasoning_content: str | None = None
    tool_calls: Annotated[list[ToolCall], Meta(max_length=128)] | None = None
    tool_call_id: str | None = None
    function_call: FunctionCall | None = None  # the old word for one of `tool_calls`


class NamedSchema(Struct, frozen=True, kw_only=True):
    """`strict` makes no difference: the schema always binds."""

    name: str = ""
    description: str | None = None
    schema_: dict[str, Any] | bool | None = field(name="schema", default=None)
    strict: bool | None = None


class ResponseFormat(Struct, frozen=True, kw_only=True):
    type: str
    json_schema: NamedSchema | None = None
    schema_: dict[str, Any] | bool | None = field(name="schema", default=None)


class MemoryOptions(Struct, frozen=True, kw_only=True):
    """What is absent is as the account's settings say."""

    recall: bool | None = None  # give the model what this account's memories say to the last message
    remember: bool | None = None  # obey "Remember that …" and "forget …"
    k: Annotated[int, Meta(ge=1, le=50)] = 5  # memories, at most
    max_tokens: Annotated[int, Meta(ge=16, le=8192)] = 256  # of theirs together, about


class ChatRequest(Options, frozen=True, kw_only=True):
    messages: Annotated[list[ChatMessage], Meta(min_length=1, max_length=MAX_MESSAGES)]
    max_completion_tokens: MaxTokens | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=MAX_TOP_LOGPROBS)] | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    chat_template_kwargs: Annotated[dict[str, Any], Meta(max_length=64)] | None = None
    tools: Annotated[list[dict[str, Any]], Meta(max_length=128)] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    #: The old words for tools and tool_choice: see `functions.py`.
    functions: Annotated[list[dict[str, Any]], Meta(max_length=128)] | None = None
    function_call: str | dict[str, Any] | None = None
    response_format: ResponseFormat | None = None
    modalities: list[str] | None = None
    audio: dict[str, Any] | None = None
    web_search_options: dict[str, Any] | None = None
    grammar: str | None = None
    json_schema: dict[str, Any] | bool | None = None
    metadata: dict[str, Any] | None = None
    store: bool | None = None
    memory: MemoryOptions | None = None
    service_tier: str | None = None
    verbosity: str | None = None
    prediction: dict[str, Any] | None = None


class CompletionRequest(Options, frozen=True, kw_only=True):
    #: A text, several texts, tokens, or several lists of tokens.
    prompt: str | Annotated[list[str | Token | list[Token]], Meta(min_length=1)]
    logprobs: Annotated[int, Meta(ge=0, le=MAX_TOP_LOGPROBS)] | None = None
    best_of: Annotated[int, Meta(ge=1, le=MAX_CHOICES)] | None = None
    echo: bool | None = None
    suffix: str | None = None  # the text after the gap behind the prompt, which the model fills
    grammar: str | None = None
    json_schema: dict[str, Any] | bool | None = None
