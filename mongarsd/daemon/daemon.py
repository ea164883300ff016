"""The life of the process: sockets, start, signals, reload, drain, end. The parts themselves are in `Node`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

from mongarsd import __version__
from mongarsd.api.front import Front
from mongarsd.daemon import logs
from mongarsd.daemon.address import Address
from mongarsd.daemon.config import NO_KEY, Config
from mongarsd.daemon.descriptors import allow
from mongarsd.daemon.footprint import settle
from mongarsd.daemon.listen import bind_all, bind_control, bind_ollama, bound_address, control_path
from mongarsd.daemon.notify import Notifier, inherited_sockets
from mongarsd.daemon.reload import merge
from mongarsd.daemon.wire import Node
from mongarsd.ground.errors import SettingsError, StartError
from mongarsd.ground.tasks import Tasks

log = logging.getLogger(__name__)

#: Seconds for answers that were told to end to write their last words; then their connections are cut.
LAST_WORDS = 1.0


class Daemon:
    """`start()`, `run()` until a signal or a death, `close()`. A second SIGINT or SIGTERM ends the drain at once."""

    def __init__(self, config: Config, state: Path, load: Callable[[], Config], backend: str = "llama") -> None:
        self._config, self._state, self._load, self._backend = config, state, load, backend
        self._notifier = Notifier()
        self._ending = asyncio.Event()
        self._hurry = asyncio.Event()
        self._died = False
        self._tasks = Tasks("daemon", self._death)
        self._addresses: tuple[Address, ...] = ()  # where the node listens
        self._fronts: list[Front] = []
        self._node: Node | None = None
        self._parts = contextlib.AsyncExitStack()  # closes in reverse order what was started
        self._parts.callback(self._notifier.close)

    async def start(self) -> None:
        """Raises StartError, SettingsError; then `close()` gives back what was taken."""
        self._handle_signals()
        settings = self._config.settings
        allow(settings.server.max_connections)
        tcp = self._hold(inherited_sockets() or bind_all(settings.server.listen))
        tcp += self._hold(bind_ollama([bound_address(sock) for sock in tcp], settings.server.ollama_port))
        control_file = control_path(settings.control.socket, os.environ, self._state)
        (control,) = self._hold([bind_control(control_file, settings.control.group)])
        self._parts.callback(control_file.unlink, missing_ok=True)
        self._addresses = addresses = tuple(bound_address(sock) for sock in tcp)
        node = Node(self._config, self._state, addresses, self._notifier.status, self._death, self._backend)
        self._node = node
        self._parts.push_async_callback(node.close)
        await node.start()
        if missing := self._missing_key(self._config):  # only now: keys are in the database
            raise StartError(missing)
        for name, app, sockets in (("tcp", node.public(), tcp), ("control", node.control(), [control])):
            front = Front(app, name)
            self._fronts.append(front)  # closed by `_drain`, which takes a bounded time
            await front.start(sockets)
        self._parts.push_async_callback(self._tasks.close)
        self._tasks.spawn("watchdog", self._notifier.watchdog())
        settle()
        where = ", ".join(f"http://{address}" for address in addresses) or "its control socket only"
        log.info("mongarsd %s listens on %s", __version__, where)
        self._notifier.ready()
        node.begin()

    async def run(self) -> int:
        """The exit code: 0 after a signal, 1 when a background task died."""
        await self._ending.wait()
        self._notifier.stopping()
        return 1 if self._died else 0

    async def close(self) -> None:
        """Drain, then close everything in reverse order. Idempotent."""
        if self._node and self._fronts:
            await self._drain(self._node)
        await self._parts.aclose()

    async def _drain(self, node: Node) -> None:
        fronts, self._fronts = self._fronts, []
        seconds = self._config.settings.server.drain
        log.info("stopping; running answers may finish for %g s", seconds)
        await node.stop_pulling()
        drained: asyncio.Task[object] = asyncio.create_task(_close_all(fronts), name="daemon.drain")
        hurry: asyncio.Task[object] = asyncio.create_task(self._hurry.wait(), name="daemon.hurry")
        await asyncio.wait((drained, hurry), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if not drained.done():
            log.warning("running answers are cut")
            await node.close()  # each of them gets an error event, and ends
            await asyncio.wait((drained,), timeout=LAST_WORDS)
        drained.cancel()
        hurry.cancel()
        await asyncio.wait((drained, hurry))

    def _hold(self, sockets: list[socket.socket]) -> list[socket.socket]:
        for sock in sockets:
            self._parts.callback(sock.close)
        return sockets

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, number)
        loop.add_signal_handler(signal.SIGHUP, self._reload)

    def _missing_key(self, config: Config) -> str:
        """Why these settings would leave the node open to others, or "". Looks at the sockets themselves: systemd's are
        in no settings, and a reload does not move those that are bound."""
        beyond = [address for address in self._addresses if not address.loopback]
        if not beyond or config.settings.server.key_hashes or (self._node and self._node.has_keys):
            return ""
        return NO_KEY.format(address=beyond[0])

    def _stop(self, number: int) -> None:
        log.info("got %s", signal.Signals(number).name)
        if self._ending.is_set():
            self._hurry.set()
        self._ending.set()

    def _death(self, task: str, error: BaseException) -> None:
        log.critical("the daemon ends because its task %s died: %r", task, error)
        self._died = True
        self._ending.set()

    def _reload(self) -> None:
        """A broken file keeps the settings that are in force, and the log says so."""
        self._notifier.reloading()
        try:
            config, applied, waiting = merge(self._config, self._load())
            if missing := self._missing_key(config):
                raise SettingsError(missing)
            allow(config.settings.server.max_connections)
        except SettingsError as error:
            for line in error.message.splitlines():
                log.error("%s", line)
            log.error("settings not reloaded: those in force stay")
        else:
            self._config = config
            logs.set_up(config.settings.log)
            if self._node:
                self._node.apply(config)
            log.info("settings reloaded: %s", ", ".join(applied) or "nothing changed")
            if waiting:
                log.warning("these changed settings need a restart: %s", ", ".join(waiting))
        self._notifier.ready()


async def _close_all(fronts: list[Front]) -> None:
    await asyncio.gather(*(front.close() for front in fronts))
