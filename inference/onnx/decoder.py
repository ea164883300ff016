"""An ONNX decoder in onnxruntime: tokens of sequences in, logits out, the caches bound in place."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from mongarsd.ground.errors import InvalidModel
from mongarsd.inference.engine.base import BLOCK, Row
from mongarsd.inference.models.onnx import read_onnx
from mongarsd.inference.models.onnx_decoder import DecoderHeader
from mongarsd.inference.onnx.cells import Array, Cells, GrownCells, SharedCells
from mongarsd.inference.onnx.runtime import give_back, one_line, options, providers
from mongarsd.inference.onnx.weights import together
from mongarsd.inference.worker.protocol import Load

log = logging.getLogger(__name__)

#: Tokens of a run: a tile of the engine's, so that a prompt is computed alike however a step cuts it, and so that the
#: logits, which most exports make for every token, stay small (13 MB for 49,152 words).
RUN = BLOCK

SLOW = (
    "{} of the model's MatMulNBits lack accuracy_level=4: they multiply floats, which is slow on a CPU; "
    "export it with that level"
)


class Decoder:
    """Used by one thread."""

    def __init__(self, load: Load) -> None:
        """Raises InvalidModel."""
        found = read_onnx(Path(load.path))  # before native code sees the file
        if found.decoder is None:
            raise InvalidModel("The ONNX model embeds texts and answers nothing: use it for embeddings.")
        self.header: DecoderHeader = found.decoder
        self.parameters = found.parameters
        offered, self.why = providers(ort, load)
        self.build = f"onnxruntime {ort.__version__} {offered[0]}"
        self.warnings = (SLOW.format(self.header.imprecise),) if self.header.imprecise else ()
        for warning in self.warnings:
            log.warning("%s", warning)
        ort.set_default_logger_severity(3)  # errors
        try:
            with together(load.path, found.data, load.files) as path:
                self._session = ort.InferenceSession(path, options(ort, load), providers=offered)
        except InvalidModel:
            raise
        except Exception as error:  # onnxruntime's errors have no common class
            raise InvalidModel(f"onnxruntime cannot use the model: {one_line(error)}") from None
        give_back()
        self.cells: Cells = (
            SharedCells(self.header, load.slots, load.context)
            if self.header.shared
            else GrownCells(self.header, load.slots)
        )
        self._bindings: dict[tuple[int, int], Any] = {}  # (first sequence, how many)
        self._names = [f"{layer}.{part}" for layer in range(self.header.layers) for part in ("key", "value")]
        self._type = np.float16 if self.header.half_logits else np.float32
        self._scratch = np.empty(0, self._type)
        self.vocabulary = self.header.vocabulary or self._measure()

    def compute(self, rows: Sequence[Row]) -> list[list[Array]]:
        """The logits of each row's outputs. Sequences that decode side by side share a run."""
        found: list[list[Array]] = [[] for _ in rows]
        for group in self._groups(rows):
            row = rows[group[0]]
            if len(group) > 1:
                tokens, starts = [list(rows[i].tokens) for i in group], [rows[i].start for i in group]
                logits = self._run(row.sequence, tokens, starts, 1)
                for place, index in enumerate(group):
                    found[index] = [logits[place, -1].copy()]
                continue
            for begin in range(0, len(row.tokens), RUN):
                part = list(row.tokens[begin : begin + RUN])
                wanted = min(len(part), max(0, row.outputs - (len(row.tokens) - begin - len(part))))
                logits = self._run(row.sequence, [part], [row.start + begin], wanted)
                found[group[0]] += list(logits[0, logits.shape[1] - wanted :].copy())
        return found

    def _groups(self, rows: Sequence[Row]) -> list[list[int]]:
        """Numbers of rows that are computed together: single tokens of neighbouring sequences, if the graph can."""
        groups: list[list[int]] = []
        for index in sorted(range(len(rows)), key=lambda i: rows[i].sequence):
            row, before = rows[index], rows[groups[-1][-1]] if groups else None
            if (
                self.cells.together
                and before is not None
                and before.sequence + 1 == row.sequence
                and len(row.tokens) == len(before.tokens) == row.outputs == before.outputs == 1
            ):
                groups[-1].append(index)
            else:
                groups.append([index])
        return groups

    def _run(self, first: int, tokens: list[list[int]], starts: list[int], wanted: int) -> Array:
        """Logits [sequences, tokens, words], valid until the next run. `wanted` at the end of each are read."""
        ids = np.array(tokens, np.int64)
        count, new = ids.shape
        places = np.array(starts, np.int64)[:, None] + np.arange(new, dtype=np.int64)
        total = max(starts) + new
        given: dict[str, Array] = {
            "input_ids": ids,
            "attention_mask": (np.arange(total) <= places[:, -1:]).astype(np.int64),
            "position_ids": places,
            "use_cache_branch": np.array([total > new]),
            "num_logits_to_keep": np.array(max(wanted, 1), np.int64),
        }
        binding = self._binding(first, count)
        for name in self.header.inputs:
            _bind(binding.bind_input, name, given[name])
        kept = max(wanted, 1) if "num_logits_to_keep" in self.header.inputs else new
        logits = self._room(count, kept)
        _bind(binding.bind_output, "logits", logits)
        if not self.cells.together:
            past = self.cells.past(first, count)
            present = self.cells.present(past, new)
            self._bind_cells(binding, past, present)
            self._session.run_with_iobinding(binding)
            self.cells.keep(first, present)
        else:
            self._session.run_with_iobinding(binding)
        return logits

    def _binding(self, first: int, count: int) -> Any:
        """Cells that stay where they are stay bound: 30 layers would be 120 calls a token, 1 ms if profiled."""
        if not self.cells.together:
            return self._session.io_binding()
        if (first, count) not in self._bindings:
            binding = self._bindings[first, count] = self._session.io_binding()
            past = self.cells.past(first, count)
            self._bind_cells(binding, past, past)
        return self._bindings[first, count]

    def _bind_cells(self, binding: Any, past: list[Array], present: list[Array]) -> None:
        for name, before, after in zip(self._names, past, present, strict=True):
            _bind(binding.bind_input, f"past_key_values.{name}", before)
            _bind(binding.bind_output, f"present.{name}", after)

    def _room(self, count: int, tokens: int) -> Array:
        size = count * tokens * self.vocabulary
        if self._scratch.size < size:
            self._scratch = np.empty(size, self._type)
        return self._scratch[:size].reshape(count, tokens, self.vocabulary)

    def _measure(self) -> int:
        """The words of an output, of a file that does not say: one token, and onnxruntime allocates."""
        empty = np.zeros((1, self.header.heads, 0, self.header.size), np.float16 if self.header.half else np.float32)
        one = np.ones((1, 1), np.int64)
        given = {
            "input_ids": one - 1,
            "attention_mask": one,
            "position_ids": one - 1,
            "use_cache_branch": np.array([False]),
            "num_logits_to_keep": np.array(1, np.int64),
        }
        tables = {name: given[name] for name in self.header.inputs}
        tables |= {f"past_key_values.{name}": empty for name in self._names}
        try:
            (logits,) = self._session.run(["logits"], tables)
        except Exception as error:
            raise InvalidModel(f"onnxruntime cannot use the model: {one_line(error)}") from None
        return int(logits.shape[-1])


def _bind(bind: Any, name: str, table: Array) -> None:
    """Memory of ours that lives until the run has ended."""
    bind(name, "cpu", 0, table.dtype, table.shape, table.ctypes.data)
