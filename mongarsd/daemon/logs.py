"""Logs for people, journals and machines. Never a prompt (nobody logs one), never a key (redacted here)."""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

import msgspec

from mongarsd.ground.settings import LogSettings

#: Our keys and tickets, the hub's tokens, and whatever follows "Bearer".
_SECRET = re.compile(r"\b(mg-|hf_|wst_)[A-Za-z0-9_-]{8,}|(?i:\b(bearer|basic)\s+)[A-Za-z0-9._~+/=-]{8,}")
#: A client chooses model names and header values: none of them may forge a second line or move the cursor.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
CONTINUED = "\n  | "  # no line of a message looks like a record of its own
_PRIORITY = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}  # syslog's numbers
_COLOUR = {"DEBUG": "2", "WARNING": "33", "ERROR": "31", "CRITICAL": "31;1"}


def redact(text: str) -> str:
    return _SECRET.sub(lambda match: f"{match[1] or match[2].strip() + ' '}***", text)


def plain(text: str) -> str:
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text).replace("\n", CONTINUED)


class HumanFormatter(logging.Formatter):
    """One line a record (more for a traceback): `21:04:05 warning pool: message`. The journal has its own clock."""

    def __init__(self, *, colour: bool = False, journal: bool = False) -> None:
        super().__init__()
        self._colour, self._journal = colour, journal

    def format(self, record: logging.LogRecord) -> str:
        where = record.name.removeprefix("mongarsd.").rpartition(".")[2] or record.name
        line = redact(f"{record.levelname.lower()} {where}: {plain(record.getMessage())}")
        if self._colour and (code := _COLOUR.get(record.levelname)):
            line = f"\x1b[{code}m{line}\x1b[0m"
        if not self._journal:
            line = f"{time.strftime('%H:%M:%S', time.localtime(record.created))} {line}"
        if record.exc_info:
            line += "\n" + redact(self.formatException(record.exc_info))
        if self._journal:  # sd-daemon(3): a priority at the start of each line
            priority = f"<{_PRIORITY.get(record.levelname, 6)}>"
            line = "\n".join(priority + part for part in line.split("\n"))
        return line


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (seconds since the epoch), level, logger, message, and error for a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        if record.exc_info:
            fields["error"] = redact(self.formatException(record.exc_info))
        return msgspec.json.encode(fields).decode()


def set_up(settings: LogSettings, environ: Mapping[str, str] = os.environ, stream: TextIO = sys.stderr) -> None:
    """(Re)configure the root logger; called at start and on every reload."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_formatter(settings, environ, stream))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
    logging.getLogger("asyncio").setLevel(logging.WARNING)  # its debug lines name every selector


def _formatter(settings: LogSettings, environ: Mapping[str, str], stream: TextIO) -> logging.Formatter:
    if settings.format == "json":
        return JsonFormatter()
    if settings.format == "auto" and _is_journal(environ, stream):
        return HumanFormatter(journal=True)
    return HumanFormatter(colour=stream.isatty() and "NO_COLOR" not in environ)


def _is_journal(environ: Mapping[str, str], stream: TextIO) -> bool:
    """systemd.exec(5): JOURNAL_STREAM is device:inode, inherited by children whose stream may be another by then."""
    try:
        stat = os.fstat(stream.fileno())
    except (OSError, ValueError):  # not a real file
        return False
    return environ.get("JOURNAL_STREAM") == f"{stat.st_dev}:{stat.st_ino}"
