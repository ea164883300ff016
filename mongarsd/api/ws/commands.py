"""What a client may send: one JSON object a message, told apart by its `type`. Unknown fields are ignored."""

from __future__ import annotations

import functools
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from mongarsd.api.body import parse
from mongarsd.api.openai.responses.requests import Name, ResponseRequest

#: The client's word for a command. It comes back within JSON as it is, so it has nothing that must be escaped.
Id = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.:-]{1,64}\Z")]


class CreateResponse(Struct, frozen=True, kw_only=True, tag="response.create"):
    id: Id
    response: ResponseRequest  # `stream` is ignored


class CancelResponse(Struct, frozen=True, kw_only=True, tag="response.cancel"):
    id: Id  # of the response.create


class ReplayConversation(Struct, frozen=True, kw_only=True, tag="conversation.replay"):
    id: Id
    conversation: Name
    after: Name | None = None  # an item
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class SubscribeNode(Struct, frozen=True, kw_only=True, tag="node.subscribe"):
    id: Id


class UnsubscribeNode(Struct, frozen=True, kw_only=True, tag="node.unsubscribe"):
    id: Id | None = None


class Ping(Struct, frozen=True, kw_only=True, tag="ping"):
    id: Id | None = None


Command = CreateResponse | CancelResponse | ReplayConversation | SubscribeNode | UnsubscribeNode | Ping


class _Named(Struct, frozen=True):
    id: Id = ""


def command(data: bytes) -> Command:
    """Raises BadRequest, whose `param` is the path of the field."""
    return parse(data, _decoder())


def name_of(data: bytes) -> str:
    """The id of a message that is no command, so that its sender learns which one was refused; "" if it has none."""
    try:
        return _named().decode(data).id
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""


@functools.cache
def _decoder() -> msgspec.json.Decoder[Command]:
    """Made when first needed: an idle daemon has no sockets."""
    return msgspec.json.Decoder(Command)


@functools.cache
def _named() -> msgspec.json.Decoder[_Named]:
    return msgspec.json.Decoder(_Named)
