"""Between the KV cells and the tiers behind them: what to fetch for whom, what to keep of which slot, and when.

A step never waits for a file: blocks are read by another thread before a job is admitted, and slots are saved when
nothing runs, or before their tokens are replaced if that is quick enough for the running streams.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from collections.abc import Sequence as Values
from concurrent.futures import Future

from mongarsd.ground.clock import Clock
from mongarsd.inference.cache.store import Fetched, PrefixStore
from mongarsd.inference.cache.tails import Tail
from mongarsd.inference.engine.base import BLOCK, Backend, Row
from mongarsd.inference.engine.cells import MIN_TAIL, Cells
from mongarsd.inference.engine.pace import Rate
from mongarsd.inference.engine.sequence import Sequence
from mongarsd.inference.worker.protocol import CacheStats, Load, TierStats

#: Tokens a second moved between cells and blocks, before it was measured: 32 KiB each at 300 MB/s, a slow Pi.
FIRST = 10_000.0
#: Of the bound of a running stream's gap.
SHARE = 0.8
#: Seconds the last writes may take when the model is unloaded; the worker is killed after 3.
LAST = 2.0


class Tiers:
    """Used by the engine's thread only."""

    def __init__(
        self, backend: Backend, cells: Cells, store: PrefixStore, slots: int, max_gap: float, clock: Clock
    ) -> None:
        self._backend, self._cells, self._store, self._clock = backend, cells, store, clock
        self._slots, self._bound = slots, max_gap * SHARE
        self._wanted: dict[str, Future[Fetched]] = {}  # by job
        self._chains: dict[str, list[bytes]] = {}
        self._tails: dict[str, Tail] = {}
        self._save: list[int] = []  # slots that may hold something new
        self._speed = Rate()  # seconds a token, moved between cells and blocks
        self._speed.add(1 / FIRST)
        self._hits: Counter[str] = Counter()
        self._tokens: Counter[str] = Counter()
        self._misses = 0

    # -- before a job

    def want(self, sequences: Iterable[Sequence], *, streams: bool) -> None:
        """Look after those whose turn is near: fetch what the tiers have more than the cells."""
        for sequence in sequences:
            if sequence.id not in self._chains and sequence.job.cache_prompt:
                self._ask(sequence)
            if future := self._wanted.get(sequence.id):
                sequence.fetching = not future.done()
                if future.done():
                    sequence.stored = self._stored(sequence, len(future.result().blocks), streams=streams)

    def _stored(self, sequence: Sequence, blocks: int, *, streams: bool) -> int:
        """Tokens that `restore` will bring: `blocks` were found."""
        if streams:  # they wait while it is restored
            blocks = min(blocks, int(self._bound / (self._speed.value or 1.0) / BLOCK))
        tail = self._tails.get(sequence.id) if blocks == len(self._chains[sequence.id]) else None
        return blocks * BLOCK + (tail.length if tail else 0)

    def _ask(self, sequence: Sequence) -> None:
        tokens = sequence.tokens[:-1]
        chain = self._store.keys(tokens, sequence.job.adapter)
        count = self._store.longest(chain)
        self._chains[sequence.id] = chain = chain[:count]
        stored = count * BLOCK
        if tail := self._store.tail(chain, tokens[stored : stored + BLOCK]):
            self._tails[sequence.id] = tail
            stored += tail.length
        if stored >= self._cells.cached(sequence.tokens, sequence.job.adapter) + MIN_TAIL:
            self._wanted[sequence.id] = self._store.fetch(chain)

    def forget(self, sequence: Sequence) -> None:
        """The job was admitted or has ended."""
        self._wanted.pop(sequence.id, None)
        self._chains.pop(sequence.id, None)
        self._tails.pop(sequence.id, None)

    # -- at its admission

    def restore(self, sequence: Sequence) -> bool:
        """Fill the sequence's slot with its stored beginning; False: nothing is there."""
        chain, fetched = self._chains[sequence.id], self._wanted[sequence.id].result()
        blocks = fetched.blocks[: sequence.cached // BLOCK]
        tail = [self._tails[sequence.id].cells] if sequence.cached % BLOCK else []
        begin = self._clock.monotonic()
        if not self._backend.restore(sequence.slot, [*blocks, *tail]):
            self._store.drop(chain)
            return False
        self._backend.trim(sequence.slot, sequence.cached)  # a tail may go on otherwise
        self._speed.add((self._clock.monotonic() - begin) / sequence.cached)
        self._store.keep(chain, 0, blocks, save=False)  # those from the disk go to RAM, too
        self._count("disk" if fetched.disk else "ram", sequence.cached)
        return True

    def placed(self, sequence: Sequence, *, restored: bool) -> None:
        """It has its slot. Counts what the cells had, if nothing was restored."""
        if not sequence.cached:
            self._misses += 1
        elif not restored:
            self._count("kv", sequence.cached)
        sequence.stored = 0  # if it yields its slot, it asks again
        self.forget(sequence)

    def rescue(self, slot: int, tokens: list[int], adapter: str, *, streams: bool) -> None:
        """Keep what a slot holds before it is replaced; not if running streams would notice."""
        if not streams or len(tokens) * (self._speed.value or 0.0) <= self._bound:
            self._keep(slot, tokens, adapter)

    # -- while it runs

    def computed(self, rows: Values[Row], owners: Values[Sequence], *, streams: bool) -> None:
        """These rows were computed just now. Blocks need no saving before their slot is wanted."""

    # -- when nothing runs

    def worked(self) -> None:
        """A step was computed."""
        self._save = list(range(self._slots))

    def idle(self) -> bool:
        """Save a little; true if there is more to do at once. Call when nothing runs."""
        if self._save:
            slot = self._save.pop()
            self._keep(slot, self._cells.path(slot), self._cells.adapter(slot))
            return True
        self._store.save()
        return False  # the thread that writes wakes us

    def shrink(self, size: int) -> None:
        """Memory is short: give back about `size` bytes."""
        self._store.shrink(size)

    def clear(self) -> None:
        """Forget everything, idle cells included."""
        for slot in self._cells.forget():
            self._backend.trim(slot, 0)
        self._save = []
        self._store.clear()

    def close(self) -> None:
        """Save all there is, for `LAST` seconds at most."""
        limit = self._clock.monotonic() + LAST
        while self._save and self._clock.monotonic() < limit:
            self.idle()
        self._store.close(max(0.0, limit - self._clock.monotonic()))

    def stats(self) -> CacheStats:
        tiers = {stats.tier: stats for stats in (self._cells_stats(), *self._store.stats())}
        return CacheStats(
            tiers=tuple(
                TierStats(
                    tier=name,
                    hits=self._hits[name],
                    tokens=self._tokens[name],
                    bytes=stats.bytes,
                    blocks=stats.blocks,
                    evictions=stats.evictions,
                    written=stats.written,
                )
                for name, stats in tiers.items()
            ),
            misses=self._misses,
        )

    def _cells_stats(self) -> TierStats:
        return TierStats(tier="kv", bytes=self._cells.held * self._backend.info.kv_bytes_per_token)

    def _keep(self, slot: int, tokens: list[int], adapter: str) -> None:
        chain = self._store.keys(tokens, adapter)
        missing, rest = self._store.missing(chain), tokens[len(chain) * BLOCK :]
        tail = self._store.wants_tail(chain, rest)
        if not missing and not tail:
            return
        begin = self._clock.monotonic()
        first = missing.start if missing else len(chain)
        blocks = self._backend.export(slot, first, len(chain) + tail)
        if blocks:
            self._speed.add((self._clock.monotonic() - begin) / len(tokens))
            self._store.keep(chain, first, blocks[: len(chain) - first])
            if tail:
                self._store.keep_tail(chain, rest, blocks[-1])

    def _count(self, tier: str, tokens: int) -> None:
        self._hits[tier] += 1
        self._tokens[tier] += tokens


def open_tiers(backend: Backend, cells: Cells, load: Load, wake: Callable[[], None], clock: Clock) -> Tiers | None:
    """None when all tiers are off, or when nothing of this backend's sequences can be kept."""
    plan = load.cache
    if not backend.layout or not (plan.ram or (plan.disk and plan.disk_writes_per_day)):
        return None
    store = PrefixStore(plan, BLOCK, clock, (load.model, backend.info.build, backend.layout), wake)
    if backend.checkpoints:
        from mongarsd.inference.engine.checkpoints import Checkpoints  # most models need none

        return Checkpoints(backend, cells, store, backend.info.slots, load.max_gap, clock)
    return Tiers(backend, cells, store, backend.info.slots, load.max_gap, clock)
