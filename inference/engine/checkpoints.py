"""The tiers of models whose sequences cannot be cut: recurrent, hybrid, with a sliding window.

A block of such a model is of no use without what else the sequence was at its end: the recurrent state, the window's
cells. That is saved as a checkpoint when a prompt, or an answer, comes past a place worth it. The rows of attention
before it are blocks as ever, stored once; a checkpoint hangs on its last block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from collections.abc import Sequence as Values
from concurrent.futures import Future
from dataclasses import dataclass

from mongarsd.ground.clock import Clock
from mongarsd.inference.cache import keys
from mongarsd.inference.cache.store import Fetched, PrefixStore
from mongarsd.inference.engine.base import BLOCK, Backend, Row
from mongarsd.inference.engine.cells import MIN_TAIL, Cells
from mongarsd.inference.engine.pace import Rate
from mongarsd.inference.engine.radix import common
from mongarsd.inference.engine.sequence import Sequence
from mongarsd.inference.engine.tiers import Tiers

#: Tokens between checkpoints of a long text: what an edit in its middle makes a Pi compute again, about 8 s at 1B.
SPACING = 512
#: Spaced checkpoints of one text, at most; a longer one has them further apart.
MOST_SPACED = 8
#: Bytes of spaced checkpoints that a text may cost, each token: half of what the cells of a usual 1B model do. A state
#: of 25 MB is so kept three times for 8,192 tokens, where eight would be more than the RAM tier of a small board.
SPACED_BYTES = 16 * 1024
#: Bytes a second moved between sequences and checkpoints, before it was measured: a slow Pi.
FIRST = 300e6
#: Blocks of earlier prompts that are remembered by their keys: where a new one leaves them, others will too.
REMEMBERED = 8192


def marks(prompt: int, limit: int, shared: int, size: Callable[[int], int]) -> set[int]:
    """Where to save the state of a sequence that may grow to `limit` tokens, `shared` of them known of other prompts.

    `size`: bytes of its state at a length.

    The end of the prompt, for the conversation's next turn; where prompts part, for the next one that begins alike; and
    spaced ones. All at whole blocks, the end rounded down so that a token is left to compute.
    """
    end = (prompt - 1) // BLOCK * BLOCK
    spacing = SPACING
    while limit // spacing > MOST_SPACED or sum(map(size, range(spacing, limit, spacing))) > SPACED_BYTES * limit:
        spacing *= 2
    chosen = {end, min(shared, end) // BLOCK * BLOCK, *range(spacing, limit, spacing)}
    return {mark for mark in chosen if 0 < mark < limit}


@dataclass
class Asked:
    """What the store was asked for a waiting sequence."""

    chain: list[bytes]
    count: int = 0  # blocks
    future: Future[Fetched] | None = None

    @property
    def found(self) -> Fetched | None:
        """None as long as it is read; that may end between two looks."""
        return self.future.result() if self.future and self.future.done() else None


class Checkpoints(Tiers):
    """Used by the engine's thread only."""

    def __init__(
        self, backend: Backend, cells: Cells, store: PrefixStore, slots: int, max_gap: float, clock: Clock
    ) -> None:
        super().__init__(backend, cells, store, slots, max_gap, clock)
        self._asked: dict[str, Asked] = {}  # by job
        self._filling: list[Sequence] = []  # whose prompts are computed now
        self._met: dict[bytes, None] = {}  # blocks of earlier prompts, the latest last
        self._pace = Rate()  # seconds a byte
        self._pace.add(1 / FIRST)

    # -- before a job

    def want(self, sequences: Iterable[Sequence], *, streams: bool) -> None:
        self._filling = [s for s in self._filling if s.running and not s.decoding]
        ahead = [(other, other.computed) for other in self._filling]
        for sequence in sequences:
            if sequence.job.cache_prompt:
                asked, found = self._look(sequence)
                fits = found and self._whole(asked, found) and (not streams or self._quick(_size(found)))
                sequence.stored = asked.count * BLOCK if fits else 0
                known = max(self._cells.cached(sequence.tokens, sequence.job.adapter), sequence.stored)
                sequence.fetching = bool(asked.future and not found) or self._awaits(sequence, known, ahead)
                if not sequence.fetching:
                    ahead.append((sequence, known))  # it begins now

    def _look(self, sequence: Sequence) -> tuple[Asked, Fetched | None]:
        """Ask for the longest beginning that is stored now, unless it is here or on its way; what has come of it."""
        if (asked := self._asked.get(sequence.id)) is None:
            chain = self._store.keys(sequence.tokens[:-1], sequence.job.adapter)
            asked = self._asked[sequence.id] = Asked(chain)
            prompt = min(sequence.prompt, len(sequence.tokens))
            sequence.marks = marks(prompt, sequence.limit, self._meet(chain), self._backend.checkpoint_size)
        found = asked.found
        best = self._store.checkpoints(asked.chain, blocks=self._backend.blocks)
        if best > asked.count or (found and not self._whole(asked, found) and best != asked.count):
            asked.count, asked.future = best, None
            if best * BLOCK >= self._cells.cached(sequence.tokens, sequence.job.adapter) + MIN_TAIL:
                asked.future = self._store.fetch(self._keys(asked))
            found = asked.found
            if found and not self._whole(asked, found):
                found = None  # already, and damaged: the next look asks for less
        return asked, found

    def _keys(self, asked: Asked) -> list[bytes]:
        before = asked.chain[: asked.count] if self._backend.blocks else []
        return [*before, keys.checkpoint(asked.chain[asked.count - 1])]

    def _whole(self, asked: Asked, found: Fetched) -> bool:
        return len(found.blocks) == (asked.count if self._backend.blocks else 0) + 1

    def _meet(self, chain: Values[bytes]) -> int:
        """How many tokens of it earlier prompts began with; it is one of them from now on."""
        shared = next((n for n, key in enumerate(chain) if key not in self._met), len(chain)) * BLOCK
        for key in chain:
            self._met.pop(key, None)
            self._met[key] = None
        while len(self._met) > REMEMBERED:
            del self._met[next(iter(self._met))]
        return shared

    def _awaits(self, sequence: Sequence, known: int, ahead: list[tuple[Sequence, int]]) -> bool:
        """Somebody computes the same beginning right now: have a checkpoint made where the two part, and wait for it.

        `ahead`: who does, and how far they are. Where slots can be copied from while they work, that is better.
        """
        if self._cells.shares:
            return False
        for other, computed in ahead:
            shared = min(common(sequence.tokens, other.tokens[: other.prompt]), len(sequence.tokens) - 1)
            mark = shared // BLOCK * BLOCK
            if other.job.adapter == sequence.job.adapter and computed < mark and mark >= known + MIN_TAIL:
                other.marks.add(mark)
                return True
        return False

    def forget(self, sequence: Sequence) -> None:
        self._asked.pop(sequence.id, None)

    # -- at its admission

    def restore(self, sequence: Sequence) -> bool:
        asked = self._asked[sequence.id]
        assert asked.future, "what was admitted as stored was fetched"
        found = asked.future.result()
        *blocks, state = found.blocks
        begin = self._clock.monotonic()
        if not self._backend.restore(sequence.slot, blocks, state):
            self._store.drop(self._keys(asked)[-1:])
            return False
        self._moved(_size(found), self._clock.monotonic() - begin)
        chain = asked.chain[: asked.count]
        self._store.keep(chain, 0, blocks, save=False)  # those from the disk go to RAM, too
        self._store.keep_checkpoint(chain, state, blocks=self._backend.blocks, save=False)
        self._count("disk" if found.disk else "ram", sequence.cached)
        return True

    def placed(self, sequence: Sequence, *, restored: bool) -> None:
        super().placed(sequence, restored=restored)
        self._filling.append(sequence)

    # -- while it runs

    def computed(self, rows: Values[Row], owners: Values[Sequence], *, streams: bool) -> None:
        """Save those that have come to a mark; not if running streams would notice."""
        for row, sequence in zip(rows, owners, strict=True):
            if sequence.computed in sequence.marks and row.outputs <= 1:  # not with an unproven draft behind it
                sequence.marks.discard(sequence.computed)
                if not streams or self._quick(self._weight(sequence)):
                    self._save_state(sequence)

    def _save_state(self, sequence: Sequence) -> None:
        chain = self._store.keys(sequence.tokens[: sequence.computed], sequence.job.adapter)
        blocks = self._backend.blocks
        if not self._store.keeps or self._store.checkpoints(chain, blocks=blocks) == len(chain):
            return
        begin = self._clock.monotonic()
        first = self._store.longest(chain) if blocks else len(chain)
        new = self._backend.export(sequence.slot, first, len(chain)) if first < len(chain) else []
        if first + len(new) == len(chain) and (state := self._backend.checkpoint(sequence.slot)):
            self._moved(self._weight(sequence), self._clock.monotonic() - begin)
            self._store.keep(chain, first, new)
            self._store.keep_checkpoint(chain, state, blocks=blocks)

    def _weight(self, sequence: Sequence) -> int:
        """Bytes that a save moves: all rows of the sequence, whichever of them are new, and its state."""
        rows = sequence.computed * self._backend.info.kv_bytes_per_token if self._backend.blocks else 0
        return rows + self._backend.checkpoint_size(sequence.computed)

    def _moved(self, size: int, seconds: float) -> None:
        self._pace.add(seconds / max(size, 1))

    def _quick(self, size: int) -> bool:
        return size * (self._pace.value or 0.0) <= self._bound

    def _keep(self, slot: int, tokens: list[int], adapter: str) -> None:
        """A slot's state is of no use when it is replaced or idle: what was worth it was saved on the way."""


def _size(found: Fetched) -> int:
    return sum(map(len, found.blocks))
