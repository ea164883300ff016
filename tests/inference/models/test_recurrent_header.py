"""What a header says of recurrent layers is what llama.cpp allocates for them."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.tiny_uncut import KINDS, write_uncut

from mongarsd.inference.engine.base import Row
from mongarsd.inference.llama.backend import LlamaBackend
from mongarsd.inference.models.gguf import read_header
from mongarsd.inference.models.recurrent import layers_of
from mongarsd.inference.worker.protocol import Load


@pytest.mark.parametrize("kind", KINDS)
def test_it_agrees_with_the_library(tmp_path: Path, kind: str) -> None:
    header = read_header(path := write_uncut(tmp_path / "tiny.gguf", kind))
    load = Load(
        model="m", path=str(path), node="n", slots=2, context=256, decode_threads=1, prefill_threads=1, queue=1,
        max_gap=1.0,
    )  # fmt: skip
    backend = LlamaBackend(load)
    backend.decode([Row(0, 0, [1, 2, 3], 0)])
    checkpoint, cells = len(backend.checkpoint(0)), backend.info.kv_bytes_per_token
    backend.close()
    assert header.kv_bytes_per_token == cells
    if kind == "gemma3":
        assert header.state_bytes == 0
    else:
        assert header.state_bytes <= checkpoint <= header.state_bytes + 200  # and a few words of its own


@pytest.mark.parametrize(
    ("architecture", "keys", "heads_kv", "heads", "width", "attending", "state"),
    [
        # mamba-130m; LFM2-1.2B; Qwen3-Next-80B; Granite 4.0 H Tiny; a model without recurrent layers
        ("mamba", {"ssm.conv_kernel": 4, "ssm.inner_size": 1536, "ssm.state_size": 16}, [0] * 24, 0, 768, 0,
         24 * 4 * 1536 * (3 + 16)),
        ("lfm2", {"shortconv.l_cache": 3}, [0, 0, 8, 0, 0, 8, 0, 0, 8, 0, 8, 0, 8, 0, 8, 0], 32, 2048, 48,
         10 * 4 * 2048 * 2),
        ("qwen3next", {"ssm.conv_kernel": 4, "ssm.inner_size": 4096, "ssm.state_size": 128, "ssm.group_count": 16},
         [2] * 48, 16, 2048, 24, 36 * 4 * (3 * 8192 + 128 * 4096)),
        ("granitehybrid", {"ssm.conv_kernel": 4, "ssm.inner_size": 3072, "ssm.state_size": 128, "ssm.group_count": 1},
         ([0] * 9 + [4]) * 4, 12, 1536, 16, 36 * 4 * (3 * (3072 + 256) + 128 * 3072)),
        ("falcon-h1", {"ssm.conv_kernel": 4, "ssm.inner_size": 1536, "ssm.state_size": 128, "ssm.group_count": 1},
         [2] * 24, 8, 1024, 48, 24 * 4 * (3 * (1536 + 256) + 128 * 1536)),
        ("rwkv7", {"wkv.head_size": 64, "token_shift_count": 2}, [0] * 12, 0, 768, 0, 12 * 4 * 768 * (2 + 64)),
        ("llama", {}, [2] * 16, 8, 1024, 32, 0),
    ],
)  # fmt: skip
def test_known_models(
    architecture: str, keys: dict[str, int], heads_kv: list[int], heads: int, width: int, attending: int, state: int
) -> None:
    found = layers_of(architecture, lambda key, _: keys.get(key, 0), heads_kv, heads, width)
    assert (sum(found[0]), found[1]) == (attending, state)
