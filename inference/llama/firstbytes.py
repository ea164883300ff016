"""Tokens by the first byte of their text: what a grammar refuses of a byte, it refuses of every token that begins so.

To ask a grammar about all of SmolLM2's 49,000 tokens costs 11 ms (x86), about those that are one byte long 0.1 ms.
"""

from __future__ import annotations

import array
import ctypes
from typing import Any

from mongarsd.inference.llama.library import load_library

_ROOM = 256  # bytes; a longer token's first byte is not looked at


class FirstBytes:
    """`probes`: for a byte, the token that is this byte; `groups`: for each of them, all tokens that begin so.

    `others`: tokens whose first byte is no token. Control tokens, and those without text, are in none of them.
    """

    def __init__(self, vocabulary: Any, size: int, control: frozenset[int]) -> None:
        """One pass over the vocabulary: 70 ms for 49,000 tokens (x86). `vocabulary` is llama.cpp's handle."""
        read = load_library().llama_token_to_piece
        buffer = ctypes.create_string_buffer(_ROOM)
        groups: dict[int, array.array[int]] = {}
        self.probes: dict[int, int] = {}
        self.others = array.array("i")
        for token in range(size):
            if token in control or not (length := read(vocabulary, token, buffer, _ROOM, 0, True)):
                continue
            if length < 0:
                self.others.append(token)
                continue
            byte = buffer[0][0]
            groups.setdefault(byte, array.array("i")).append(token)
            if length == 1:
                self.probes.setdefault(byte, token)
        for byte in groups.keys() - self.probes.keys():
            self.others.extend(groups.pop(byte))
        self.groups = groups
