"""`python -m mongarsd.memory.documents.extract`: the child that reads one file. A request comes in, chunks go out.

A process of its own, because files come from strangers and a PDF may ask for any time and memory: it gets so much of
both, may write no file, is the first to go when memory is short, and ends by itself.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import msgspec

from mongarsd.ground.frames import Encoder
from mongarsd.memory.documents.chunks import cut
from mongarsd.memory.documents.formats import reader_for
from mongarsd.memory.documents.protocol import Batch, CutChunk, Done, Failed, Message, Request
from mongarsd.memory.documents.structure import Document, Unreadable

#: Characters of text in a file. A long novel has 3 million, the King James Bible 4.
MAX_TEXT = 20_000_000
HEAD = 1024  # bytes that tell the format
BATCH = 32  # chunks in a message
NICE = 10


def main() -> None:
    request = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Request)
    confine(request)
    frame = Encoder().frame
    for message in answer(request):
        sys.stdout.buffer.write(frame(message))
    sys.stdout.buffer.flush()


def answer(request: Request) -> Iterator[Message]:
    """Batches and Done, or Failed at any point."""
    failed: Failed | None = None
    try:
        document = read(Path(request.path), request.filename)
        chunks = cut(document, most=request.most, overlap=request.overlap)
        while batch := tuple(islice(chunks, BATCH)):
            yield Batch(
                tuple(
                    CutChunk(document.text[one.start : one.end], one.start, one.end, one.tokens, one.headings, one.page)
                    for one in batch
                )
            )
        yield Done(len(document.text))
    except Unreadable as error:
        failed = Failed(str(error), error.supported)
    except MemoryError:
        failed = Failed(f"reading it takes more than {request.memory // 1_000_000} MB of memory", supported=True)
    except RecursionError:
        failed = Failed("it is nested too deeply", supported=True)
    if failed:  # outside of the handlers, where what filled the memory is still held
        yield failed


def read(path: Path, filename: str) -> Document:
    """Raises Unreadable."""
    data = path.read_bytes()
    document = reader_for(filename, data[:HEAD])(data)
    if len(document.text) > MAX_TEXT:
        raise Unreadable(f"it has {len(document.text)} characters of text, and {MAX_TEXT} are allowed: split it")
    if not document.text.strip():
        raise Unreadable("there is no text in it")
    return document


def confine(request: Request) -> None:
    """From here on this process can harm nobody for long."""
    os.nice(NICE)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    signal.alarm(request.seconds)
    for kind, limit in (
        (resource.RLIMIT_AS, request.memory),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (limit, limit))
    # at the first limit comes SIGXCPU, which says what happened; at the second SIGKILL
    resource.setrlimit(resource.RLIMIT_CPU, (request.seconds, request.seconds + 1))


if __name__ == "__main__":
    main()
