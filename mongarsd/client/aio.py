"""`AsyncClient`: the calls over aiohttp, one connection a request. Closing it is how a request is cancelled."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from mongarsd.client.address import Address, Search
from mongarsd.client.call import MAX_ANSWER, PATIENCE, SLOW, Call, Paged, Streamed, encoded, headers
from mongarsd.client.calls import access, chats, facts, files, history, node, responses, vectors
from mongarsd.client.errors import NotUnderstood
from mongarsd.client.form import FileForm
from mongarsd.client.methods import dressed
from mongarsd.client.refusal import Refused
from mongarsd.client.stream import AsyncStream

if TYPE_CHECKING:
    import aiohttp

    from mongarsd.client.session.aio import AsyncSession

T = TypeVar("T")
P = ParamSpec("P")


async def _sleep(seconds: float) -> None:
    import asyncio  # not needed for mongarsctl

    await asyncio.sleep(seconds)


class AsyncTransport:
    """Sends calls. It holds no connection: keep one for as long as you like, and share it among tasks and loops."""

    def __init__(
        self,
        url: str | None = None,
        *,
        key: str | None = None,
        socket: str | os.PathLike[str] | None = None,
        timeout: float = SLOW,
        retries: int = 2,
        sleep: Callable[[float], Awaitable[object]] = _sleep,
    ) -> None:
        """As `Client`."""
        self.address = Address(url, key, socket, os.environ)
        self._timeout = timeout
        self._retries = retries
        self._sleep = sleep

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.address)!r})"

    @property
    def url(self) -> str:
        """ "" = the control socket."""
        return self.address.url

    async def run(self, call: Call[T]) -> T:
        """Raises MongarsError, like every method."""
        async with self._answer(call) as response:
            data = await _whole(response)
        return call.answer(data)

    def session(self, *, patience: float = PATIENCE) -> AsyncSession:
        """As `Client.session`, for an `async with`."""
        from random import Random

        from mongarsd.client.session.aio import AsyncSession

        chance = Random()  # noqa: S311  # of how long to wait
        return AsyncSession(self, patience, chance, self._sleep, time.monotonic)

    async def _events(self, streamed: Streamed[T]) -> AsyncGenerator[T, None]:
        reader = streamed.reader()
        async with aclosing(self._pieces(streamed.call)) as pieces:
            async for piece in pieces:
                for event in reader.feed(piece):
                    yield event
                if reader.ended:
                    return
        raise self.address.broke_off()

    async def _pieces(self, call: Call[None]) -> AsyncGenerator[bytes, None]:
        async with self._answer(call) as response:
            while piece := await response.content.readany():
                yield piece

    async def _pages(self, paged: Paged[T]) -> AsyncIterator[T]:
        after: str | None = ""
        while after is not None:
            page = await self.run(paged.page(after))
            for one in page.data:
                yield one
            after = (page.after or page.last_id) if page.has_more else None

    @asynccontextmanager
    async def _answer(self, call: Call[Any]) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer, before its body is read."""
        for tried in itertools.count():
            async with self._exchange(call) as response:
                if call.takes(response.status):
                    yield response
                    return
                refused = Refused.of(response.status, response.headers.items(), await _whole(response))
            if tried >= self._retries or (wait := refused.wait(tried)) is None:
                raise refused.error(self.address, call.path)
            await self._sleep(wait)

    @asynccontextmanager
    async def _exchange(self, call: Call[Any]) -> AsyncIterator[aiohttp.ClientResponse]:
        import aiohttp  # 0.2 s, and only this client needs it
        from yarl import URL

        address, search = self.address, Search(self.address)
        begun = False
        silence = min(call.timeout, self._timeout)
        timeout = aiohttp.ClientTimeout(total=None, connect=silence, sock_read=silence)
        for path in [None] if address.url else search.paths():
            connector = aiohttp.UnixConnector(str(path)) if path else aiohttp.TCPConnector()
            try:
                async with (
                    aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session,
                    session.request(
                        call.method,
                        URL(address.origin + address.base + call.path, encoded=True),
                        data=_body(call),
                        headers=headers(call, address.key),
                        timeout=timeout,
                        allow_redirects=False,
                    ) as response,
                ):
                    begun = True
                    yield response
                    return
            except aiohttp.ClientConnectorError as error:
                if path is None:
                    raise address.unreachable(_cause(error)) from error
                search.failed(path, error.os_error)
            except TimeoutError as error:
                raise address.silent(silence) from error
            except (OSError, aiohttp.ClientError) as error:
                raise address.broke(error, begun) from error
        raise search.error()


async def _whole(response: aiohttp.ClientResponse) -> bytes:
    data = bytearray()
    async for piece in response.content.iter_any():
        data += piece
        if len(data) > MAX_ANSWER:
            raise NotUnderstood(f"the answer has more than {MAX_ANSWER} bytes: is it mongarsd?")
    return bytes(data)


def _cause(error: aiohttp.ClientConnectorError) -> Exception:
    """What the system said; a certificate that is wrong has no error of the system."""
    found = getattr(error, "os_error", error)
    return found if isinstance(found, Exception) else error


def _body(call: Call[Any]) -> Any:
    if isinstance(call.body, FileForm):
        return _read(call.body)
    return encoded(call.body) if call.method in ("POST", "PATCH") else None


async def _read(form: FileForm) -> AsyncIterator[bytes]:
    """A disk may be slow: it is read in a thread."""
    import asyncio

    pieces = iter(form)
    while piece := await asyncio.to_thread(next, pieces, b""):
        yield piece


def asked(build: Callable[P, Call[T]]) -> Callable[Concatenate[AsyncTransport, P], Coroutine[Any, Any, T]]:
    """The method that sends what `build` makes."""

    async def method(self: AsyncTransport, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.run(build(*args, **kwargs))

    return dressed(method, build, "{}")


def streamed(build: Callable[P, Streamed[T]]) -> Callable[Concatenate[AsyncTransport, P], AsyncStream[T]]:
    def method(self: AsyncTransport, /, *args: P.args, **kwargs: P.kwargs) -> AsyncStream[T]:
        return AsyncStream(self._events(build(*args, **kwargs)))

    return dressed(method, build, "AsyncStream[{}]")


def paged(build: Callable[P, Paged[T]]) -> Callable[Concatenate[AsyncTransport, P], AsyncIterator[T]]:
    def method(self: AsyncTransport, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        return self._pages(build(*args, **kwargs))

    return dressed(method, build, "AsyncIterator[{}]")


def exported(build: Callable[P, Call[None]]) -> Callable[Concatenate[AsyncTransport, P], AsyncStream[bytes]]:
    def method(self: AsyncTransport, /, *args: P.args, **kwargs: P.kwargs) -> AsyncStream[bytes]:
        return AsyncStream(self._pieces(build(*args, **kwargs)))

    return dressed(method, build, "AsyncStream[bytes]")


class AsyncClient(AsyncTransport):
    """mongarsd, from asyncio: the methods of `Client`, to be awaited or iterated with `async for`.

    client = AsyncClient()  # or AsyncClient("http://raspberrypi.local:8420", key="mg-…")
    print((await client.chat("What is a Pi?")).text)
    """

    # Answers
    chat = asked(chats.chat)
    stream = streamed(chats.stream)
    respond = asked(responses.respond)
    respond_stream = streamed(responses.respond_stream)
    response = asked(responses.response)
    delete_response = asked(responses.delete_response)
    embed = asked(vectors.embed)
    rerank = asked(vectors.rerank)
    models = asked(node.models)

    # What was said
    create_conversation = asked(history.create_conversation)
    conversations = paged(history.conversations)
    conversation = asked(history.conversation)
    delete_conversation = asked(history.delete_conversation)
    items = paged(history.items)
    export = exported(history.export)
    feedback = asked(history.feedback)

    # What is remembered
    remember = asked(facts.remember)
    memories = paged(facts.memories)
    memory = asked(facts.memory)
    search_memory = asked(facts.search_memory)
    forget = asked(facts.forget)

    # Documents
    upload = asked(files.upload)
    delete_file = asked(files.delete_file)
    create_store = asked(files.create_store)
    stores = paged(files.stores)
    store = asked(files.store)
    store_file = asked(files.store_file)
    stored_files = paged(files.stored_files)

    # The node
    alive = asked(node.alive)
    ready = asked(node.ready)
    status = asked(node.status)
    config = asked(node.config)
    cache = asked(node.cache)
    clear_cache = asked(node.clear_cache)
    installed = asked(node.installed)
    show = asked(node.show)
    catalogue = asked(node.catalogue)
    pull = streamed(node.pull)
    load = asked(node.load)
    unload = asked(node.unload)
    remove = asked(node.remove)

    # Its database
    memory_status = asked(facts.memory_status)
    backup = asked(facts.backup)
    restore = asked(facts.restore)
    check = asked(facts.check)
    export_account = exported(facts.export_account)

    # Who may use it
    keys = asked(access.keys)
    create_key = asked(access.create_key)
    revoke_key = asked(access.revoke_key)
    users = asked(access.users)
    add_user = asked(access.add_user)
    set_password = asked(access.set_password)
    remove_user = asked(access.remove_user)
    rotate_tokens = asked(access.rotate_tokens)
    accounts = asked(access.accounts)
    change_account = asked(access.change_account)
    audit = asked(access.audit)
