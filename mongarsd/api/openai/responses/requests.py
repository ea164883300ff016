"""What clients send to /v1/responses and /v1/conversations. Unknown fields are ignored, known ones checked."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from mongarsd.api.openai.requests import MAX_MESSAGES, MemoryOptions, Options
from mongarsd.ground.job import MAX_TOP_LOGPROBS

MAX_ITEMS = 20  # of one request to a conversation; OpenAI's

Includable = Literal[
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
    "reasoning.encrypted_content",
    "message.output_text.logprobs",
]
#: As in OpenAI's: 16 pairs, names of 64 letters, values of 512.
Metadata = Annotated[
    dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]], Meta(max_length=16)
]
Name = Annotated[str, Meta(max_length=128)]
Title = Annotated[str, Meta(max_length=256)]


class Part(Struct, frozen=True):
    """Of a message, of reasoning, or of a function's output."""

    type: str
    text: str | None = None
    refusal: str | None = None


class InputItem(Struct, frozen=True, kw_only=True):
    """A message unless `type` says function_call, function_call_output, reasoning or item_reference."""

    type: str | None = None
    id: str | None = None  # of the item that an item_reference means
    role: Literal["user", "assistant", "system", "developer"] | None = None
    content: str | list[Part] | None = None
    call_id: Name | None = None
    name: Annotated[str, Meta(max_length=64)] | None = None
    arguments: str | None = None
    output: str | list[Part] | None = None
    summary: list[Part] | None = None


class Format(Struct, frozen=True, kw_only=True):
    type: str
    name: str = ""
    schema_: dict[str, Any] | bool | None = field(name="schema", default=None)
    strict: bool | None = None


class TextOptions(Struct, frozen=True, kw_only=True):
    format: Format | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class Reasoning(Struct, frozen=True, kw_only=True):
    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None  # there is none: the reasoning itself comes


class Named(Struct, frozen=True):
    id: Name


class ResponseRequest(Options, frozen=True, kw_only=True):
    """Sampling, `seed`, `stop` and `priority` are the chat's."""

    input: str | Annotated[list[InputItem], Meta(max_length=MAX_MESSAGES)] | None = None
    instructions: str | None = None
    previous_response_id: Name | None = None
    conversation: Name | Named | None = None
    store: bool | None = None  # absent = true, as OpenAI has it
    text: TextOptions | None = None
    tools: Annotated[list[dict[str, Any]], Meta(max_length=128)] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    max_output_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_tool_calls: Annotated[int, Meta(ge=1)] | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=MAX_TOP_LOGPROBS)] | None = None
    metadata: Metadata | None = None
    truncation: Literal["auto", "disabled"] | None = None
    include: Annotated[list[Includable], Meta(max_length=32)] | None = None
    reasoning: Reasoning | None = None
    background: bool | None = None
    prompt: dict[str, Any] | None = None
    chat_template_kwargs: Annotated[dict[str, Any], Meta(max_length=64)] | None = None
    memory: MemoryOptions | None = None


class NewConversation(Struct, frozen=True, kw_only=True):
    """`title` is ours; absent = the first question."""

    items: Annotated[list[InputItem], Meta(max_length=MAX_ITEMS)] | None = None
    metadata: Metadata | None = None
    title: Title | None = None


class ChangedConversation(Struct, frozen=True, kw_only=True):
    metadata: Metadata | None = None
    title: Title | None = None


class NewItems(Struct, frozen=True, kw_only=True):
    items: Annotated[list[InputItem], Meta(min_length=1, max_length=MAX_ITEMS)]


class Ranking(Struct, frozen=True, kw_only=True):
    ranker: str | None = None
    score_threshold: Annotated[float, Meta(ge=0.0, le=1.0)] | None = None


class FileSearch(Struct, frozen=True, kw_only=True):
    """A tool of type file_search."""

    vector_store_ids: Annotated[list[Name], Meta(min_length=1, max_length=16)]
    max_num_results: Annotated[int, Meta(ge=1, le=50)] | None = None
    filters: dict[str, Any] | None = None
    ranking_options: Ranking | None = None
