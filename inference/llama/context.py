"""One llama.cpp context: the KV cells of all sequences, and the batch that a step is written into."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

from mongarsd.ground.errors import DoesNotFit
from mongarsd.inference.engine.base import NoRoom, Row
from mongarsd.inference.engine.portions import TILE
from mongarsd.inference.engine.speculation import LONGEST_DRAFT, MOST_STREAMS
from mongarsd.inference.llama.kernels import PlainKernels
from mongarsd.inference.llama.library import load_library, native_log
from mongarsd.inference.llama.model import Model

#: Most tokens a step may have (llama.cpp aborts above it); only a few bytes each.
MAX_BATCH = 2048
#: Tokens computed at once. The compute buffers grow with it; above 512 a CPU gains nothing.
MICRO_BATCH = 512
#: Outputs a step may have beside one for each slot.
DRAFTED = MOST_STREAMS * LONGEST_DRAFT


class Context:
    """`slots` sequences of `context` cells each. Not thread-safe. `close()` before its model."""

    def __init__(self, model: Model, *, slots: int, context: int, decode_threads: int, prefill_threads: int) -> None:
        """Allocate the cells. Raises DoesNotFit."""
        self._lib = lib = load_library()
        params = lib.llama_context_default_params()
        params.n_ctx = slots * context
        params.n_seq_max = slots
        # Each sequence has a buffer of its own, so that a row scans its own cells only: 1.3 times faster decoding at
        # 1, 4 and 8 streams of 1,000 tokens, 1.1 times at 200 (x86, one thread, SmolLM2-135M).
        params.kv_unified = False
        params.n_batch = MAX_BATCH
        params.n_ubatch = MICRO_BATCH
        # Only the last token of a row is sampled, and drafts. By default there is room for the logits of a whole
        # micro-batch: a compute buffer of 103 MB instead of 16 for a vocabulary of 49,000.
        params.n_outputs_max = self._most_outputs = slots + DRAFTED
        params.flash_attn_type = lib.LLAMA_FLASH_ATTN_TYPE_AUTO  # 1.1 to 1.4 times the prefill speed beside streams
        params.type_k = params.type_v = lib.GGML_TYPE_F16  # q8_0 halves prefill speed on a CPU
        # A sliding window's cells are kept too: sequences can be trimmed, copied and drafted for, and cells lie in the
        # order of their tokens, so that restored ones give the same bits. It costs what the same model would without a
        # window, and the estimate counts it so: Gemma 3 1B takes 218 MB a slot of 8,192 tokens instead of 57.
        params.swa_full = True
        params.n_threads = params.n_threads_batch = self._threads = decode_threads
        params.no_perf = True
        native_log().forget()
        self.plain_kernels = PlainKernels()
        with self.plain_kernels.caught():
            self.handle: Any = lib.llama_init_from_model(model.handle, params)
        if not self.handle:
            raise DoesNotFit(
                f"llama.cpp cannot make room for {slots} slots of {context} tokens"
                f" ({native_log().last_error or 'no reason given'}): choose fewer slots or a smaller context"
            )
        self._memory = lib.llama_get_memory(self.handle)
        self._slots = slots
        self.length = context
        self._limit = int(lib.llama_n_batch(self.handle))
        self.set_threads(decode_threads, prefill_threads)
        self._outputs: list[range] = []  # row number of the last step -> indices in the batch
        self._make_batch()

    def _make_batch(self) -> None:
        """The arrays are allocated once; `decode` overwrites tokens, positions, sequences and output flags."""
        lib, size = self._lib, self._limit
        self._token = (ctypes.c_int32 * size)()
        self._position = (ctypes.c_int32 * size)()
        self._sequence = (ctypes.c_int32 * size)()
        self._output = (ctypes.c_int8 * size)()
        counts = (ctypes.c_int32 * size)(*[1] * size)  # each token belongs to one sequence
        base, step = ctypes.addressof(self._sequence), ctypes.sizeof(ctypes.c_int32)
        addresses = (ctypes.c_void_p * size)(*range(base, base + size * step, step))
        self._keep = (counts, addresses)  # the batch holds bare pointers
        integers = ctypes.POINTER(ctypes.c_int32)
        self._batch = lib.llama_batch(
            token=ctypes.cast(self._token, integers),
            pos=ctypes.cast(self._position, integers),
            n_seq_id=ctypes.cast(counts, integers),
            seq_id=ctypes.cast(addresses, ctypes.POINTER(integers)),
            logits=ctypes.cast(self._output, ctypes.POINTER(ctypes.c_int8)),
        )

    def decode(self, rows: Sequence[Row]) -> None:
        """Compute one step. Raises NoRoom, or RuntimeError if the library fails.

        The rows are written in order of their sequences: with split cells llama.cpp computes only runs of
        consecutive sequence numbers together (`split_equal`), any gap or step back starts another micro-batch.
        """
        order = sorted(range(len(rows)), key=lambda index: rows[index].sequence)
        total = sum(len(row.tokens) for row in rows)
        self._check(rows, total)
        outputs = [range(0)] * len(rows)
        begin = 0
        for index in order:
            sequence, start, tokens, wanted, _ = rows[index]
            end = begin + len(tokens)
            if end - begin == 1:
                self._token[begin] = tokens[0]
                self._position[begin] = start
                self._sequence[begin] = sequence
            else:
                self._token[begin:end] = list(tokens)
                self._position[begin:end] = list(range(start, start + end - begin))
                self._sequence[begin:end] = [sequence] * (end - begin)
            outputs[index] = range(end - wanted, end)
            ctypes.memset(ctypes.byref(self._output, begin), 0, end - begin - wanted)
            ctypes.memset(ctypes.byref(self._output, end - wanted), 1, wanted)
            begin = end
        self._batch.n_tokens = total
        self._use_threads(self._decode_threads if total == sum(row.outputs for row in rows) else self._prefill_threads)
        self.plain_kernels.use(all(len(row.tokens) < TILE for row in rows) and _kernels_differ(rows))
        self._outputs = []
        code = self._lib.llama_decode(self.handle, self._batch)
        if code == 1:
            raise NoRoom
        if code:
            raise RuntimeError(f"llama_decode failed with code {code}: {native_log().last_error or 'no reason given'}")
        self._outputs = outputs

    def _check(self, rows: Sequence[Row], total: int) -> None:
        """llama.cpp aborts the process for each of these."""
        if self.handle is None:
            raise RuntimeError("the context is closed")
        if not 0 < total <= self._limit:
            raise ValueError(f"a step of {total} tokens: it must have 1 to {self._limit}")
        if sum(row.outputs for row in rows) > self._most_outputs:
            raise ValueError(f"a step has at most {self._most_outputs} outputs")
        for row in rows:
            size = len(row.tokens)
            if not size or not 0 <= row.sequence < self._slots or row.start < 0 or not 0 <= row.outputs <= size:
                raise ValueError(
                    f"no row can be: sequence {row.sequence}, start {row.start}, {size} tokens, {row.outputs} outputs"
                )

    def output(self, row: int, output: int = 0) -> int:
        """Where llama.cpp keeps output number `output` of row number `row` of the last step."""
        kept = self._outputs[row] if 0 <= row < len(self._outputs) else range(0)
        if not 0 <= output < len(kept):
            raise ValueError(f"row {row} of the last step has no output {output}")
        return kept[output]

    def trim(self, sequence: int, length: int) -> bool:
        """Keep the first `length` positions of a sequence; False if this kind of model cannot."""
        self._own(sequence)
        return bool(self._lib.llama_memory_seq_rm(self._memory, sequence, max(length, 0), -1))

    def copy(self, source: int, target: int) -> None:
        """Make `target` hold the whole of `source`. Split cells: a part of it would abort the process."""
        self._own(source)
        self._own(target)
        if source != target:
            self._lib.llama_memory_seq_cp(self._memory, source, target, -1, -1)

    def state(self, sequence: int, *, uncut: bool = False) -> memoryview:
        """A copy of the sequence's cells, in the library's own form (`state.py`).

        `uncut`: only its recurrent part and the cells of a sliding window; all of it if the model has neither.
        """
        self._own(sequence)
        flags = self._lib.LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY if uncut else 0
        size = int(self._lib.llama_state_seq_get_size_ext(self.handle, sequence, flags))
        buffer = bytearray(size)
        target = (ctypes.c_uint8 * size).from_buffer(buffer)
        written = int(self._lib.llama_state_seq_get_data_ext(self.handle, target, size, sequence, flags))
        return memoryview(buffer)[:written]

    def put_state(self, sequence: int, state: bytes) -> bool:
        """Replace the sequence's cells; False if the library refuses, then it is empty."""
        self._own(sequence)
        source = ctypes.cast(ctypes.c_char_p(state), ctypes.POINTER(ctypes.c_uint8))
        if self._lib.llama_state_seq_set_data(self.handle, source, len(state), sequence):
            return True
        self.trim(sequence, 0)
        return False

    def set_threads(self, decode: int, prefill: int) -> None:
        self._decode_threads, self._prefill_threads = max(1, decode), max(1, prefill)

    def _use_threads(self, threads: int) -> None:
        """llama.cpp takes `n_threads_batch` for every step of more than one token; here, that is still decoding."""
        if threads != self._threads:
            self._lib.llama_set_n_threads(self.handle, threads, threads)
            self._threads = threads

    def _own(self, sequence: int) -> None:
        if self.handle is None or not 0 <= sequence < self._slots:
            raise ValueError(f"there is no sequence {sequence}")

    def close(self) -> None:
        if self.handle:
            self._lib.llama_free(self.handle)
            self.handle = None
            self._outputs = []


def _kernels_differ(rows: Sequence[Row]) -> bool:
    """Would a row take another kernel beside others than alone? One of few streams, which may have a draft, and one
    whose sequence has no neighbour in the step, as it is computed by itself. Neighbours' single rows are alike."""
    step = {row.sequence for row in rows}
    return len(rows) <= MOST_STREAMS or any(not step & {number - 1, number + 1} for number in step)
