"""Both clients behind one blocking face, so that one test says the same of both."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Literal

from mongarsd.client import AsyncClient, Client

Kind = Literal["sync", "async"]
KINDS: tuple[Kind, ...] = ("sync", "async")


class Face:
    """`face.chat("Hi")` is the answer; what comes in pieces or pages is a list. `take` reads some and closes."""

    def __init__(self, kind: Kind, *place: str, sleep: Callable[[float], None] | None = None, **options: Any) -> None:
        self.kind = kind
        self.client: Client | AsyncClient
        if kind == "sync":
            self.client = Client(*place, **options, **({"sleep": sleep} if sleep else {}))
        else:

            async def nap(seconds: float) -> None:
                assert sleep
                sleep(seconds)

            self.client = AsyncClient(*place, **options, **({"sleep": nap} if sleep else {}))

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            made = getattr(self.client, name)(*arguments, **options)
            if self.kind == "async":
                return asyncio.run(_all(made) if hasattr(made, "__aiter__") else made)
            return list(made) if isinstance(made, Iterator) or hasattr(made, "__next__") else made

        return call

    def take(self, count: int, name: str, *arguments: Any, **options: Any) -> list[Any]:
        made = getattr(self.client, name)(*arguments, **options)
        if self.kind == "async":
            return asyncio.run(_some(made, count))
        with made as pieces:
            return list(itertools.islice(pieces, count))


async def _all(pieces: AsyncIterator[Any]) -> list[Any]:
    return [piece async for piece in pieces]


async def _some(stream: Any, count: int) -> list[Any]:
    found: list[Any] = []
    async with stream as pieces:
        async for piece in pieces:
            found.append(piece)
            if len(found) == count:
                break
    return found
