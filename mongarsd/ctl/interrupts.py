"""Ctrl-C. A command ends of it with INTERRUPTED; a chat only stops what it is doing. Neither ever with a traceback."""

from __future__ import annotations

import os
import signal
from types import TracebackType

INTERRUPTED = 130  # as shells have it: 128 + SIGINT


def begin() -> None:
    """From now on the first Ctrl-C raises KeyboardInterrupt, and the next one ends the process."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # in the background it is ignored, and stays so
        signal.signal(signal.SIGINT, _raise)


def end() -> None:
    """Nothing is left that a KeyboardInterrupt could stop in good order."""
    if signal.getsignal(signal.SIGINT) is _raise:
        signal.signal(signal.SIGINT, _exit)


def _raise(*_: object) -> None:
    signal.signal(signal.SIGINT, _exit)
    raise KeyboardInterrupt


def _exit(*_: object) -> None:
    os._exit(INTERRUPTED)


class Stoppable:
    """Within `with`, Ctrl-C raises KeyboardInterrupt, once: pressed again while that is dealt with, or at any other
    time of its life, it stops nothing. For the main thread."""

    def __init__(self) -> None:
        self._armed = False
        self._before = signal.getsignal(signal.SIGINT)
        if self._before is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, self._pressed)

    def close(self) -> None:
        signal.signal(signal.SIGINT, self._before)

    def __enter__(self) -> None:
        self._armed = True

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._armed = False

    def _pressed(self, *_: object) -> None:
        if self._armed:
            self._armed = False
            raise KeyboardInterrupt
