"""`Client`: the calls over http.client, one connection a request. Closing it is how a request is cancelled."""

from __future__ import annotations

import itertools
import os
import socket
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from mongarsd.client.address import Address, Search
from mongarsd.client.call import MAX_ANSWER, PATIENCE, PIECE, SLOW, Call, Paged, Streamed, encoded, headers
from mongarsd.client.calls import access, chats, facts, files, history, node, responses, vectors
from mongarsd.client.errors import NotUnderstood
from mongarsd.client.form import FileForm
from mongarsd.client.methods import dressed
from mongarsd.client.refusal import Refused
from mongarsd.client.stream import Stream

if TYPE_CHECKING:
    from http.client import HTTPConnection, HTTPResponse

    from mongarsd.client.session.sync import Session

T = TypeVar("T")
P = ParamSpec("P")


class Transport:
    """Sends calls. It holds no connection: keep one for as long as you like, and share it among threads."""

    def __init__(
        self,
        url: str | None = None,
        *,
        key: str | None = None,
        socket: str | os.PathLike[str] | None = None,
        timeout: float = SLOW,
        retries: int = 2,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """The control socket of this machine unless `url` (http://HOST:PORT) or `socket` (also: its directory) says
        where; MONGARSD_SOCKET and MONGARSD_API_KEY count when they are not given.

        `timeout`: seconds of silence that any call may take at most. `retries`: how often a request that was refused
        for now (429, 503) is sent again, when the daemon says that this is worth it. Raises BadAddress.
        """
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

    def run(self, call: Call[T]) -> T:
        """Raises MongarsError, like every method."""
        with self._answer(call) as response:
            data = _whole(response)
        return call.answer(data)

    def session(self, *, patience: float = PATIENCE) -> Session:
        """One WebSocket for many answers, for a `with`: it outlives its connections. `patience`: seconds that it tries
        to connect again before it gives up; the daemon goes on for 60."""
        from random import Random

        from mongarsd.client.session.sync import Session

        chance = Random()  # noqa: S311  # of how long to wait
        return Session(self, patience, chance, self._sleep, time.monotonic)

    def _events(self, streamed: Streamed[T]) -> Generator[T, None, None]:
        reader = streamed.reader()
        with closing(self._pieces(streamed.call)) as pieces:
            for piece in pieces:
                yield from reader.feed(piece)
                if reader.ended:
                    return
        raise self.address.broke_off()

    def _pieces(self, call: Call[None]) -> Generator[bytes, None, None]:
        with self._answer(call) as response:
            while piece := response.read1(PIECE):
                yield piece
            _check_whole(response)

    def _pages(self, paged: Paged[T]) -> Iterator[T]:
        after: str | None = ""
        while after is not None:
            page = self.run(paged.page(after))
            yield from page.data
            after = (page.after or page.last_id) if page.has_more else None

    @contextmanager
    def _answer(self, call: Call[Any]) -> Iterator[HTTPResponse]:
        """The answer, before its body is read."""
        for tried in itertools.count():
            with self._exchange(call) as response:
                if call.takes(response.status):
                    yield response
                    return
                refused = Refused.of(response.status, response.headers.items(), _whole(response))
            if tried >= self._retries or (wait := refused.wait(tried)) is None:
                raise refused.error(self.address, call.path)
            self._sleep(wait)

    @contextmanager
    def _exchange(self, call: Call[Any]) -> Iterator[HTTPResponse]:
        from http.client import HTTPException  # 35 to 60 ms, not needed for --help

        timeout = min(call.timeout, self._timeout)
        connection = self._connect(timeout)
        begun = False
        try:
            with self._send(connection, call) as response:
                begun = True
                yield response
        except TimeoutError as error:
            raise self.address.silent(timeout) from error
        except (OSError, HTTPException) as error:
            raise self.address.broke(error, begun) from error
        finally:
            connection.close()

    def _send(self, connection: HTTPConnection, call: Call[Any]) -> HTTPResponse:
        sent = headers(call, self.address.key)
        body: Any = None
        if isinstance(call.body, FileForm):
            body = call.body
        elif "Content-Type" in sent:
            body = encoded(call.body)
        with suppress(BrokenPipeError, ConnectionResetError):  # refused before it was all sent: the answer says why
            connection.request(call.method, self.address.base + call.path, body, sent)
        return connection.getresponse()

    def _connect(self, timeout: float) -> HTTPConnection:
        from http.client import HTTPConnection, HTTPSConnection

        address = self.address
        if not address.url:
            connection = HTTPConnection("localhost", timeout=timeout)
            connection.sock = open_socket(address, timeout)
            return connection
        connection = (HTTPSConnection if address.tls else HTTPConnection)(address.host, address.port, timeout=timeout)
        try:
            connection.connect()
        except OSError as error:
            connection.close()
            raise address.unreachable(error) from error
        return connection


def _whole(response: HTTPResponse) -> bytes:
    data = response.read(MAX_ANSWER + 1)
    if len(data) > MAX_ANSWER:
        raise NotUnderstood(f"the answer has more than {MAX_ANSWER} bytes: is it mongarsd?")
    _check_whole(response)
    return data


def _check_whole(response: HTTPResponse) -> None:
    """http.client says nothing of a body that is shorter than announced, when it is read in pieces."""
    if response.length:
        raise ConnectionResetError(f"{response.length} bytes are missing")


def open_socket(address: Address, timeout: float) -> socket.socket:
    """A connection to the first control socket that answers. Raises MongarsError."""
    search = Search(address)
    for path in search.paths():
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(timeout)
        try:
            sock.connect(os.fspath(path))
        except OSError as error:
            sock.close()
            search.failed(path, error)
        else:
            return sock
    raise search.error()


def answering_socket(address: Address, timeout: float) -> str:
    """The path of the first control socket that answers. Raises MongarsError."""
    with open_socket(address, timeout) as found:
        return str(found.getpeername())


def asked(build: Callable[P, Call[T]]) -> Callable[Concatenate[Transport, P], T]:
    """The method that sends what `build` makes."""

    def method(self: Transport, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.run(build(*args, **kwargs))

    return dressed(method, build, "{}")


def streamed(build: Callable[P, Streamed[T]]) -> Callable[Concatenate[Transport, P], Stream[T]]:
    def method(self: Transport, /, *args: P.args, **kwargs: P.kwargs) -> Stream[T]:
        return Stream(self._events(build(*args, **kwargs)))

    return dressed(method, build, "Stream[{}]")


def paged(build: Callable[P, Paged[T]]) -> Callable[Concatenate[Transport, P], Iterator[T]]:
    def method(self: Transport, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        return self._pages(build(*args, **kwargs))

    return dressed(method, build, "Iterator[{}]")


def exported(build: Callable[P, Call[None]]) -> Callable[Concatenate[Transport, P], Stream[bytes]]:
    def method(self: Transport, /, *args: P.args, **kwargs: P.kwargs) -> Stream[bytes]:
        return Stream(self._pieces(build(*args, **kwargs)))

    return dressed(method, build, "Stream[bytes]")


class Client(Transport):
    """mongarsd, from Python. `AsyncClient` has the same methods; every one raises MongarsError.

    client = Client()  # or Client("http://raspberrypi.local:8420", key="mg-…")
    print(client.chat("What is a Pi?").text)
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
