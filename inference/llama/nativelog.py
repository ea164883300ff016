"""llama.cpp's own log lines, as Python log records."""

from __future__ import annotations

import logging
from typing import Any

log = logging.getLogger(__name__)

#: ggml.h, enum ggml_log_level. Debug and info are dropped: hundreds of lines a load, and debug may show prompts.
WARN, ERROR, CONTINUE = 3, 4, 5
#: Warnings are mostly hints to developers ("n_ctx_seq < n_ctx_train"), so they are only information here.
LEVELS = {WARN: logging.INFO, ERROR: logging.ERROR}
MAX_LINE = 500  # characters


class NativeLog:
    """A log callback. `last_error` is the latest complete error line since `forget()`, for messages of exceptions."""

    def __init__(self) -> None:
        self.last_error = ""
        self._level = 0
        self._line = ""

    def forget(self) -> None:
        self.last_error = ""

    def __call__(self, level: int, text: bytes, _user_data: Any) -> None:
        self._level = self._level if level == CONTINUE else level
        if self._level not in LEVELS:
            return
        *lines, self._line = (self._line + text.decode("utf-8", "replace")).split("\n")
        for line in lines:
            if line := clean(line):
                if self._level == ERROR:
                    self.last_error = line
                log.log(LEVELS[self._level], "%s", line)


def clean(line: str) -> str:
    """One printable line of bounded length: file names and GGUF strings are not ours."""
    return "".join(c if c.isprintable() else "?" for c in line.strip())[:MAX_LINE]
