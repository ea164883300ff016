"""Reading what a person types, with line editing and a history that stays private."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import ModuleType

from mongarsd.client.places import state_home

LONGEST = 1000  # lines of history


def history_file(environ: Mapping[str, str]) -> Path:
    return state_home(environ) / "mongarsctl" / "history"


class Keyboard:
    """Use as a context manager: the history is read on the way in and written on the way out."""

    def __init__(self, history: Path) -> None:
        self._history = history
        self._readline: ModuleType | None = None

    def __enter__(self) -> Keyboard:
        if sys.stdin.isatty() and sys.stdout.isatty():  # elsewhere input() does not use it
            try:
                import readline
            except ImportError:  # a Python built without it
                return self
            self._readline = readline
            readline.set_history_length(LONGEST)
            with suppress(OSError):  # the first time, or unreadable: the chat works without
                readline.read_history_file(self._history)
        return self

    def __exit__(self, *_: object) -> None:
        if not self._readline:
            return
        with suppress(OSError):  # a read-only home: nothing that the person could do now
            self._history.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self._history, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._readline.write_history_file(self._history)
            self._history.chmod(0o600)

    def line(self, prompt: str) -> str:
        """Raises EOFError at the end of input (Ctrl-D)."""
        if self._readline:
            return input(prompt)
        # Prompts must not end up in a redirected answer.
        print(prompt, end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line.removesuffix("\n")
