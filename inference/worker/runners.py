"""Which Runner a model gets; imported only when asked for, because each brings its native library."""

from __future__ import annotations

from collections.abc import Callable

from mongarsd.ground.clock import SystemClock
from mongarsd.inference.worker.protocol import Load
from mongarsd.inference.worker.shell import Runner


def open_runner(load: Load, wake: Callable[[], None]) -> Runner:
    """Load the model. Raises InvalidModel, DoesNotFit, StartError."""
    if load.kind == "chat":
        from mongarsd.inference.worker.generator import open_generator

        return open_generator(load, wake)
    if load.backend == "llama":
        from mongarsd.inference.llama.reader import open_reader

        return open_reader(load, SystemClock())
    from mongarsd.inference.onnx.embedding import open_embedder

    return open_embedder(load, SystemClock())
