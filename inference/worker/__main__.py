"""The worker process: `python -m mongarsd.inference.worker FD`, with one end of a socketpair as descriptor FD."""

from __future__ import annotations

import os
import socket
import sys

from mongarsd.ground.frames import FrameError
from mongarsd.inference.worker.pipe import Pipe
from mongarsd.inference.worker.process import adopt
from mongarsd.inference.worker.protocol import Load
from mongarsd.inference.worker.runners import open_runner
from mongarsd.inference.worker.shell import run


def main() -> int:
    adopt()
    pipe = Pipe(socket.socket(fileno=int(sys.argv[1])))
    messages = pipe.receive()
    load = next(messages, None)
    if not isinstance(load, Load):
        return 0
    try:
        run(load, open_runner, pipe, messages)
    except (ConnectionResetError, FrameError) as error:
        print(f"worker: the pipe broke: {error}", file=sys.stderr)  # noqa: T201
    os._exit(0)  # the daemon is gone: a decode in native code need not end first


if __name__ == "__main__":
    sys.exit(main())
