"""A named way to use a model: what Ollama's `create` makes, and every API obeys."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from mongarsd.ground.job import Message


class Preset(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What a request does not say itself comes from here. The weights are the model's own; nothing is copied."""

    model: str  # digest of the model or adapter; "" = none yet
    parent: str = ""  # the name it had when this was made
    system: str = ""
    messages: tuple[Message, ...] = ()  # an example conversation, after the system message
    sampling: dict[str, Any] = {}  # fields of Sampling
    stop: tuple[str, ...] = ()
    max_tokens: int | None = None
    licence: str = ""


#: Of a model that is asked for by its own name.
NOTHING = Preset(model="")
