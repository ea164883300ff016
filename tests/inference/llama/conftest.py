from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.tiny_gguf import write_tiny_gguf

from mongarsd.inference.llama.backend import LlamaBackend
from mongarsd.inference.worker.protocol import Load


@pytest.fixture(scope="session")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gguf(tmp_path_factory.mktemp("tiny") / "tiny.gguf")


@pytest.fixture(scope="session")
def open_llama() -> Iterator[Callable[..., LlamaBackend]]:
    """Opens backends with one thread and small contexts unless told otherwise; closes them all."""
    opened = []

    def open_llama(path: Path, **fields: Any) -> LlamaBackend:
        defaults = {"slots": 4, "context": 256, "decode_threads": 1, "prefill_threads": 1, "queue": 1, "max_gap": 1.0}
        load = Load(model="sha256:" + "0" * 64, path=str(path), node="test", **(defaults | fields))
        opened.append(LlamaBackend(load))
        return opened[-1]

    yield open_llama
    for backend in opened:
        backend.close()


@pytest.fixture(scope="session")
def tiny(tiny_path: Path, open_llama: Callable[..., LlamaBackend]) -> LlamaBackend:
    """Shared: every test clears the sequences it uses."""
    return open_llama(tiny_path)
