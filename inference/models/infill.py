"""Whether a vocabulary has the tokens for a text with a gap: before it, after it, and where the model fills it in.

The names are those that llama.cpp takes for them (llama-vocab.cpp, "find FIM_PRE token" and the next two).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

#: Keys of their numbers in a file, and their names, for each of the three.
TOKENS = (
    (
        ("fim_pre_token_id", "prefix_token_id"),
        (
            "<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<｜fim▁begin｜>", "<PRE>", "▁<PRE>",
            "<|code_prefix|>", "<|prefix|>",
        ),
    ),
    (
        ("fim_suf_token_id", "suffix_token_id"),
        (
            "<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<｜fim▁hole｜>", "<SUF>", "▁<SUF>",
            "<|code_suffix|>", "<|suffix|>",
        ),
    ),
    (
        ("fim_mid_token_id", "middle_token_id"),
        (
            "<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<｜fim▁end｜>", "<MID>", "▁<MID>",
            "<|code_middle|>", "<|middle|>",
        ),
    ),
)  # fmt: skip
NAMES = frozenset(name.encode() for _, names in TOKENS for name in names)


def fills_in(values: Mapping[str, object], found: Collection[bytes]) -> bool:
    """Of a file's keys, and those of NAMES that are among its tokens."""
    return all(
        any(f"tokenizer.ggml.{key}" in values for key in keys) or any(name.encode() in found for name in names)
        for keys, names in TOKENS
    )
