"""Writes LoRA adapters for a GGUF with random weights, and the same model with an adapter merged into its weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import gguf
import numpy as np

RANK, ALPHA = 4, 8.0
#: The weights that adapters usually change.
USUAL = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")


class Pair(NamedTuple):
    name: str  # of the base's tensor
    a: Any  # rank × inputs
    b: Any  # outputs × rank


def random_pairs(base: Path, *, seed: int, size: float = 1.0) -> Iterator[Pair]:
    """`size`: how far the adapter moves each weight, as a share of what it is."""
    random = np.random.default_rng(seed)
    for tensor in gguf.GGUFReader(base).tensors:
        if any(f".{name}.weight" in tensor.name for name in USUAL):
            inputs, outputs = (int(n) for n in tensor.shape)
            spread = size * inputs**-0.5 / (ALPHA / RANK) / RANK**0.5
            a = random.normal(0, 1, (RANK, inputs)).astype(np.float16)
            yield Pair(tensor.name, a, random.normal(0, spread, (outputs, RANK)).astype(np.float16))


def write_lora(path: Path, base: Path, *, seed: int = 1, size: float = 1.0) -> Path:
    return write_pairs(path, list(random_pairs(base, seed=seed, size=size)))


def write_pairs(path: Path, pairs: list[Pair], *, architecture: str = "llama") -> Path:
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, ALPHA)
    for pair in pairs:
        writer.add_tensor(f"{pair.name}.lora_a", pair.a)
        writer.add_tensor(f"{pair.name}.lora_b", pair.b)
    _write(writer)
    return path


def write_merged(path: Path, base: Path, *, seed: int = 1, size: float = 1.0) -> Path:
    """A base of 32-bit weights with the adapter of that seed added to them."""
    pairs = {pair.name: pair for pair in random_pairs(base, seed=seed, size=size)}
    reader = gguf.GGUFReader(base)
    writer = gguf.GGUFWriter(path, "llama")
    for key, field in reader.fields.items():
        if not key.startswith("GGUF.") and key != "general.architecture":
            kind = field.types[0]
            writer.add_key_value(
                key, field.contents(), kind, field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
            )
    for tensor in reader.tensors:
        data = np.array(tensor.data)
        if pair := pairs.get(tensor.name):
            data = data + pair.b.astype(np.float32) @ pair.a.astype(np.float32) * np.float32(ALPHA / RANK)
        writer.add_tensor(tensor.name, data)
    _write(writer)
    return path


def _write(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
