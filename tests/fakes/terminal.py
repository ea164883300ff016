"""A program on a pseudo-terminal of its own: what a person types and sees, and Ctrl-C as the kernel does it."""

from __future__ import annotations

import codecs
import contextlib
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Sequence

CTRL_C, CTRL_D = "\x03", "\x04"

#: A session leader that opens a terminal gets it as its controlling terminal: that is what makes Ctrl-C a signal.
#: Who started the tests in the background (`make test &`) has them ignore it, and ignoring is inherited.
_LAUNCH = (
    "import os, signal, sys\n"
    "signal.signal(signal.SIGINT, signal.SIG_DFL)\n"
    "fd = os.open(sys.argv[1], os.O_RDWR)\n"
    "for number in range(3): os.dup2(fd, number)\n"
    "os.execv(sys.argv[2], sys.argv[2:])\n"
)


class Terminal:
    """Use as a context manager; the program is killed if it is still there at the end."""

    def __init__(self, command: Sequence[str], env: dict[str, str]) -> None:
        self._master, slave = pty.openpty()
        self.screen = ""
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode  # a read may end within a letter
        self.process = subprocess.Popen(
            [sys.executable, "-c", _LAUNCH, os.ttyname(slave), *command],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._slave = slave  # open until the program has it too, or the first read finds nobody there

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._slave)
        os.close(self._master)

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def until(self, text: str, seconds: float = 20.0) -> str:
        """What came up to and with `text`; AssertionError with the screen if it does not come."""
        end = time.monotonic() + seconds
        while text not in self.screen:
            left = end - time.monotonic()
            assert left > 0, f"{text!r} did not come: {self.screen!r}"
            if select.select([self._master], [], [], left)[0]:
                self.screen += self._decode(os.read(self._master, 65_536))
        seen, _, self.screen = self.screen.partition(text)
        return seen + text

    def press(self, key: str, text: str) -> None:
        """Press until `text` comes or the program has ended, as a person does: a Ctrl-C in the instant before a program
        waits is not heard, and one that comes later takes along what was written and not yet read."""
        for _ in range(20):
            self.type(key)
            try:
                self.until(text, 1.0)
            except AssertionError:
                if self.process.poll() is None:
                    continue
            return
        raise AssertionError(f"{text!r} did not come: {self.screen!r}")

    def end(self, key: str = "", seconds: float = 20.0) -> int:
        """The exit code. `key` is pressed until the program has ended."""
        for _ in range(20 if key else 0):
            self.type(key)
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self.process.wait(seconds / 20)
        return self.process.wait(seconds)
