"""How a session of onnxruntime is made, for all models."""

from __future__ import annotations

import ctypes
from typing import Any

from mongarsd.inference.worker.protocol import Load

#: Best first; what a board lacks is not offered by its onnxruntime.
ACCELERATORS = ("TensorrtExecutionProvider", "CUDAExecutionProvider")
CPU = "CPUExecutionProvider"


def options(ort: Any, load: Load) -> Any:
    made = ort.SessionOptions()
    made.intra_op_num_threads = load.prefill_threads
    made.inter_op_num_threads = 1
    made.log_severity_level = 3
    # Threads that spin between two texts take the cores from the chat model beside.
    made.add_session_config_entry("session.intra_op.allow_spinning", "0")
    made.add_session_config_entry("session.inter_op.allow_spinning", "0")
    # The arena keeps the largest run's memory for ever: 510 MB instead of 255 after 8 x 256 tokens, and no faster.
    made.enable_cpu_mem_arena = False
    return made


def providers(ort: Any, load: Load) -> tuple[list[str], str]:
    """Best first, and why."""
    offered = ort.get_available_providers()
    accelerators = [name for name in ACCELERATORS if name in offered]
    if not accelerators:
        return [CPU], "this build of onnxruntime offers no other"
    if not load.gpu_layers:
        return [CPU], f"{', '.join(accelerators)} would be there, but inference.gpu_layers is 0"
    return [*accelerators, CPU], "the best that this build of onnxruntime offers"


def give_back() -> None:
    """What loading took: 65 of 220 MB for all-MiniLM-L6-v2. glibc only."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def one_line(error: Exception) -> str:
    return "".join(c if c.isprintable() else " " for c in str(error))[:300]
