"""The turns of one chat, kept in this process only, and the slash commands on them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from mongarsd.ctl.exits import Exit, Failure

HELP = '''\
/help            this list
/clear           forget the conversation, keep the system prompt
/system [TEXT]   show the system prompt, or set it to TEXT
/save FILE       write the conversation to FILE (JSON)
/load FILE       go on with the conversation in FILE
/exit            leave (or Ctrl-D)
Ctrl-C stops an answer. A line that ends with \\ goes on; """ opens and closes
several lines. Begin with // to send a text that begins with a slash.'''


class Turn(msgspec.Struct, frozen=True):
    role: Literal["system", "user", "assistant"]
    content: str


class Leave(Exception):
    """The person wants to end the chat."""


class Conversation:
    def __init__(self, system: str = "") -> None:
        self.system = system
        self.turns: list[Turn] = []

    def messages(self) -> list[Turn]:
        """What is sent: the system prompt, then the turns."""
        return [Turn("system", self.system), *self.turns] if self.system else list(self.turns)

    def command(self, line: str) -> str:
        """Do "/name argument"; the answer is for the person. Raises Leave, or Failure for what cannot be done."""
        name, _, argument = line.removeprefix("/").partition(" ")
        commands: dict[str, Callable[[str], str]] = {
            "help": lambda _: HELP,
            "clear": self._clear,
            "system": self._system,
            "save": self._save,
            "load": self._load,
            "exit": self._leave,
            "quit": self._leave,
        }
        if name not in commands:
            raise Failure(f"/{name} is not a command; /help lists them", Exit.USAGE)
        return commands[name](argument.strip())

    def _clear(self, _: str) -> str:
        self.turns.clear()
        return "The conversation is forgotten."

    def _system(self, text: str) -> str:
        if not text:
            return self.system or "There is no system prompt."
        self.system = text
        return "The system prompt is set."

    def _save(self, name: str) -> str:
        path = _path(name)
        data = msgspec.json.format(msgspec.json.encode(self.messages()), indent=2) + b"\n"
        try:  # private, like everything that was said
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
                file.write(data)
        except OSError as error:
            raise Failure(f"{path} cannot be written: {error.strerror}") from error
        return f"{len(self.turns)} turns are saved in {path}."

    def _load(self, name: str) -> str:
        path = _path(name)
        try:
            turns = msgspec.json.decode(path.read_bytes(), type=list[Turn])
        except OSError as error:
            raise Failure(f"{path} cannot be read: {error.strerror}") from error
        except msgspec.MsgspecError as error:
            raise Failure(f"{path} holds no conversation: {error}") from error
        self.system = "\n".join(turn.content for turn in turns if turn.role == "system")
        self.turns = [turn for turn in turns if turn.role != "system"]
        return f"{len(self.turns)} turns are loaded from {path}."

    def _leave(self, _: str) -> str:
        raise Leave


def _path(name: str) -> Path:
    if not name:
        raise Failure("name a file, for example /save talk.json", Exit.USAGE)
    return Path(name).expanduser()
