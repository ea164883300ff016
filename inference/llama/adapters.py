"""LoRA adapters of one model: loaded when first needed, and set in the context only when the next rows want another.

A change makes llama.cpp plan its graphs anew: 4 to 6 ms with 30 layers (x86), whatever the rows.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

from mongarsd.ground.errors import Busy, InvalidModel
from mongarsd.inference.llama.context import Context
from mongarsd.inference.llama.library import load_library, native_log
from mongarsd.inference.llama.model import Model
from mongarsd.inference.llama.padding import prepare
from mongarsd.inference.worker.protocol import AdapterPlan

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
#: Seconds until a request is worth sending again when all memory for adapters is in use: about one answer on a Pi.
RETRY_AFTER = 10


class Held(NamedTuple):
    handle: Any
    size: int  # bytes of its file; a rank of zeros is not counted
    scale: float
    even: bool  # its rows come out alike, beside others as alone


class Adapters:
    """Not thread-safe. `close()` after its context and before its model."""

    def __init__(self, model: Model, context: Context, plan: AdapterPlan) -> None:
        self._lib = load_library()
        self._model, self._context, self._plan = model, context, plan
        self._held: dict[str, Held] = {}  # by digest, the least recently wanted first
        self._current = ""

    def adapt(self, adapter: str, used: Collection[str]) -> bool:
        """Load it if it is not there; is it even? Raises InvalidModel, and Busy when those in `used` leave no room."""
        held = self._held.pop(adapter, None) or self._load(adapter, used)
        self._held[adapter] = held
        return held.even

    def use(self, adapter: str) -> None:
        """What is computed from now on, is computed with this one ("" = none)."""
        if adapter == self._current:
            return
        pointer = self._lib.llama_adapter_lora_p_ctypes
        held = [self._held[adapter]] if adapter else []
        count = len(held)
        handles = (pointer * count)(*(each.handle for each in held))
        scales = (ctypes.c_float * count)(*(each.scale for each in held))
        if self._lib.llama_set_adapters_lora(self._context.handle, handles, count, scales):
            raise RuntimeError(f"llama.cpp cannot use the adapter {adapter}")
        self._current = adapter

    def _load(self, adapter: str, used: Collection[str]) -> Held:
        if not DIGEST.fullmatch(adapter):
            raise InvalidModel("an adapter is named by its digest", param="model")
        path = Path(self._plan.directory, adapter.replace(":", "-"))
        try:
            size = path.stat().st_size
        except OSError:
            raise InvalidModel("the adapter is not here any more: pull it again", param="model") from None
        self._make_room(size, used)
        native_log().forget()
        ready = prepare(path)
        try:
            handle = self._lib.llama_adapter_lora_init(self._model.handle, ready.path.encode())
        finally:
            if ready.file >= 0:
                os.close(ready.file)
        if not handle:
            reason = native_log().last_error or "no reason given"
            raise InvalidModel(f"llama.cpp cannot use this adapter with this model ({reason})", param="model")
        return Held(handle, size, ready.scale, ready.even)

    def _make_room(self, size: int, used: Collection[str]) -> None:
        free = self._plan.bytes - sum(held.size for held in self._held.values())
        idle = [adapter for adapter in self._held if adapter not in used]
        if size > free + sum(self._held[adapter].size for adapter in idle):
            raise Busy(
                f"the adapter needs {size / 1e6:.0f} MB, and those that answer now leave less of the"
                f" {self._plan.bytes / 1e6:.0f} MB that adapters may have: try again",
                retry_after=RETRY_AFTER,
            )
        while free < size:
            free += self._free(idle.pop(0))

    def _free(self, adapter: str) -> int:
        """Bytes that it had."""
        if adapter == self._current:
            self.use("")  # the context keeps a bare pointer to it
        held = self._held.pop(adapter)
        self._lib.llama_adapter_lora_free(held.handle)
        return held.size

    def close(self) -> None:
        self._current = ""
        for adapter in list(self._held):
            self._free(adapter)
