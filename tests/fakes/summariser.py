"""A model that summarises by counting: it says which summary it was and what it read of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from mongarsd.memory.summaries.types import Written


class FakeSummariser:
    """`tokens` = its context, 0 = somebody uses the node; `fail` is raised; `meanwhile` happens while it writes."""

    def __init__(self, tokens: int = 256) -> None:
        self.tokens = tokens
        self.read: list[str] = []
        self.fail: Exception | None = None
        self.meanwhile: Callable[[], Awaitable[None]] | None = None

    def context(self) -> int:
        return self.tokens

    async def __call__(self, text: str, tokens: int) -> Written:
        self.read.append(text)
        if self.fail:
            raise self.fail
        if self.meanwhile:
            await self.meanwhile()
        return Written(f"summary {len(self.read)} hush", "sha256:fake", min(tokens, 3))
