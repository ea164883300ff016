"""An ONNX model that embeds or ranks, in onnxruntime: tables of tokens in, vectors or scores out."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mongarsd.ground.errors import InvalidModel
from mongarsd.inference.embed.batches import Tokens
from mongarsd.inference.models.onnx import SCORES, TOKENS, read_onnx
from mongarsd.inference.onnx.runtime import give_back, one_line, options, providers
from mongarsd.inference.onnx.weights import together
from mongarsd.inference.worker.protocol import Load

PROBE = (0, 1)  # any two tokens


class Session:
    """Used by one thread. numpy and onnxruntime are imported when one is made (54 MB)."""

    def __init__(self, load: Load) -> None:
        """Raises InvalidModel."""
        self._header = read_onnx(Path(load.path))  # before native code sees the file
        self.dimensions = self._header.dimensions
        self.parameters = self._header.parameters
        import numpy as np
        import onnxruntime as ort

        self._np = np
        self.build = f"onnxruntime {ort.__version__}"
        ort.set_default_logger_severity(3)  # errors
        try:
            with together(load.path, self._header.data, load.files) as path:
                self._session = ort.InferenceSession(path, options(ort, load), providers=providers(ort, load)[0])
            self.vectors([array("i", PROBE)])
        except InvalidModel:
            raise
        except Exception as error:  # onnxruntime's errors have no common class
            raise InvalidModel(f"onnxruntime cannot use the model: {one_line(error)}") from None
        give_back()

    def vectors(self, texts: Sequence[Tokens]) -> list[bytes]:
        """float32, little-endian as boards are: of length 1, or a score. Raises InvalidModel when it is not that."""
        np = self._np
        width = max(map(len, texts))
        marked = np.zeros((len(texts), width), np.int64)
        mask = np.zeros((len(texts), width), np.int64)
        for row, tokens in enumerate(texts):
            marked[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        second = marked < 0
        ids = np.where(second, ~marked, marked)
        tables = {"input_ids": ids, "attention_mask": mask}
        if "token_type_ids" in self._header.inputs:
            tables["token_type_ids"] = second.astype(np.int64)
        if "position_ids" in self._header.inputs:
            tables["position_ids"] = np.broadcast_to(np.arange(width, dtype=np.int64), ids.shape)
        (output,) = self._session.run([self._header.output], tables)
        pooled = self._pool(output, mask) if self._header.output in TOKENS else output
        if pooled.shape != (len(texts), self.dimensions) or not np.isfinite(pooled).all():
            raise InvalidModel(f"The model gave a table of {output.shape}, or no numbers: it is not usable.")
        pooled = pooled.astype(np.float32)
        if self._header.output in SCORES:
            return [row.tobytes() for row in 1 / (1 + np.exp(-np.clip(pooled, -80, 80)))]  # e^80 fits into a float32
        lengths = np.linalg.norm(pooled, axis=1, keepdims=True)
        return [row.tobytes() for row in pooled / np.maximum(lengths, 1e-12)]

    def _pool(self, output: Any, mask: Any) -> Any:
        """The mean of the vectors of real tokens, as sentence-transformers' models are trained for."""
        weights = mask.astype(self._np.float32)
        return (weights[:, None, :] @ output)[:, 0, :] / weights.sum(axis=1, keepdims=True)
