"""A file read by the child process of `extract.py`, seen from the daemon."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec

from mongarsd.ground.frames import Decoder
from mongarsd.memory.documents.protocol import Batch, CutChunk, Done, Failed, Message, Request
from mongarsd.memory.documents.structure import Unreadable

#: pypdf reads a PDF of 50 MB within 250 MB of address space, 60 of which are Python's own.
MEMORY = 512 * 1024 * 1024
#: A book of 1,000 pages takes 20 s on a Pi 4.
SECONDS = 300
#: Bytes that may come back: the longest text there may be, each character three bytes long and in two chunks.
MAX_OUTPUT = 128 * 1024 * 1024
PIECE = 64 * 1024
#: Of the environment; what else stands there, tokens among it, is nothing for who reads hostile files.
KEPT = frozenset(("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME", "PYTHONUTF8"))


async def read_chunks(
    path: Path, filename: str, *, most: int, overlap: int, memory: int = MEMORY, seconds: int = SECONDS
) -> AsyncGenerator[tuple[CutChunk, ...], None]:
    """The chunks of a file, a few at a time. Raises Unreadable. Closing the generator kills the child."""
    request = Request(str(path), filename, most, overlap, memory, seconds)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-P", "-m", "mongarsd.memory.documents.extract"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,  # a traceback may quote the file
        env={name: value for name, value in os.environ.items() if name in KEPT},
        start_new_session=True,  # Ctrl-C is for the daemon, which then ends it
    )
    assert process.stdin is not None
    assert process.stdout is not None
    decoder: Decoder[Message] = Decoder(Message)
    received = 0
    ended = False
    try:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            process.stdin.write(msgspec.msgpack.encode(request))
            process.stdin.write_eof()
        while data := await process.stdout.read(PIECE):
            if (received := received + len(data)) > MAX_OUTPUT:
                raise Unreadable(f"it is more than {MAX_OUTPUT // 1_000_000} MB of text: split it")
            for message in decoder.feed(data):
                if isinstance(message, Batch):
                    yield message.chunks
                elif isinstance(message, Failed):
                    raise Unreadable(message.message, supported=message.supported)
                else:
                    ended = isinstance(message, Done)
        code = await process.wait()
        if not ended:
            raise Unreadable(_why(code, seconds))
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.stdin.close()
        while await process.stdout.read(PIECE):
            pass  # wait() waits for the pipe's end too, which is not seen while its buffer is full
        await process.wait()


def _why(code: int, seconds: int) -> str:
    if -code in (signal.SIGALRM, signal.SIGXCPU):
        return f"reading it takes longer than {seconds} s"
    if -code == signal.SIGKILL:
        return "reading it takes more time or memory than this board has"
    return "its reader crashed on it"
