"""Writes GGUF models that read: a BERT that embeds or ranks, and a Qwen3 that does. Random weights, milliseconds."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

WIDTH, HEADS, LAYERS, FEED_FORWARD, CONTEXT = 32, 4, 2, 64, 256
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
WORDS = ("red", "green", "blue", "one", "two", "three")
TOKENS = (*SPECIAL, *("▁" + word for word in WORDS), *("▁" + letter for letter in "abcdefghijklmnopqrstuvwxyz"))
PAD, UNKNOWN, CLS, SEP = range(4)
QWEN_CONTEXT = 512


def write_bert(
    path: Path, *, pooling: gguf.PoolingType | None = gguf.PoolingType.MEAN, head: bool = False, labels: int = 0
) -> Path:
    """`head`: a classification head with one output, or one for each of `labels`."""
    writer = gguf.GGUFWriter(path, "bert")
    _sizes(writer, CONTEXT)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    if pooling is not None:
        writer.add_pooling_type(pooling)
    if labels:
        writer.add_classifier_output_labels([f"label {number}" for number in range(labels)])
    writer.add_tokenizer_model("bert")
    writer.add_token_list(list(TOKENS))
    writer.add_token_types([gguf.TokenType.CONTROL] * len(SPECIAL) + [gguf.TokenType.NORMAL] * (len(TOKENS) - 4))
    writer.add_token_type_count(2)
    writer.add_bos_token_id(CLS)
    writer.add_sep_token_id(SEP)
    writer.add_pad_token_id(PAD)
    writer.add_unk_token_id(UNKNOWN)
    tensors: list[tuple[str, tuple[int, ...]]] = [
        ("token_embd.weight", (len(TOKENS), WIDTH)),
        ("token_types.weight", (2, WIDTH)),
        ("position_embd.weight", (CONTEXT, WIDTH)),
        ("token_embd_norm.weight", (WIDTH,)),
        ("token_embd_norm.bias", (WIDTH,)),
    ]
    for layer in range(LAYERS):
        for name, *shape in (
            ("attn_q", WIDTH, WIDTH), ("attn_k", WIDTH, WIDTH), ("attn_v", WIDTH, WIDTH), ("attn_output", WIDTH, WIDTH),
            ("ffn_up", FEED_FORWARD, WIDTH), ("ffn_down", WIDTH, FEED_FORWARD),
        ):  # fmt: skip
            tensors += [(f"blk.{layer}.{name}.weight", tuple(shape)), (f"blk.{layer}.{name}.bias", (shape[0],))]
        for name in ("attn_output_norm", "layer_output_norm"):
            tensors += [(f"blk.{layer}.{name}.weight", (WIDTH,)), (f"blk.{layer}.{name}.bias", (WIDTH,))]
    if head:
        tensors += [("cls.weight", (WIDTH, WIDTH)), ("cls.bias", (WIDTH,))]
        tensors += [("cls.output.weight", (max(1, labels), WIDTH)), ("cls.output.bias", (max(1, labels),))]
    return _written(writer, path, tensors)


def write_qwen(path: Path, *, pooling: gguf.PoolingType = gguf.PoolingType.LAST, ranks: bool = False) -> Path:
    """With KV cells and causal attention, as Qwen3-Embedding; `ranks`: with yes and no, as Qwen3-Reranker."""
    from fakes.tiny_gguf import BOS, IM_END, SPECIAL, USER_DEFINED
    from fakes.tiny_gguf import TOKENS as BYTES

    writer = gguf.GGUFWriter(path, "qwen3")
    _sizes(writer, QWEN_CONTEXT)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_pooling_type(gguf.PoolingType.RANK if ranks else pooling)
    if ranks:
        writer.add_classifier_output_labels(["yes", "no"])
        writer.add_chat_template([{"name": "rerank", "template": "<s>judge {query}\n{document}<|im_end|>"}])
    kinds = {
        **dict.fromkeys(SPECIAL, gguf.TokenType.CONTROL),
        **dict.fromkeys(USER_DEFINED, gguf.TokenType.USER_DEFINED),
    }
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(list(BYTES))
    writer.add_token_types([kinds.get(text, gguf.TokenType.NORMAL) for text in BYTES])
    writer.add_token_merges(["h e"])
    writer.add_bos_token_id(BOS)
    writer.add_eos_token_id(IM_END)
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(True)
    size = WIDTH // HEADS
    tensors: list[tuple[str, tuple[int, ...]]] = [
        ("token_embd.weight", (len(BYTES), WIDTH)),
        ("output_norm.weight", (WIDTH,)),
    ]
    for layer in range(LAYERS):
        tensors += [
            (f"blk.{layer}.{name}.weight", tuple(shape))
            for name, *shape in (
                ("attn_norm", WIDTH), ("attn_q", WIDTH, WIDTH), ("attn_k", WIDTH, WIDTH), ("attn_v", WIDTH, WIDTH),
                ("attn_output", WIDTH, WIDTH), ("attn_q_norm", size), ("attn_k_norm", size), ("ffn_norm", WIDTH),
                ("ffn_gate", FEED_FORWARD, WIDTH), ("ffn_up", FEED_FORWARD, WIDTH), ("ffn_down", WIDTH, FEED_FORWARD),
            )
        ]  # fmt: skip
    if ranks:
        tensors.append(("cls.output.weight", (2, WIDTH)))
    return _written(writer, path, tensors)


def _sizes(writer: gguf.GGUFWriter, context: int) -> None:
    writer.add_context_length(context)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)


def _written(writer: gguf.GGUFWriter, path: Path, tensors: list[tuple[str, tuple[int, ...]]]) -> Path:
    random = np.random.default_rng(0)
    for name, shape in tensors:
        ones = name.endswith("norm.weight")
        values = np.ones(shape) if ones else random.normal(0, 2 * shape[-1] ** -0.5, shape)
        writer.add_tensor(name, values.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
