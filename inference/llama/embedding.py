"""A GGUF model that reads: several texts as sequences of one batch in, a vector or a score for each out."""

from __future__ import annotations

import ctypes
import math
from array import array
from collections.abc import Iterator, Sequence
from typing import Any

from mongarsd.ground.errors import DoesNotFit, InvalidModel
from mongarsd.inference.embed.batches import BUCKET, Tokens
from mongarsd.inference.llama.library import load_library, native_log
from mongarsd.inference.llama.model import Model

#: Tokens of several texts that are computed together. Attention looks at all pairs of a batch and masks those of
#: different texts: more would cost more than it gains.
RUN = 512
#: Tokens a step of a model with KV cells has: llama.cpp computes and keeps the logits of each (0.6 MB for a vocabulary
#: of 152,000), though nobody asks for them.
CHUNK = 128
#: llama.h, enum llama_pooling_type.
MEAN, LAST, RANK = 1, 3, 4


class Reader:
    """Used by one thread. `close()` before its model."""

    def __init__(self, model: Model, *, ranks: bool, context: int, decode_threads: int, prefill_threads: int) -> None:
        """`context`: tokens the longest text may have. Raises DoesNotFit, InvalidModel."""
        self._lib = lib = load_library()
        stored = model.metadata(f"{model.architecture}.pooling_type")
        pooling = RANK if ranks else int(stored) if stored and stored != "0" else MEAN
        causal = model.causal
        size = max(context, RUN)
        self._steps = CHUNK if causal and pooling in (LAST, RANK) else size
        params = lib.llama_context_default_params()
        params.n_ctx = size
        params.n_seq_max = RUN // BUCKET
        params.kv_unified = True
        params.n_batch = params.n_ubatch = self._steps  # a text is seen as a whole, but for causal models' last token
        params.embeddings = True
        params.pooling_type = pooling
        params.flash_attn_type = lib.LLAMA_FLASH_ATTN_TYPE_AUTO
        params.n_threads = params.n_threads_batch = prefill_threads
        params.no_perf = True
        native_log().forget()
        self.handle: Any = lib.llama_init_from_model(model.handle, params)
        if not self.handle:
            reason = native_log().last_error or "no reason given"
            raise DoesNotFit(
                f"llama.cpp cannot make room for {size} tokens ({reason}): set a smaller inference.context"
            )
        self._memory = lib.llama_get_memory(self.handle)
        self._size, self._most = size, int(params.n_seq_max)
        self._ranks, self._softmax = ranks, model.architecture == "qwen3"  # llama.cpp makes a probability of its yes
        self.width = 1 if ranks else int(lib.llama_model_n_embd_out(model.handle))
        self.set_threads(decode_threads, prefill_threads)
        probe = self.vectors([array("i", (0, 0))])
        if len(probe[0]) != 4 * self.width:
            raise InvalidModel("The model gives vectors of another length than it says.")

    def vectors(self, texts: Sequence[Tokens]) -> list[bytes]:
        """float32, little-endian: of length 1, or one score from 0 to 1. Raises InvalidModel for no numbers."""
        if self.handle is None or not 0 < len(texts) <= self._most or not 0 < sum(map(len, texts)) <= self._size:
            raise ValueError(f"{len(texts)} texts of {sum(map(len, texts))} tokens cannot be computed together")
        if self._memory:
            self._lib.llama_memory_clear(self._memory, False)
        found: dict[int, bytes] = {}
        for step in _steps(texts, self._steps):
            self._compute(step)
            for sequence, _, _ in step:
                found[sequence] = self._take(sequence)  # of a text in several steps, the last one's stays
        return [found[sequence] for sequence in range(len(texts))]

    def _compute(self, step: list[tuple[int, int, Tokens]]) -> None:
        token = array("i", (token for _, _, tokens in step for token in tokens))
        position = array("i", (place for _, start, tokens in step for place in range(start, start + len(tokens))))
        sequence = array("i", (number for number, _, tokens in step for _ in tokens))
        size, width = len(token), sequence.itemsize
        numbers = [(ctypes.c_int32 * size).from_buffer(values) for values in (token, position, sequence)]
        counts = (ctypes.c_int32 * size)(*[1] * size)
        base = ctypes.addressof(numbers[2])
        addresses = (ctypes.c_void_p * size)(*range(base, base + size * width, width))
        outputs = (ctypes.c_int8 * size)(*[1] * size)
        integers = ctypes.POINTER(ctypes.c_int32)
        batch = self._lib.llama_batch(
            n_tokens=size,
            token=ctypes.cast(numbers[0], integers),
            pos=ctypes.cast(numbers[1], integers),
            n_seq_id=ctypes.cast(counts, integers),
            seq_id=ctypes.cast(addresses, ctypes.POINTER(integers)),
            logits=ctypes.cast(outputs, ctypes.POINTER(ctypes.c_int8)),
        )
        compute = self._lib.llama_decode if self._memory else self._lib.llama_encode
        if code := compute(self.handle, batch):
            raise RuntimeError(f"llama.cpp failed with code {code}: {native_log().last_error or 'no reason given'}")

    def _take(self, sequence: int) -> bytes:
        pointer = self._lib.llama_get_embeddings_seq(self.handle, sequence)
        if not pointer:
            raise InvalidModel("The model gives no vector for a text: it is not usable.")
        numbers: list[float] = pointer[: self.width]
        if not all(map(math.isfinite, numbers)):
            raise InvalidModel("The model gave no numbers for a text: it is not usable.")
        if self._ranks:
            return array("f", [numbers[0] if self._softmax else sigmoid(numbers[0])]).tobytes()
        length = math.hypot(*numbers) or 1.0
        return array("f", [number / length for number in numbers]).tobytes()

    def set_threads(self, decode: int, prefill: int) -> None:  # noqa: ARG002 - a reader only prefills
        self._lib.llama_set_n_threads(self.handle, max(1, prefill), max(1, prefill))

    def close(self) -> None:
        if self.handle:
            self._lib.llama_free(self.handle)
            self.handle = None


def _steps(texts: Sequence[Tokens], most: int) -> Iterator[list[tuple[int, int, Tokens]]]:
    """(sequence, position of the first token, tokens) of `most` tokens together; only what is too long is cut."""
    step: list[tuple[int, int, Tokens]] = []
    room = most
    for sequence, tokens in enumerate(texts):
        start = 0
        while start < len(tokens):
            part = tokens[start : start + room]
            step.append((sequence, start, part))
            start += len(part)
            room -= len(part)
            if not room:
                yield step
                step, room = [], most
    if step:
        yield step


def sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit)) if logit >= 0 else math.exp(logit) / (1 + math.exp(logit))
