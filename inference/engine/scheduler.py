"""What the next step computes, for whom. Values in, values out: no I/O, no clock, no native code.

submit → admit (queue to slot) → plan → (the loop decodes and samples each batch: computed) → commit → finish. A step
takes the one pending token of every decoding sequence, then as much of the prompts as the Pacer allows.
"""

from __future__ import annotations

from typing import NamedTuple

from mongarsd.ground.errors import BadRequest, Busy, ContextOverflow
from mongarsd.ground.job import Priority
from mongarsd.inference.engine.base import Row
from mongarsd.inference.engine.cells import MIN_COPY, Cells, Placement
from mongarsd.inference.engine.pace import Pacer, Rate
from mongarsd.inference.engine.portions import portions
from mongarsd.inference.engine.queue import FairQueue
from mongarsd.inference.engine.radix import common
from mongarsd.inference.engine.sequence import Sequence
from mongarsd.inference.engine.speculation import Speculation

#: Expected answer length before any was seen, tokens.
EXPECTED_COMPLETION = 200.0


class Admission(NamedTuple):
    sequence: Sequence
    placement: Placement
    replaced: list[int]  # tokens that the slot held before
    replaced_adapter: str  # what they were computed with


class Batch(NamedTuple):
    """Rows that are computed together, with one adapter, and whose they are."""

    rows: list[Row]
    owners: list[Sequence]

    @property
    def adapter(self) -> str:
        return self.rows[0].adapter


class Step(NamedTuple):
    """Decoding rows make a batch for each adapter, each prompt row one of its own: split KV would part them anyway."""

    batches: list[Batch]
    decoding: int  # rows of sequences that are past their prompt
    prefill: int  # prompt tokens
    draft: int = 0  # tokens by which each decoding row is longer than one
    widest: Row | None = None  # the longest prompt row


def by_adapter(rows: list[Row], owners: list[Sequence]) -> list[Batch]:
    """A batch for each adapter; rows keep their order within it."""
    if len({row.adapter for row in rows}) == 1:
        return [Batch(rows, owners)]
    groups: dict[str, Batch] = {}
    for row, owner in zip(rows, owners, strict=True):
        batch = groups.setdefault(row.adapter, Batch([], []))
        batch.rows.append(row)
        batch.owners.append(owner)
    return list(groups.values())


def in_order(batches: list[Batch], last: str) -> list[Batch]:
    """Those of one adapter after each other, beginning with the `last` one: a change costs as much as a small step."""
    if len(batches) < 2:
        return batches
    return sorted(batches, key=lambda batch: (batch.adapter != last, batch.adapter))


class Scheduler:
    def __init__(
        self,
        *,
        slots: int,
        context: int,
        queue: int,
        max_gap: float,
        batch: int,
        speculation: Speculation | None = None,
        cells: Cells | None = None,
    ) -> None:
        self._slots = slots
        self._context = context
        self._limit = queue
        self._turn = 0  # batches computed so far
        self._adapter = ""  # of the last of them
        self.speculation = speculation
        self.cells = cells or Cells(slots)
        self.pacer = Pacer(max_gap=max_gap, batch=batch)
        self.waiting = FairQueue()
        self.running: dict[str, Sequence] = {}  # by job id, oldest admission first
        self._length = Rate(0.1)  # of completions, tokens
        self._busy_step = Rate()  # seconds, while decoding
        self._per_step = Rate()  # tokens decoded in such a step

    # -- jobs come and go

    def check(self, prompt: int) -> None:
        """Refuse a prompt (tokens) that is empty or leaves no room for an answer."""
        if not prompt:
            raise BadRequest("the prompt is empty: send at least one token", param="prompt")
        if prompt >= self._context:
            raise ContextOverflow(
                f"the prompt has {prompt} tokens and the context holds {self._context}, answer included: "
                "shorten it, or raise inference.context",
                prompt=prompt,
                limit=self._context,
            )

    def submit(self, sequence: Sequence) -> None:
        """Queue it. Raises Busy when nothing is free and the queue is full."""
        if len(self.waiting) >= self._limit + self.cells.free:
            seconds = self.estimate(sequence)[0]
            raise Busy(
                f"{len(self.waiting)} jobs are waiting already: try again in about {seconds:.0f} s",
                retry_after=max(1.0, seconds / 2),
                position=len(self.waiting),
                estimate=seconds,
            )
        self.waiting.push(sequence)

    def find(self, job: str) -> Sequence | None:
        return self.running.get(job) or self.waiting.get(job)

    def expired(self, now: float) -> list[Sequence]:
        return [s for s in (*self.running.values(), *self.waiting) if s.expires <= now]

    def finish(self, sequence: Sequence, now: float) -> None:
        """Free its slot or its place in the queue; what it computed stays as a cached prefix."""
        if self.speculation:
            self.speculation.forget(sequence)
        if not sequence.running:
            self.waiting.remove(sequence)
            return
        del self.running[sequence.id]
        self.cells.release(sequence.slot, sequence.tokens[: sequence.computed], now)
        sequence.slot = -1
        if sequence.completion:
            self._length.add(sequence.completion)

    # -- a step

    def admit(self, now: float) -> list[Admission]:
        """Give free slots to those whose turn it is."""
        admitted: list[Admission] = []
        if not len(self.waiting):
            return admitted
        for sequence in self.waiting.order(self.running.values()):
            if not self.cells.free and sequence.job.priority is not Priority.INTERACTIVE:
                break
            if sequence.fetching or self._better_soon(sequence):
                continue
            if not self.cells.free and not self._make_way(now):
                break
            held = [(self.cells.path(slot), self.cells.adapter(slot)) for slot in range(self._slots)]
            placement = self.cells.take(
                sequence.tokens,
                reuse=sequence.job.cache_prompt,
                stored=sequence.stored,
                adapter=sequence.job.adapter,
            )
            assert placement, "a free slot was counted"
            sequence.slot, sequence.computed = placement.slot, placement.cached
            if not sequence.yielded:
                sequence.admitted, sequence.cached = now, placement.cached
            self.waiting.admitted(sequence)
            self.running[sequence.id] = sequence
            admitted.append(Admission(sequence, placement, *held[placement.slot]))
            if placement.restored:
                break  # restoring may fail: nobody else builds on it in this step
        return admitted

    def _make_way(self, now: float) -> bool:
        """The batch job that was admitted last goes back to the queue with all it has said; False if none runs."""
        batch = [s for s in self.running.values() if s.job.priority is Priority.BATCH]
        if not batch:
            return False
        youngest = max(reversed(batch), key=lambda s: s.admitted)
        del self.running[youngest.id]
        self.cells.release(youngest.slot, youngest.tokens[: youngest.computed], now)
        youngest.slot, youngest.yielded = -1, True
        self.waiting.push(youngest)
        return True

    def next(self) -> list[Sequence]:
        """Who may be admitted soon, in order: as many as slots are free, or one."""
        if not len(self.waiting):
            return []
        return self.waiting.order(self.running.values())[: max(1, self.cells.free)]

    @property
    def streaming(self) -> bool:
        """Does anybody wait for the next token?"""
        return any(s.decoding for s in self.running.values())

    def uncached(self, sequence: Sequence) -> None:
        """The backend could not keep the prefix: all of it is to be computed."""
        sequence.computed = 0
        self.cells.publish(sequence.slot, [])
        if not sequence.yielded:
            sequence.cached = 0

    def plan(self) -> Step:
        """What the next step computes; no batches when nothing runs."""
        decoding = [s for s in self.running.values() if s.decoding]
        filling = [s for s in self.running.values() if not s.decoding]
        batches: list[Batch] = []
        drafts: list[list[int]] = [[] for _ in decoding]
        if self.speculation and not filling and not any(s.single for s in decoding):
            drafts = self.speculation.drafts(decoding)
        if decoding:
            rows = [
                Row(s.slot, s.computed, [*s.tokens[s.computed :], *draft], 1 + len(draft), s.job.adapter)
                for s, draft in zip(decoding, drafts, strict=True)
            ]
            batches += by_adapter(rows, decoding)
        prefill, widest = 0, None
        begins = {s.id: s.computed for s in filling}
        position = filling[0].computed if filling else 0
        for sequence, count in portions(filling, self.pacer.chunk(len(decoding), position) if filling else 0):
            begin = begins[sequence.id]
            end = begins[sequence.id] = begin + count
            tokens = sequence.tokens[begin:end]
            last = int(end == len(sequence.tokens))
            row = Row(sequence.slot, begin, tokens, last, sequence.job.adapter)
            batches.append(Batch([row], [sequence]))
            widest = row if widest is None or count > len(widest.tokens) else widest
            prefill += count
        batches = in_order(batches, self._adapter)
        self._adapter = batches[-1].adapter if batches else self._adapter
        return Step(batches, len(decoding), prefill, max(map(len, drafts), default=0), widest)

    def computed(self, batch: Batch) -> None:
        """The batch is in the cache. A draft's tokens are not counted before they prove right."""
        self._turn += 1
        for row, sequence in zip(batch.rows, batch.owners, strict=True):
            drafted = max(row.outputs - 1, 0)
            sequence.drafted += drafted
            sequence.computed += len(row.tokens) - drafted
            sequence.turn = self._turn
            if row.outputs and not sequence.decoding:
                self.cells.publish(sequence.slot, sequence.tokens[: sequence.computed])
                sequence.yielded = False

    def commit(self, step: Step, seconds: float, decoded: int) -> None:
        """All batches of the step were computed; `decoded` tokens came from its decoding rows."""
        widest, position = (len(step.widest.tokens), step.widest.start) if step.widest else (0, 0)
        if not step.draft:  # else it is no measure of a plain step
            self.pacer.observe(
                decoding=step.decoding, prefill=step.prefill, seconds=seconds, widest=widest, position=position
            )
        if step.decoding:
            self._busy_step.add(seconds * step.decoding / max(decoded, 1))  # for one token of each stream
            self._per_step.add(step.decoding)
            if self.speculation and not step.prefill:
                self.speculation.observe(step.decoding, step.draft, seconds)

    # -- figures

    @property
    def decode_rate(self) -> float:
        """Tokens a second over all streams, 0 when nothing was measured."""
        return (self._per_step.value or 0.0) / self._busy_step.value if self._busy_step.value else 0.0

    @property
    def step(self) -> float:
        return self._busy_step.value or 0.0

    def backlog(self) -> tuple[int, int]:
        """Prompt tokens still to be computed, and tokens still to be produced at their expected length."""
        everything = (*self.running.values(), *self.waiting)
        prefill = sum(s.pending - (0 if s.running else self._cached(s)) for s in everything)
        return prefill, round(sum(self._expected(s) for s in everything))

    def estimate(self, sequence: Sequence) -> tuple[float, float]:
        """Seconds to the first token and to the end, were it queued last."""
        prefill, decode = self.backlog()
        per_prompt_token = 1 / self.pacer.prefill_rate if self.pacer.prefill_rate else 0.01
        per_token = 1 / self.decode_rate if self.decode_rate else 0.02
        queue = prefill * per_prompt_token + (decode * per_token if not self.cells.free else 0.0)
        first = queue + (sequence.pending - self._cached(sequence)) * per_prompt_token
        return first, first + self._expected(sequence) * max(per_token, self.pacer.decode_step)

    def _expected(self, sequence: Sequence) -> float:
        left = sequence.limit - len(sequence.tokens)
        return min(left, max((self._length.value or EXPECTED_COMPLETION) - sequence.completion, 1.0))

    def _cached(self, sequence: Sequence) -> int:
        return self.cells.cached(sequence.tokens, sequence.job.adapter)

    def _better_soon(self, sequence: Sequence) -> bool:
        """Somebody is computing the same prompt right now: wait, and copy."""
        if not (sequence.job.cache_prompt and self.cells.shares):
            return False
        known = max(self._cached(sequence), sequence.stored) + MIN_COPY
        return any(
            common(sequence.tokens, other.tokens[: other.prompt]) >= known
            for other in self.running.values()
            if not other.decoding and other.job.adapter == sequence.job.adapter
        )
