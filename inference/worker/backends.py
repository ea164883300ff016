"""Backends by the name in Load; imported only when asked for, because each brings its native library."""

from __future__ import annotations

from mongarsd.ground.errors import InvalidModel
from mongarsd.inference.engine.base import Backend
from mongarsd.inference.worker.protocol import Load


def open_backend(load: Load) -> Backend:
    """Load the model. Raises InvalidModel, DoesNotFit, StartError."""
    if load.backend == "llama":
        from mongarsd.inference.llama.backend import LlamaBackend

        return LlamaBackend(load)
    if load.backend == "onnx":
        from mongarsd.inference.onnx.backend import OnnxBackend

        return OnnxBackend(load)
    if load.backend == "fake":
        from mongarsd.inference.engine.fake import FakeBackend

        return FakeBackend(load)
    raise InvalidModel(f"there is no backend named {load.backend!r}: llama and onnx are")
