"""What a GGUF model that embeds or ranks is started with."""

from __future__ import annotations

from mongarsd.tuning.estimate import ModelFacts, estimate_reader

FACTS = ModelFacts(weights=100_000_000, kv_bytes_per_token=100_000, context_train=8192, layers=12)


def need(context: int, *, causal: bool, vocabulary: int = 30_000) -> int:
    return estimate_reader(FACTS, context=context, width=768, feed_forward=3072, vocabulary=vocabulary, causal=causal)


def test_a_longer_text_needs_more_but_a_shorter_one_shares_its_step() -> None:
    for causal in (True, False):
        assert need(256, causal=causal) == need(512, causal=causal) < need(1024, causal=causal)


def test_logits_nobody_reads_are_counted() -> None:
    assert need(512, causal=False, vocabulary=250_000) - need(512, causal=False, vocabulary=0) == 512 * 250_000 * 4
    assert need(512, causal=True, vocabulary=250_000) - need(512, causal=True, vocabulary=0) == 128 * 250_000 * 8


def test_only_causal_models_have_cells() -> None:
    bare = ModelFacts(weights=100_000_000, kv_bytes_per_token=0, context_train=8192, layers=12)
    more = {"context": 1024, "width": 8, "feed_forward": 8, "vocabulary": 8}
    assert estimate_reader(FACTS, **more, causal=True) - estimate_reader(bare, **more, causal=True) == 1024 * 100_000
    assert estimate_reader(FACTS, **more, causal=False) == estimate_reader(bare, **more, causal=False)
