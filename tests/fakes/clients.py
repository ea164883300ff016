"""Both clients behind one blocking face, so that one test says the same of both."""

from __future__ import annotations

import asyncio
import atexit
import functools
import inspect
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Literal, TypeVar

from mongarsd.client import AsyncClient, Client

T = TypeVar("T")
Kind = Literal["sync", "async"]
KINDS: tuple[Kind, ...] = ("sync", "async")


class Face:
    """`face.chat("Hi")` is the answer, `face.stream("Hi")` an iterator, `face.session()` for `with`."""

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

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.client, name)
        return _blocking(found) if isinstance(self.client, AsyncClient) else found


class Blocking:
    """An object of asyncio's: its coroutines are run, its iterators iterated, its contexts entered."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return _blocking(getattr(self._inner, name))

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            return _wait(anext(self._inner))
        except StopAsyncIteration:
            raise StopIteration from None

    def __enter__(self) -> Blocking:
        _wait(self._inner.__aenter__())
        return self

    def __exit__(self, *error: object) -> None:
        _wait(self._inner.__aexit__(None, None, None))


def _blocking(found: Any) -> Any:
    if callable(found):
        return lambda *arguments, **options: _blocking(found(*arguments, **options))
    if inspect.isawaitable(found):
        return _wait(found)
    return Blocking(found) if hasattr(found, "__aiter__") or hasattr(found, "__aenter__") else found


@functools.cache
def _loop() -> asyncio.Runner:
    """One for all tests: an iterator may be read in several turns."""
    runner = asyncio.Runner()
    atexit.register(runner.close)
    return runner


def _wait(made: Awaitable[T]) -> T:
    async def whole() -> T:
        return await made

    return _loop().run(whole())
