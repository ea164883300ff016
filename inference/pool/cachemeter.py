"""What the prefix caches of all workers were good for. Workers count from their own start; these go on."""

from __future__ import annotations

from mongarsd.ground.metrics import Metrics
from mongarsd.inference.worker.protocol import Pulse, TierStats

_NONE = TierStats(tier="")


class CacheMeter:
    def __init__(self, metrics: Metrics) -> None:
        tier = ("tier",)
        self.hits = metrics.counter(
            "mongarsd_prefix_cache_hits_total", "Jobs that began with tokens from this tier (kv, ram, disk).", tier
        )
        self.tokens = metrics.counter("mongarsd_prefix_cache_tokens_total", "Prompt tokens not computed again.", tier)
        self.misses = metrics.counter("mongarsd_prefix_cache_misses_total", "Jobs that found no tokens stored.")
        self.evictions = metrics.counter(
            "mongarsd_prefix_cache_evictions_total", "Blocks of 64 tokens that made room for others.", tier
        )
        self.written = metrics.counter("mongarsd_prefix_cache_written_bytes_total", "Bytes written to the disk tier.")
        self.bytes = metrics.gauge("mongarsd_prefix_cache_bytes", "Bytes that loaded models hold.", tier)

    def observe(self, before: Pulse | None, now: Pulse) -> None:
        """Two pulses of the same worker; the first has none before it."""
        old = {tier.tier: tier for tier in before.cache.tiers} if before else {}
        for tier in now.cache.tiers:
            last = old.get(tier.tier, _NONE)
            self.hits.add(tier.tier, by=tier.hits - last.hits)
            self.tokens.add(tier.tier, by=tier.tokens - last.tokens)
            self.evictions.add(tier.tier, by=tier.evictions - last.evictions)
            self.written.add(by=tier.written - last.written)
        self.misses.add(by=now.cache.misses - (before.cache.misses if before else 0))
