"""The vocabulary of an ONNX chat model: what `inference.engine.prompts` and the engine need, from tokenizer.json."""

from __future__ import annotations

import functools
import json
import os
import re
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mongarsd.ground.errors import InvalidModel
from mongarsd.inference.grammar.words import Words

#: Names that end an answer wherever they exist, as llama.cpp takes them (llama-vocab.cpp, `special_eog_ids`).
ENDS = (
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<end_of_turn>", "<|endoftext|>", "<|eom_id|>",
    "<EOT>", "<|end_of_text|>", "<end_of_utterance>", "<eos>",
)  # fmt: skip
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


class HubVocabulary:
    """Thread-safe. Implements `mongarsd.inference.engine.prompts.Vocabulary`."""

    def __init__(self, path: str, ends: Iterable[int], *, bos: str, eos: str, suppressed: Iterable[int] = ()) -> None:
        """`ends`: further tokens that end an answer; `bos`, `eos`: names, or "". Raises InvalidModel."""
        os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the cores belong to the model
        import tokenizers  # 10 MB that only this worker needs

        try:
            self._tokenizer = tokenizers.Tokenizer.from_file(path)
            self._tokenizer.no_padding()
            self._tokenizer.no_truncation()
            words: dict[str, int] = self._tokenizer.get_vocab(with_added_tokens=True)
            added = self._tokenizer.get_added_tokens_decoder()
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # the library panics with a class of its own, outside Exception
            raise InvalidModel(f"The tokenizer of the model cannot be used: {str(error)[:300]}") from None
        self._lock = threading.Lock()  # around the tokenizer's one switch
        self._words = {number: word for word, number in words.items()}
        self.size = max(self._words, default=-1) + 1
        self.bos, self.eos = words.get(bos, -1), words.get(eos, -1)
        self._written = {number: token.content for number, token in added.items() if not token.special}
        names = {words[name] for name in (*ENDS, eos) if name in words}
        self.ends = frozenset(names.union(ends).intersection(self._words))
        self.control = frozenset(number for number, token in added.items() if token.special)
        self.suppressed = frozenset(suppressed).intersection(self._words)
        self._add_bos = self.bos >= 0 and self._tokenizer.encode("").ids[:1] == [self.bos]
        kinds = set(_kinds(json.loads(Path(path).read_bytes()).get("decoder")))
        if kinds - KNOWN or not kinds:
            raise InvalidModel(f"The tokenizer of the model writes text in a way not supported: {sorted(kinds)}.")
        self._letters = _letters() if "ByteLevel" in kinds else None

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        clean = text.encode("utf-8", "replace").decode()
        with self._lock:
            self._tokenizer.encode_special_tokens = not special
            ids: list[int] = self._tokenizer.encode(clean, add_special_tokens=False).ids
        return ids

    def begin(self, tokens: list[int]) -> list[int]:
        return [self.bos, *tokens] if self._add_bos and tokens[:1] != [self.bos] else tokens

    def piece(self, token: int) -> bytes:
        """The token's bytes; b"" for control tokens, the tag itself for others that were added, such as <think>."""
        word = self._words.get(token)
        if word is None or token in self.control:
            return b""
        if token in self._written:
            return self._written[token].encode()
        if self._letters is None:
            found = _BYTE.fullmatch(word)
            return bytes.fromhex(found[1]) if found else word.replace("▁", " ").encode()
        return b"".join(self._letters.get(letter) or letter.encode() for letter in word)

    @functools.cached_property
    def longest(self) -> int:
        return max((len(word.encode()) for word in self._words.values()), default=1)

    @functools.cached_property
    def words(self) -> Words:
        """What each token is to a grammar. Made for the first one: 0.2 s for 49,000 tokens (x86)."""
        unspoken = self.control | self.ends
        return Words([b"" if token in unspoken else self.piece(token) for token in range(self.size)])

    def name(self, token: int) -> str:
        return self._words.get(token, "")

    def named(self, names: Iterable[str]) -> dict[int, bytes]:
        wanted = set(names)
        return {token: name.encode() for token in self.control if (name := self.name(token)) in wanted}

    def first_outside(self, tokens: Iterable[int]) -> int | None:
        return next((token for token in tokens if not 0 <= token < self.size), None)

    #: Of no export yet.
    infill = None

    def control_text(self) -> re.Pattern[str] | None:
        names = sorted(filter(None, map(self.name, self.control | self.ends)), key=len, reverse=True)
        return re.compile("|".join(map(re.escape, names))) if names else None


#: Decoders whose tokens have bytes of their own, whatever stands beside them.
KNOWN = frozenset({"ByteLevel", "Sequence", "Replace", "ByteFallback", "Fuse", "Strip", "Metaspace"})


def _kinds(decoder: Any) -> Iterator[str]:
    if isinstance(decoder, dict):
        yield str(decoder.get("type"))[:40]
        for part in decoder.get("decoders") or ():
            yield from _kinds(part)


def _letters() -> dict[str, bytes]:
    """GPT-2's letters for bytes: printable ones stand for themselves, the others for 256 and up."""
    own = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in own]
    table = {chr(byte): bytes([byte]) for byte in own}
    return table | {chr(256 + index): bytes([byte]) for index, byte in enumerate(others)}
