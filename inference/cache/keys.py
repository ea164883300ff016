"""A block's key is a hash chain over all tokens up to its end: equal beginnings share their blocks."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence

SIZE = 16  # bytes: 128 bits of BLAKE2b
#: The parent of what follows nothing, wherever it stands: a checkpoint of a model without blocks.
ROOT = bytes(SIZE)
#: Raised when what a block holds changes; then older entries are foreign, and age out.
VERSION = 1


def seed(*facts: str) -> bytes:
    """The key before the first block: whatever must be equal for a block to fit (model, library build, layout)."""
    text = "\0".join((str(VERSION), *facts))
    return hashlib.blake2b(text.encode(), digest_size=SIZE).digest()


def branch(start: bytes, adapter: str) -> bytes:
    """The same for what an adapter (digest) computed; "" = the bare model."""
    return hashlib.blake2b(start + adapter.encode(), digest_size=SIZE).digest() if adapter else start


def checkpoint(key: bytes) -> bytes:
    """The key of the checkpoint at the end of a block."""
    return hashlib.blake2b(key + b"checkpoint", digest_size=SIZE).digest()


def chain(start: bytes, tokens: Sequence[int], block: int) -> list[bytes]:
    """The key of every whole block of `tokens`. About 1 µs a block."""
    keys = []
    for begin in range(0, len(tokens) - block + 1, block):
        digest = hashlib.blake2b(start, digest_size=SIZE)
        digest.update(array("i", tokens[begin : begin + block]).tobytes())
        start = digest.digest()
        keys.append(start)
    return keys
