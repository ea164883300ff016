"""The vocabulary: text to tokens, tokens to bytes, and which tokens mean something."""

from __future__ import annotations

import ctypes
import functools
import re
from collections.abc import Iterable
from typing import Any

from mongarsd.inference.llama.firstbytes import FirstBytes
from mongarsd.inference.llama.library import load_library


class Vocabulary:
    """Thread-safe, as llama.cpp's tokenizer is. `handle` belongs to the model."""

    def __init__(self, handle: Any) -> None:
        self.handle = handle
        self._lib = lib = load_library()
        self.size = int(lib.llama_vocab_n_tokens(handle))
        self.bos = int(lib.llama_vocab_bos(handle))  # -1 = none
        self.eos = int(lib.llama_vocab_eos(handle))
        self._add_bos = bool(lib.llama_vocab_get_add_bos(handle)) and self.bos >= 0
        self._pieces: dict[int, bytes] = {}
        # One pass while loading (15 ms for 49,000 tokens), so that no request waits for it.
        unspoken = lib.LLAMA_TOKEN_ATTR_CONTROL | lib.LLAMA_TOKEN_ATTR_UNKNOWN
        get_attr, is_end = lib.llama_vocab_get_attr, lib.llama_vocab_is_eog
        everything = range(self.size)
        self.ends = frozenset(token for token in everything if is_end(handle, token))
        self.suppressed = self._suppressed()
        self.control = frozenset(token for token in everything if get_attr(handle, token) & unspoken)

    def _suppressed(self) -> frozenset[int]:
        """Tokens the model must never produce, as its file says."""
        count = ctypes.c_int32(0)
        found = self._lib.llama_vocab_get_suppress_tokens(self.handle, ctypes.byref(count))
        return frozenset(found[: count.value]) if count.value > 0 else frozenset()

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        """Tokens of `text`, nothing added. `special`: text such as <|im_end|> becomes the token of that name."""
        data = text.encode("utf-8", "replace")
        count = len(data) + 16  # a token is at least a byte; some tokenizers put a space before
        buffer = (ctypes.c_int32 * count)()
        found = self._lib.llama_tokenize(self.handle, data, len(data), buffer, count, False, special)
        if found < 0:  # a normalizer made the text longer
            count = -found
            buffer = (ctypes.c_int32 * count)()
            found = self._lib.llama_tokenize(self.handle, data, len(data), buffer, count, False, special)
        return buffer[: max(found, 0)]

    def begin(self, tokens: list[int]) -> list[int]:
        """With the beginning-of-sequence token where the model wants one, but never twice.

        No end token is ever added, whatever the model's `add_eos_token` says: a prompt is there to be continued.
        """
        if self._add_bos and tokens[:1] != [self.bos]:
            return [self.bos, *tokens]
        return tokens

    def around(self) -> tuple[list[int], list[int]]:
        """The special tokens before and after a text that is only read."""
        data, plain = b"a", self.tokenize("a", special=False)
        buffer = (ctypes.c_int32 * 16)()
        found = buffer[: max(self._lib.llama_tokenize(self.handle, data, len(data), buffer, 16, True, False), 0)]
        for start in range(len(found) - len(plain) + 1):
            if found[start : start + len(plain)] == plain:
                return found[:start], found[start + len(plain) :]
        return [], []

    def between(self) -> list[int]:
        """The special tokens between two texts that are read together."""
        lib, handle = self._lib, self.handle
        separator = int(lib.llama_vocab_sep(handle))
        end = [self.eos if self.eos >= 0 else separator] if lib.llama_vocab_get_add_eos(handle) else []
        return [token for token in (*end, *([separator] if lib.llama_vocab_get_add_sep(handle) else [])) if token >= 0]

    def piece(self, token: int) -> bytes:
        """The token's bytes; b"" for control tokens, the tag itself for user-defined ones such as <think>."""
        try:
            return self._pieces[token]
        except KeyError:
            return self._pieces.setdefault(token, self._read(token))

    @functools.cached_property
    def longest(self) -> int:
        """Bytes of text that one token may stand for. Reads the whole vocabulary: 0.1 s for 49,000 tokens."""
        written = max((len(self.name(token).encode()) for token in self.control | self.ends), default=0)
        return max(written, *(len(self.piece(token)) for token in range(self.size)))

    @functools.cached_property
    def first_bytes(self) -> FirstBytes:
        """Made for the first grammar."""
        return FirstBytes(self.handle, self.size, self.control)

    def name(self, token: int) -> str:
        """A special token's text, e.g. <|im_end|>; "" if the model has no such token (-1)."""
        if not 0 <= token < self.size:
            return ""
        return (self._lib.llama_vocab_get_text(self.handle, token) or b"").decode("utf-8", "replace")

    def named(self, names: Iterable[str]) -> dict[int, bytes]:
        """The control tokens of these names, with their text."""
        wanted = set(names)
        return {token: name.encode() for token in self.control if (name := self.name(token)) in wanted}

    def first_outside(self, tokens: Iterable[int]) -> int | None:
        """The first of `tokens` that is none of the model's; None if all are."""
        size = self.size
        return next((token for token in tokens if not 0 <= token < size), None)

    @property
    def infill(self) -> tuple[int, int, int] | None:
        """The tokens before, after and in the place of a gap in a text; None if the model has none."""
        pre, suf, mid = (
            int(find(self.handle))
            for find in (self._lib.llama_vocab_fim_pre, self._lib.llama_vocab_fim_suf, self._lib.llama_vocab_fim_mid)
        )
        return (pre, suf, mid) if min(pre, suf, mid) >= 0 else None

    def control_text(self) -> re.Pattern[str] | None:
        """Matches any text that `tokenize(special=True)` turns into a control or end token; None if there is none."""
        names = sorted(filter(None, map(self.name, self.control | self.ends)), key=len, reverse=True)
        return re.compile("|".join(map(re.escape, names))) if names else None

    def _read(self, token: int) -> bytes:
        if not 0 <= token < self.size:
            raise ValueError(f"token {token} is outside the vocabulary of {self.size}")
        read, special = self._lib.llama_token_to_piece, False
        buffer = ctypes.create_string_buffer(64)
        length = read(self.handle, token, buffer, len(buffer), 0, special)
        if length < 0:
            buffer = ctypes.create_string_buffer(-length)
            length = read(self.handle, token, buffer, len(buffer), 0, special)
        return buffer.raw[: max(length, 0)]
