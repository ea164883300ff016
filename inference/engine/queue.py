"""Who is next: interactive before batch, then the account with the least running, then the one that waited longest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from mongarsd.ground.job import Priority
from mongarsd.inference.engine.sequence import Sequence


class FairQueue:
    """Waiting sequences. An account's own jobs keep their order within a priority."""

    def __init__(self) -> None:
        self._waiting: dict[str, Sequence] = {}  # by job id, in order of arrival
        self._turn = 0
        self._served: dict[str, int] = {}  # account -> turn of its last admission; only of accounts that wait

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Sequence]:
        return iter(self._waiting.values())

    def push(self, sequence: Sequence) -> None:
        self._waiting[sequence.id] = sequence

    def get(self, job: str) -> Sequence | None:
        return self._waiting.get(job)

    def remove(self, sequence: Sequence) -> None:
        del self._waiting[sequence.id]

    def admitted(self, sequence: Sequence) -> None:
        """It got a slot: its account is now the one served last."""
        self.remove(sequence)
        self._turn += 1
        self._served[sequence.job.account] = self._turn
        waiting = {s.job.account for s in self._waiting.values()}
        self._served = {account: turn for account, turn in self._served.items() if account in waiting}

    def order(self, running: Iterable[Sequence]) -> list[Sequence]:
        """All that wait, in the order in which slots would be given out if nothing else arrived or ended."""
        busy = Counter(s.job.account for s in running)
        served, turn = dict(self._served), self._turn
        result: list[Sequence] = []
        for priority in Priority:
            heads: dict[str, list[Sequence]] = {}
            for sequence in self._waiting.values():
                if sequence.job.priority is priority:
                    heads.setdefault(sequence.job.account, []).append(sequence)
            while heads:
                account = min(heads, key=lambda a: (busy[a], served.get(a, 0), heads[a][0].arrived))
                result.append(heads[account].pop(0))
                busy[account] += 1
                served[account] = turn = turn + 1
                if not heads[account]:
                    del heads[account]
        return result
