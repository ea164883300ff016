"""The tiers behind the KV cells as one thing: what of a prompt is stored, fetch it, keep more of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from mongarsd.ground.clock import Clock
from mongarsd.inference.cache import keys
from mongarsd.inference.cache.disk import Disk
from mongarsd.inference.cache.ledger import CHECKPOINT
from mongarsd.inference.cache.ram import Ram
from mongarsd.inference.cache.tails import LEAST, Tail, Tails
from mongarsd.inference.cache.writes import WRITES, DailyWrites
from mongarsd.inference.worker.protocol import CachePlan, TierStats

#: Bytes of blocks beyond the RAM tier that may wait for the disk.
LOOSE = 32 * 1024 * 1024


class Block(NamedTuple):
    key: bytes
    parent: bytes
    position: int
    bytes: bytes


class Fetched(NamedTuple):
    """The beginning of a prompt, as far as it could be had; `disk`: how many of the blocks came from there."""

    blocks: list[bytes]
    disk: int


class PrefixStore:
    """Used by the engine's thread; files are read and written by one other, so that no step waits for a card."""

    def __init__(
        self, plan: CachePlan, block: int, clock: Clock, facts: Sequence[str], wake: Callable[[], None]
    ) -> None:
        """`facts` must be equal for a block to fit. `wake` is called, from the other thread, when a file is done."""
        self._block, self._clock, self._wake = block, clock, wake
        self._start = keys.seed(*facts)
        self._ram, self._ram_on = Ram(plan.ram), plan.ram > 0
        self._tails = Tails(self._ram)
        self._disk: Disk | None = None
        self._files: ThreadPoolExecutor | None = None
        self._unsaved: dict[bytes, Block] = {}  # in order: a block after its predecessor
        self._writing: Future[None] | None = None
        if plan.disk and plan.disk_writes_per_day:
            root = Path(plan.directory)
            writes = DailyWrites(root / WRITES, plan.disk_writes_per_day)
            self._disk = Disk(root, self._start, budget=plan.disk, writes=writes, clock=clock.wall)
            with contextlib.suppress(OSError):  # a disk that refuses costs the tier, not the model
                self._disk.open()
            self._files = ThreadPoolExecutor(1, "prefix-files")

    def keys(self, tokens: Sequence[int], adapter: str = "") -> list[bytes]:
        return keys.chain(keys.branch(self._start, adapter), tokens, self._block)

    def longest(self, chain: Sequence[bytes]) -> int:
        """How many blocks from the first on are stored."""
        return next((n for n, key in enumerate(chain) if not self._has(key)), len(chain))

    def fetch(self, chain: Sequence[bytes]) -> Future[Fetched]:
        """Get these blocks; done at once when all are in RAM."""
        now = self._clock.monotonic()
        have: list[bytes] = []
        for key in chain:
            if (block := self._ram.get(key, now)) is None:
                break
            have.append(block)
        rest = chain[len(have) :]
        if not rest or self._files is None:
            done: Future[Fetched] = Future()
            done.set_result(Fetched(have, 0))
            return done
        future = self._files.submit(self._read, have, rest)
        future.add_done_callback(lambda _: self._wake())
        return future

    def missing(self, chain: Sequence[bytes]) -> range:
        """Numbers of the blocks to give to `keep`."""
        return range(self.longest(chain), len(chain)) if self.keeps else range(0)

    @property
    def keeps(self) -> bool:
        """Is there anywhere to put a block?"""
        return self._ram_on or (self._disk is not None and not self._unsaved and self._disk.allowed)

    def keep(self, chain: Sequence[bytes], first: int, blocks: Sequence[bytes], *, save: bool = True) -> None:
        """Put blocks number `first` … of the chain into RAM, and note them for the disk if they are to be saved."""
        for number, block in enumerate(blocks, first):
            parent = chain[number - 1] if number else self._start
            self._put(Block(chain[number], parent, number * self._block, block), save)
        self._bound()

    # -- what is behind the last whole block

    def wants_tail(self, chain: Sequence[bytes], tokens: Sequence[int]) -> bool:
        """`tokens`: those behind the last block of the chain. It must have one: a short prompt is computed as fast."""
        return bool(chain) and self._ram_on and len(tokens) >= LEAST and (chain[-1], tokens) not in self._tails

    def keep_tail(self, chain: Sequence[bytes], tokens: Sequence[int], cells: bytes) -> None:
        self._tails.keep(chain[-1], len(chain) * self._block, tokens, cells, self._clock.monotonic())

    def tail(self, chain: Sequence[bytes], tokens: Sequence[int]) -> Tail | None:
        """What is stored behind the last block of the chain and fits on `tokens`, which follow it."""
        return self._tails.find(chain[-1], tokens, self._clock.monotonic()) if chain else None

    # -- of models whose sequences cannot be cut: what else is needed at the end of a block

    def checkpoints(self, chain: Sequence[bytes], *, blocks: bool) -> int:
        """The longest beginning, in blocks, that has a checkpoint, and with `blocks` all blocks before it."""
        most = self.longest(chain) if blocks else len(chain)
        return next((n for n in range(most, 0, -1) if self._has(keys.checkpoint(chain[n - 1]))), 0)

    def keep_checkpoint(self, chain: Sequence[bytes], state: bytes, *, blocks: bool, save: bool = True) -> None:
        """Put the checkpoint at the end of the chain where its blocks are."""
        parent = chain[-1] if blocks else keys.ROOT
        position = CHECKPOINT + len(chain) * self._block
        self._put(Block(keys.checkpoint(chain[-1]), parent, position, state), save)
        self._bound()

    def _put(self, block: Block, save: bool) -> None:
        self._ram.put(*block, self._clock.monotonic())
        if save and self._disk is not None and block.key not in self._disk:
            self._unsaved[block.key] = block

    def save(self) -> bool:
        """Let the other thread write one more block; true while it has something to write. For idle time."""
        if self._files is None or self._disk is None:
            return False
        if self._writing is not None and not self._writing.done():
            return True
        if not self._unsaved or not self._disk.allowed:
            return False
        self._writing = self._files.submit(self._write, self._unsaved.pop(next(iter(self._unsaved))))
        self._writing.add_done_callback(lambda _: self._wake())
        return True

    def drop(self, chain: Sequence[bytes]) -> None:
        """These do not fit after all: never offer them again."""
        if chain:
            self._ram.remove(chain[0])
            if self._files and self._disk:
                self._files.submit(self._disk.remove, chain[0])

    def shrink(self, size: int) -> None:
        """Give back about `size` bytes of RAM; what waits to be written goes too when it is there for that alone."""
        self._ram.shrink(size, self._clock.monotonic())
        for key in [key for key in self._unsaved if key not in self._ram]:
            del self._unsaved[key]

    def clear(self) -> None:
        self._ram.clear()
        self._tails.clear()
        self._unsaved.clear()
        if self._files and self._disk:
            self._writing = self._files.submit(self._disk.clear)
            self._writing.add_done_callback(lambda _: self._wake())

    def close(self, seconds: float) -> None:
        """Write what is not written yet, for that long at most."""
        limit = self._clock.monotonic() + seconds
        while self.save() and self._writing and (left := limit - self._clock.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                self._writing.result(left)
        if self._files:
            self._files.shutdown(wait=False, cancel_futures=True)

    def stats(self) -> tuple[TierStats, ...]:
        disk = self._disk
        ram = TierStats(tier="ram", bytes=self._ram.used, blocks=len(self._ram), evictions=self._ram.evictions)
        if disk is None:
            return (ram,)
        return ram, TierStats(
            tier="disk", bytes=disk.used, blocks=len(disk), evictions=disk.evictions, written=disk.written
        )

    def _bound(self) -> None:
        """What RAM had no place for, or has dropped, is held for the disk's sake only within LOOSE; the latest goes."""
        loose = [key for key in self._unsaved if key not in self._ram]
        size = sum(len(self._unsaved[key].bytes) for key in loose)
        while size > LOOSE:
            size -= len(self._unsaved.pop(loose.pop()).bytes)

    def _has(self, key: bytes) -> bool:
        return key in self._ram or (self._disk is not None and key in self._disk)

    def _read(self, have: list[bytes], rest: Sequence[bytes]) -> Fetched:
        assert self._disk is not None
        found = 0
        for key in rest:
            if (block := self._disk.get(key)) is None:
                break
            have.append(block)
            found += 1
        return Fetched(have, found)

    def _write(self, block: Block) -> None:
        assert self._disk is not None
        self._disk.put(*block)
