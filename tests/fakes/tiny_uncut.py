"""Tiny random models whose sequences cannot be cut: recurrent (mamba), hybrid (lfm2), sliding window (gemma3)."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
from fakes.tiny_gguf import CHATML, CONTEXT, TOKENS, add_vocabulary

WIDTH, HEADS, KV_HEADS, LAYERS, FEED_FORWARD = 64, 4, 2, 3, 128
CONV, STATE, RANK = 4, 8, 4  # of mamba
SHORT = 3  # tokens that lfm2's convolution spans
WINDOW = 128  # tokens of gemma3: two blocks
KINDS = ("mamba", "lfm2", "gemma3")


class Random:
    def __init__(self, writer: gguf.GGUFWriter) -> None:
        self._writer, self._random = writer, np.random.default_rng(7)

    def add(self, name: str, *shape: int) -> None:
        """Norms are ones."""
        values = np.ones(shape) if "norm" in name else self._random.normal(0, shape[-1] ** -0.5, shape)
        self._writer.add_tensor(name, values.astype(np.float32))


def write_uncut(path: Path, kind: str, *, context: int = CONTEXT) -> Path:
    writer = gguf.GGUFWriter(path, kind)
    writer.add_context_length(context)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_layer_norm_rms_eps(1e-5)
    add_vocabulary(writer, CHATML, False)
    weights = Random(writer)
    weights.add("token_embd.weight", len(TOKENS), WIDTH)
    weights.add("token_embd_norm.weight" if kind == "lfm2" else "output_norm.weight", WIDTH)
    {"mamba": _mamba, "lfm2": _lfm2, "gemma3": _gemma3}[kind](writer, weights)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _mamba(writer: gguf.GGUFWriter, weights: Random) -> None:
    inner = 2 * WIDTH
    writer.add_feed_forward_length(0)
    writer.add_head_count(0)
    writer.add_ssm_conv_kernel(CONV)
    writer.add_ssm_inner_size(inner)
    writer.add_ssm_state_size(STATE)
    writer.add_ssm_time_step_rank(RANK)
    for n in range(LAYERS):
        weights.add(f"blk.{n}.attn_norm.weight", WIDTH)
        weights.add(f"blk.{n}.ssm_in.weight", 2 * inner, WIDTH)
        weights.add(f"blk.{n}.ssm_conv1d.weight", inner, CONV)
        weights.add(f"blk.{n}.ssm_conv1d.bias", inner)
        weights.add(f"blk.{n}.ssm_x.weight", RANK + 2 * STATE, inner)
        weights.add(f"blk.{n}.ssm_dt.weight", inner, RANK)
        weights.add(f"blk.{n}.ssm_dt.bias", inner)
        decay = -np.tile(np.linspace(0.01, 1.0, STATE, dtype=np.float32), (inner, 1))  # long and short memories
        writer.add_tensor(f"blk.{n}.ssm_a", decay)
        weights.add(f"blk.{n}.ssm_d", inner)
        weights.add(f"blk.{n}.ssm_out.weight", WIDTH, inner)


def _lfm2(writer: gguf.GGUFWriter, weights: Random) -> None:
    heads = [0, KV_HEADS, 0]  # convolution, attention, convolution
    _attention(writer, heads)
    writer.add_vocab_size(len(TOKENS))
    writer.add_shortconv_l_cache(SHORT)
    for n, kv_heads in enumerate(heads):
        _feed_forward(weights, n)
        if kv_heads:
            _attend(weights, n)
        else:
            weights.add(f"blk.{n}.shortconv.conv.weight", WIDTH, SHORT)
            weights.add(f"blk.{n}.shortconv.in_proj.weight", 3 * WIDTH, WIDTH)
            weights.add(f"blk.{n}.shortconv.out_proj.weight", WIDTH, WIDTH)


def _gemma3(writer: gguf.GGUFWriter, weights: Random) -> None:
    _attention(writer, KV_HEADS)
    writer.add_key_length(WIDTH // HEADS)
    writer.add_value_length(WIDTH // HEADS)
    writer.add_sliding_window(WINDOW)
    writer.add_sliding_window_pattern([True, True, False])
    for n in range(LAYERS):
        _feed_forward(weights, n)
        _attend(weights, n)
        weights.add(f"blk.{n}.post_attention_norm.weight", WIDTH)
        weights.add(f"blk.{n}.post_ffw_norm.weight", WIDTH)


def _attention(writer: gguf.GGUFWriter, kv_heads: int | list[int]) -> None:
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(kv_heads)
    writer.add_rope_freq_base(10_000.0)


def _feed_forward(weights: Random, n: int) -> None:
    weights.add(f"blk.{n}.attn_norm.weight", WIDTH)
    weights.add(f"blk.{n}.ffn_norm.weight", WIDTH)
    weights.add(f"blk.{n}.ffn_gate.weight", FEED_FORWARD, WIDTH)
    weights.add(f"blk.{n}.ffn_up.weight", FEED_FORWARD, WIDTH)
    weights.add(f"blk.{n}.ffn_down.weight", WIDTH, FEED_FORWARD)


def _attend(weights: Random, n: int) -> None:
    narrow = WIDTH * KV_HEADS // HEADS
    weights.add(f"blk.{n}.attn_q.weight", WIDTH, WIDTH)
    weights.add(f"blk.{n}.attn_k.weight", narrow, WIDTH)
    weights.add(f"blk.{n}.attn_v.weight", narrow, WIDTH)
    weights.add(f"blk.{n}.attn_output.weight", WIDTH, WIDTH)
    weights.add(f"blk.{n}.attn_q_norm.weight", WIDTH // HEADS)
    weights.add(f"blk.{n}.attn_k_norm.weight", WIDTH // HEADS)
