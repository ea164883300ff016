"""Adapters with a rank of zeros more. That their rows then come out alike: tests/integration/test_adapters.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from fakes.tiny_lora import ALPHA, Pair, write_pairs

from mongarsd.inference.llama.padding import prepare, write
from mongarsd.inference.models.container import open_container

RANDOM = np.random.default_rng(1)


def pair(name: str, rank: int, kind: Any = np.float16) -> Pair:
    return Pair(name, RANDOM.normal(size=(rank, 12)).astype(kind), RANDOM.normal(size=(5, rank)).astype(kind))


def padded(folder: Path, pairs: list[Pair]) -> dict[str, Any]:
    path = write_pairs(folder / "adapter", pairs)
    with path.open("rb") as source, (folder / "padded").open("wb") as target:
        write(open_container(path), source, target)
    reader = gguf.GGUFReader(folder / "padded")
    assert reader.fields["adapter.lora.alpha"].contents() == ALPHA
    return {tensor.name: np.array(tensor.data) for tensor in reader.tensors}


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_the_copy_has_one_rank_of_zeros_more_and_nothing_else(tmp_path: Path, kind: Any) -> None:
    one = pair("blk.0.attn_q.weight", 4, kind)
    experts = Pair("blk.0.ffn_up_exps.weight", np.stack([one.a] * 3), np.stack([one.b] * 3))
    words = Pair("token_embd.weight", RANDOM.normal(size=(9, 4)).astype(kind), one.b)
    found = padded(tmp_path, [one, experts, words])
    assert len(found) == 6
    for each in (one, experts, words):
        a, b = found[f"{each.name}.lora_a"], found[f"{each.name}.lora_b"]
        axis = -1 if each is words else -2
        assert np.array_equal(np.take(a, range(4), axis), each.a)
        assert np.array_equal(b[..., :4], each.b)
        assert not np.take(a, 4, axis).any()
        assert not b[..., 4].any()
        assert b.shape[-1] == a.shape[axis] == 5


@pytest.mark.parametrize(
    ("ranks", "even", "copied"), [([4, 4], True, True), ([3, 6], True, False), ([4, 8], False, False)]
)
def test_what_is_padded(tmp_path: Path, ranks: list[int], even: bool, copied: bool) -> None:
    path = write_pairs(tmp_path / "adapter", [pair(f"blk.{n}.attn_q.weight", rank) for n, rank in enumerate(ranks)])
    ready = prepare(path)
    assert (ready.even, ready.file >= 0, ready.path != str(path)) == (even, copied, copied)
    assert ready.scale == (1.25 if copied else 1.0)


def test_what_cannot_be_read_is_left_to_llama(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"GGUF nonsense")
    assert prepare(tmp_path / "x").path == str(tmp_path / "x")
