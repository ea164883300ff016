"""OpenAI's Responses: answers that are remembered and gone on from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Unpack

import msgspec
from msgspec import Struct

from mongarsd.client.call import Call, Streamed, decoded, given, path
from mongarsd.client.calls.chats import Message, Sampling
from mongarsd.client.errors import MongarsError
from mongarsd.client.lines import ServerSent
from mongarsd.client.refusal import failure

#: Types of events that end an answer.
ENDS = frozenset(f"response.{state}" for state in ("completed", "incomplete", "failed", "cancelled"))


class RespondOptions(Sampling, total=False):
    instructions: str | None  # for this answer only
    max_output_tokens: int | None
    store: bool | None  # True unless it says False
    text: Mapping[str, Any] | None  # {"format": …} binds the answer to a JSON schema
    reasoning: Mapping[str, Any] | None
    metadata: Mapping[str, str] | None
    truncation: str | None
    include: Sequence[str] | None


class Part(Struct, frozen=True, kw_only=True):
    type: str
    text: str = ""
    annotations: tuple[dict[str, Any], ...] = ()


class Rated(Struct, frozen=True, kw_only=True):
    rating: str
    correction: str = ""


class Item(Struct, frozen=True, kw_only=True):
    """A message, reasoning, a function's call or its output, a search: `type` says which, and so what is set."""

    type: str
    id: str = ""
    status: str = ""
    role: str = ""
    content: tuple[Part, ...] = ()
    call_id: str = ""
    name: str = ""
    arguments: str = ""  # JSON text
    output: str = ""
    feedback: Rated | None = None

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.content)


class Named(Struct, frozen=True):
    id: str


class Problem(Struct, frozen=True, kw_only=True):
    code: str = ""
    message: str = ""


class Incomplete(Struct, frozen=True):
    reason: str = ""


class ResponseUsage(Struct, frozen=True, kw_only=True):
    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0


class Response(Struct, frozen=True, kw_only=True):
    id: str
    status: str  # "in_progress", "completed", "incomplete", "failed", "cancelled"
    model: str
    created_at: int = 0
    output: tuple[Item, ...] = ()
    conversation: Named | None = None  # that was named
    conversation_id: str = ""  # where it is stored
    previous_response_id: str | None = None
    error: Problem | None = None
    incomplete_details: Incomplete | None = None
    store: bool = True
    metadata: dict[str, str] = {}
    usage: ResponseUsage | None = None

    @property
    def text(self) -> str:
        """Of all messages."""
        return "".join(item.text for item in self.output if item.type == "message")


class ResponseEvent(Struct, frozen=True, kw_only=True):
    """OpenAI's; `type` says which it is, and so what is set."""

    type: str = ""
    sequence_number: int = 0
    delta: str = ""
    item_id: str = ""
    output_index: int = 0
    item: Item | None = None
    response: Response | None = None
    error: Any = None  # never in one that you get: it is raised

    @property
    def text(self) -> str:
        """A piece of the answer; "" in an event that has none."""
        return self.delta if self.type == "response.output_text.delta" else ""


class _Error(Struct, frozen=True, kw_only=True):
    """Its fields are the event's own, or an object in it."""

    error: Any = None
    message: str = ""
    code: str | None = None
    param: str | None = None


def event_of(data: bytes) -> ResponseEvent:
    """Raises NotUnderstood, and what an error event says."""
    event = decoded(data, ResponseEvent)
    if event.error or event.type == "error":
        raise problem(data)
    return event


def problem(data: bytes) -> MongarsError:
    """Of an error event. Raises NotUnderstood."""
    found = decoded(data, _Error)
    return failure(found.error or {"message": found.message, "code": found.code, "param": found.param})


class ResponseReader:
    """Ends with one of ENDS."""

    def __init__(self) -> None:
        self._events = ServerSent()
        self.ended = False

    def feed(self, data: bytes) -> Iterator[ResponseEvent]:
        for one in self._events.feed(data):
            event = event_of(one)
            yield event
            if event.type in ENDS:
                self.ended = True
                return


def respond(
    input: str | Iterable[Message],  # noqa: A002  # the API's word
    *,
    conversation: str | None = None,
    previous: str | None = None,
    **options: Unpack[RespondOptions],
) -> Call[Response]:
    """Answer, and remember it: in a conversation, or going on from the response `previous`."""
    return Call("POST", "/v1/responses", Response, body(input, conversation, previous, options))


def respond_stream(
    input: str | Iterable[Message],  # noqa: A002
    *,
    conversation: str | None = None,
    previous: str | None = None,
    **options: Unpack[RespondOptions],
) -> Streamed[ResponseEvent]:
    """Answer event by event, and remember it."""
    sent = body(input, conversation, previous, options) | {"stream": True}
    return Streamed(Call("POST", "/v1/responses", type(None), sent), ResponseReader)


def response(name: str) -> Call[Response]:
    """An answer that was remembered."""
    return Call("GET", path("/v1/responses", name), Response)


def delete_response(name: str) -> Call[None]:
    """Forget an answer and its question."""
    return Call("DELETE", path("/v1/responses", name), type(None))


def body(
    input: str | Iterable[Message],  # noqa: A002
    conversation: str | None,
    previous: str | None,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    said = input if isinstance(input, str) else msgspec.to_builtins(list(input))
    return given(options, input=said, conversation=conversation, previous_response_id=previous)
