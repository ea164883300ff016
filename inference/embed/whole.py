"""What a model cannot read in full: cut without a word, or refused where somebody asked for that."""

from __future__ import annotations

from mongarsd.ground.errors import ContextOverflow


def too_long(index: int, tokens: int, context: int) -> ContextOverflow:
    """Of a text; `tokens`: at least so many, special ones included."""
    return ContextOverflow(
        f"input[{index}]: it has {tokens} tokens or more, and the model reads at most {context}: split it, or let its "
        "end be cut off",
        param=f"input[{index}]",
        prompt=tokens,
        limit=context,
    )
