"""Writes a GGUF of a real architecture with random weights: a llama that loads in milliseconds and means nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import gguf
import numpy as np

WIDTH, HEADS, KV_HEADS, LAYERS, FEED_FORWARD, CONTEXT = 64, 4, 2, 2, 128, 512
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ("<s>", "<|im_start|>", "<|im_end|>")
USER_DEFINED = ("<think>", "</think>")


def byte_names() -> list[str]:
    """GPT-2's name of each byte: printable ones stand for themselves, the others for a character from 256 on."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    names = {byte: chr(byte) for byte in plain}
    others = (byte for byte in range(256) if byte not in names)
    names |= {byte: chr(256 + index) for index, byte in enumerate(others)}
    return [names[byte] for byte in range(256)]


#: Token id = byte for the first 256, then a merge, then the special ones.
TOKENS = (*byte_names(), "he", *SPECIAL, *USER_DEFINED)
BOS, IM_START, IM_END, THINK = (TOKENS.index(text) for text in ("<s>", "<|im_start|>", "<|im_end|>", "<think>"))


#: Qwen's control tokens before, after and in the place of a gap, with the numbers they get as `more`.
INFILL = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")
PRE, SUF, MID = range(len(TOKENS), len(TOKENS) + 3)


def write_tiny_gguf(
    path: Path,
    *,
    template: str | None = CHATML,
    add_bos: bool = False,
    seed: int = 0,
    more: Sequence[str] = (),
) -> Path:
    """`more`: further control tokens."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10_000.0)
    add_vocabulary(writer, template, add_bos, more)
    _add_weights(writer, np.random.default_rng(seed), len(TOKENS) + len(more))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def add_vocabulary(writer: gguf.GGUFWriter, template: str | None, add_bos: bool, more: Sequence[str] = ()) -> None:
    kinds = {
        **dict.fromkeys((*SPECIAL, *more), gguf.TokenType.CONTROL),
        **dict.fromkeys(USER_DEFINED, gguf.TokenType.USER_DEFINED),
    }
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    tokens = [*TOKENS, *more]
    writer.add_token_list(tokens)
    writer.add_token_types([kinds.get(text, gguf.TokenType.NORMAL) for text in tokens])
    writer.add_token_merges(["h e"])
    writer.add_bos_token_id(BOS)
    writer.add_eos_token_id(IM_END)
    writer.add_add_bos_token(add_bos)
    if template is not None:
        writer.add_chat_template(template)


def _add_weights(writer: gguf.GGUFWriter, random: np.random.Generator, tokens: int) -> None:
    def add(name: str, *shape: int) -> None:
        ones = name.endswith("norm.weight")
        values = np.ones(shape) if ones else random.normal(0, shape[-1] ** -0.5, shape)
        writer.add_tensor(name, values.astype(np.float32))

    add("token_embd.weight", tokens, WIDTH)
    add("output.weight", tokens, WIDTH)
    add("output_norm.weight", WIDTH)
    narrow = WIDTH * KV_HEADS // HEADS
    for layer in range(LAYERS):
        for name, *shape in (
            ("attn_norm", WIDTH),
            ("attn_q", WIDTH, WIDTH),
            ("attn_k", narrow, WIDTH),
            ("attn_v", narrow, WIDTH),
            ("attn_output", WIDTH, WIDTH),
            ("ffn_norm", WIDTH),
            ("ffn_gate", FEED_FORWARD, WIDTH),
            ("ffn_up", FEED_FORWARD, WIDTH),
            ("ffn_down", WIDTH, FEED_FORWARD),
        ):
            add(f"blk.{layer}.{name}.weight", *shape)
