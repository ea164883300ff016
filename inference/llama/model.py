"""One loaded model file: its weights, and what it says of itself."""

from __future__ import annotations

import ctypes
import logging
import re
from pathlib import Path
from typing import Any

from mongarsd.ground.errors import InvalidModel
from mongarsd.inference.llama.library import load_library, native_log
from mongarsd.inference.models.gguf import F16, READERS

log = logging.getLogger(__name__)


class Model:
    """The weights. `close()` after every context of it."""

    def __init__(self, path: str, *, gpu_layers: int = 0) -> None:
        """Raises InvalidModel with the library's own reason."""
        self._lib = lib = load_library()
        if gpu_layers and not lib.llama_supports_gpu_offload():
            log.warning("gpu_layers = %d has no effect: this build of llama.cpp knows no GPU", gpu_layers)
            gpu_layers = 0
        if not Path(path).is_file():
            raise InvalidModel(f"there is no model file {path}: pull the model again")
        params = lib.llama_model_default_params()
        params.n_gpu_layers = gpu_layers
        params.load_mode = lib.LLAMA_LOAD_MODE_MMAP
        native_log().forget()
        self.handle: Any = lib.llama_model_load_from_file(str(path).encode(), params)
        if not self.handle:
            reason = native_log().last_error or "no reason given"
            raise InvalidModel(f"llama.cpp cannot load {Path(path).name} ({reason}): pull it again or choose another")
        self.vocab: Any = lib.llama_model_get_vocab(self.handle)
        generates = lib.llama_model_has_decoder(self.handle) and not lib.llama_model_has_encoder(self.handle)
        if not generates or not lib.llama_vocab_type(self.vocab):  # the tokenizer of type 0, none, aborts the process
            self.close()
            raise InvalidModel(f"{Path(path).name} does not generate text: choose a chat model")

    @property
    def architecture(self) -> str:
        return self.metadata("general.architecture") or "unknown"

    @property
    def parameters(self) -> int:
        return int(self._lib.llama_model_n_params(self.handle))

    @property
    def context_train(self) -> int:
        return int(self._lib.llama_model_n_ctx_train(self.handle))

    @property
    def window(self) -> int:
        """Tokens of its sliding window, 0 = it has none."""
        return int(self._lib.llama_model_n_swa(self.handle))

    @property
    def layers(self) -> int:
        return int(self._lib.llama_model_n_layer(self.handle))

    @property
    def causal(self) -> bool:
        """Do tokens see only those before them?"""
        return self.architecture not in READERS and self.metadata(f"{self.architecture}.attention.causal") != "false"

    @property
    def template(self) -> str | None:
        """The GGUF's own chat template; `llama_model_chat_template` would make one up for some models."""
        return self.metadata("tokenizer.chat_template")

    def kv_bytes_per_token(self) -> int:
        """Of all layers, K and V, f16. From the same metadata llama.cpp allocates by."""
        arch = self.architecture
        heads = self._lib.llama_model_n_head(self.handle) or 1
        size = self._lib.llama_model_n_embd(self.handle) // heads
        key = _integers(self.metadata(f"{arch}.attention.key_length")) or [size]
        value = _integers(self.metadata(f"{arch}.attention.value_length")) or [size]
        kv_heads = _integers(self.metadata(f"{arch}.attention.head_count_kv")) or [heads]
        if len(kv_heads) < self.layers:
            kv_heads = kv_heads[:1] * self.layers
        return F16 * (key[0] + value[0]) * sum(kv_heads[: self.layers])

    def metadata(self, key: str) -> str | None:
        """A value of the GGUF header as text; arrays look like `[1, 2]`."""
        needed = self._lib.llama_model_meta_val_str(self.handle, key.encode(), None, 0)
        if needed < 0:
            return None
        buffer = ctypes.create_string_buffer(needed + 1)
        self._lib.llama_model_meta_val_str(self.handle, key.encode(), buffer, len(buffer))
        return buffer.value.decode("utf-8", "replace")

    def close(self) -> None:
        if self.handle:
            self._lib.llama_model_free(self.handle)
            self.handle = None


def _integers(text: str | None) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", text or "")]
