"""What a summary is, and who writes it."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from mongarsd.ground.errors import ModelNotFound


class Summary(NamedTuple):
    """One conversation's, of its turns up to number `through`."""

    text: str
    through: int
    bytes: int  # of the conversation, for these turns
    model: str  # digest
    tokens: int


class Carried(NamedTuple):
    """`summary` stands for the first `turns` of the turns that were asked for."""

    summary: str
    turns: int


class Written(NamedTuple):
    text: str
    model: str  # digest
    tokens: int


class Summarise(Protocol):
    """A model, at batch priority."""

    def context(self) -> int:
        """Tokens, while it is loaded and nobody uses the node; else 0."""
        ...

    async def __call__(self, text: str, tokens: int) -> Written:
        """`tokens` at most. Raises MongarsError."""
        ...


class Nobody:
    """No model: nothing is summarised."""

    def context(self) -> int:
        return 0

    async def __call__(self, text: str, tokens: int) -> Written:  # noqa: ARG002
        raise ModelNotFound("this node has no model that summarises")
