"""Which texts are computed together. Pure: jobs in, the next run out.

Texts that wait at the same time share a run, whoever sent them. A run is a table as wide as its longest text, so only
texts of nearly the same length are put together, and it is bounded, so that whoever comes next waits for one run at
most. Who is next: interactive before batch, then the account that got least, then who waited longest.
"""

from __future__ import annotations

from array import array
from typing import TypeAlias

from mongarsd.ground.job import Job, Priority

#: Lengths are rounded up to this many tokens: padding costs at most 15 tokens a text.
BUCKET = 16
#: Tokens a run may have, padding included; more make nothing faster (all-MiniLM-L6-v2 on two x86 cores: 0.3 s a run).
RUN = 1024
#: Whatever the board: one text of the usual length.
RUN_LEAST = 256

#: A text's tokens; those of the second text of a pair as ~token, so that both fit into one flat array.
Tokens: TypeAlias = "array[int]"


class Work:
    """One job's texts: what waits, and what is done."""

    def __init__(self, job: Job, texts: list[Tokens], arrived: float, dimensions: int) -> None:
        self.job = job
        self.texts = texts
        self.arrived = arrived
        self.started: float | None = None
        self.size = sum(map(len, texts))  # tokens
        self.left = self.size
        self._undone = len(texts)
        self._width = dimensions * 4
        self.vectors = bytearray(len(texts) * self._width)
        self._waiting: dict[int, list[int]] = {}  # bucket -> numbers of texts, the next one last
        for index in reversed(range(len(texts))):
            self._waiting.setdefault(bucket(len(texts[index])), []).append(index)

    @property
    def expires(self) -> float:
        return float("inf") if self.job.deadline is None else self.arrived + self.job.deadline

    @property
    def done(self) -> bool:
        return self._undone == 0

    @property
    def widest(self) -> int:
        """The largest bucket that has texts waiting."""
        return max(self._waiting)

    def take(self, size: int, most: int) -> list[int]:
        """Up to `most` texts of a bucket."""
        waiting = self._waiting.get(size, [])
        taken = [waiting.pop() for _ in range(min(most, len(waiting)))]
        if taken and not waiting:
            del self._waiting[size]
        return taken

    def put(self, index: int, vector: bytes) -> None:
        self.vectors[index * self._width : (index + 1) * self._width] = vector
        self._undone -= 1
        self.left -= len(self.texts[index])


class Queue:
    """Jobs in order of arrival, and how much each waiting account has got."""

    def __init__(self) -> None:
        self._works: dict[str, Work] = {}
        self._served: dict[str, int] = {}  # tokens

    def __len__(self) -> int:
        return len(self._works)

    def works(self) -> list[Work]:
        return list(self._works.values())

    @property
    def backlog(self) -> int:
        """Tokens."""
        return sum(work.left for work in self._works.values())

    def push(self, work: Work) -> None:
        self._works[work.job.id] = work
        least = min(self._served.values(), default=0)  # a newcomer has no claim to what others got before
        self._served.setdefault(work.job.account, least)

    def pop(self, job: str) -> Work | None:
        work = self._works.pop(job, None)
        accounts = {work.job.account for work in self._works.values()}
        self._served = {account: size for account, size in self._served.items() if account in accounts}
        return work

    def run(self, budget: int = RUN) -> list[tuple[Work, int]]:
        """The texts to compute next; they no longer wait. At least one, if there is any."""
        order = sorted(
            self._works.values(),
            key=lambda work: (work.job.priority is Priority.BATCH, self._served[work.job.account], work.arrived),
        )
        if not order:
            return []
        size = order[0].widest
        room = max(1, budget // size)
        run: list[tuple[Work, int]] = []
        for work in order:
            taken = work.take(size, room - len(run))
            self._served[work.job.account] += size * len(taken)
            run += [(work, index) for index in taken]
        return run


def bucket(length: int) -> int:
    return max(BUCKET, -(-length // BUCKET) * BUCKET)
