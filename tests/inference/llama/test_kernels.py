from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mongarsd.inference.engine.base import Row
from mongarsd.inference.llama.backend import LlamaBackend


def test_each_context_has_a_cpu_backend_of_its_own(tiny_path: Path, open_llama: Callable[..., LlamaBackend]) -> None:
    first, second = (open_llama(tiny_path, slots=1) for _ in range(2))
    caught = [backend._context.plain_kernels.backends for backend in (first, second)]
    assert [len(each) for each in caught] == [1, 1]
    assert caught[0] != caught[1]
    first.close()
    second.decode([Row(0, 0, [1, 2, 3], 1)])
    second.decode([Row(0, 3, list(range(100)), 0)])
    second.close()
