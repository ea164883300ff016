"""What an account may ask for: requests a minute, tokens a minute, jobs at the same time.

Token buckets that hold a minute's worth. How many tokens a job takes is known when it ends, so that bucket may go into
debt: jobs are admitted while there is any, and then not before it is paid back.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import cast

from mongarsd.ground.clock import Clock
from mongarsd.ground.errors import RateLimited
from mongarsd.ground.executor import Estimate, Executor
from mongarsd.ground.job import Delta, Event, Finished, Job, Started

MINUTE = 60.0
#: Seconds after which somebody whose job was refused may look again: nobody knows when one of theirs ends.
JOB_RETRY = 2.0


@dataclass(frozen=True)
class Limits:
    """0 = none."""

    requests: int = 0  # a minute
    tokens: int = 0  # a minute
    jobs: int = 0  # at the same time


class Bucket:
    """Fills evenly with `size` units a minute and holds no more. Times are monotonic seconds."""

    def __init__(self, size: int, now: float) -> None:
        self.size = size
        self._level = float(size)
        self._at = now

    def level(self, now: float) -> float:
        """Units there are; negative = a debt."""
        return min(self.size, self._level + max(now - self._at, 0.0) * self.size / MINUTE)

    def wait(self, now: float, units: float = 1.0) -> float:
        """Seconds until there are so many."""
        return max(units - self.level(now), 0.0) * MINUTE / self.size

    def take(self, now: float, units: float) -> None:
        self._level = self.level(now) - units
        self._at = max(now, self._at)


class Spent:
    """Of one account."""

    def __init__(self) -> None:
        self.requests: Bucket | None = None
        self.tokens: Bucket | None = None
        self.jobs = 0

    def follow(self, limits: Limits, now: float) -> None:
        """A changed limit begins with a full bucket."""
        self.requests = _bucket(self.requests, limits.requests, now)
        self.tokens = _bucket(self.tokens, limits.tokens, now)


def _bucket(held: Bucket | None, size: int, now: float) -> Bucket | None:
    if not size:
        return None
    return held if held and held.size == size else Bucket(size, now)


class Rates:
    """`limits` says what holds for an account now. An account without limits costs nothing here."""

    def __init__(self, limits: Callable[[str], Limits], clock: Clock) -> None:
        self._limits, self._clock = limits, clock
        self._of: dict[str, Spent] = {}  # as many as there are accounts with limits

    def limited(self, account: str) -> bool:
        """Does any limit hold for it now?"""
        return self._spent(account)[0] is not None

    def request(self, account: str) -> None:
        """Count a request. Raises RateLimited; then it did not count."""
        spent, _ = self._spent(account)
        if spent is None or spent.requests is None:
            return
        now = self._clock.monotonic()
        if wait := spent.requests.wait(now):
            raise RateLimited(f"this account may send {spent.requests.size} requests a minute", retry_after=wait)
        spent.requests.take(now, 1.0)

    @contextmanager
    def job(self, account: str) -> Iterator[None]:
        """While a job waits and runs. Raises RateLimited."""
        spent, limits = self._spent(account)
        if spent is None:
            yield
            return
        if limits.jobs and spent.jobs >= limits.jobs:
            raise RateLimited(f"this account may have {limits.jobs} jobs at the same time", retry_after=JOB_RETRY)
        if spent.tokens and (wait := spent.tokens.wait(self._clock.monotonic())):
            raise RateLimited(f"this account may use {spent.tokens.size} tokens a minute", retry_after=wait)
        spent.jobs += 1
        try:
            yield
        finally:
            spent.jobs -= 1

    def charge(self, account: str, tokens: int) -> None:
        spent, _ = self._spent(account)
        if spent and spent.tokens:
            spent.tokens.take(self._clock.monotonic(), tokens)

    def headers(self, account: str) -> dict[str, str]:
        """As OpenAI names them, for the limits there are."""
        spent, _ = self._spent(account)
        now = self._clock.monotonic()
        named: dict[str, str] = {}
        for name, bucket in (("Requests", spent and spent.requests), ("Tokens", spent and spent.tokens)):
            if bucket:
                named[f"X-RateLimit-Limit-{name}"] = str(bucket.size)
                named[f"X-RateLimit-Remaining-{name}"] = str(max(math.floor(bucket.level(now)), 0))
                named[f"X-RateLimit-Reset-{name}"] = f"{math.ceil(bucket.wait(now, bucket.size))}s"
        return named

    def _spent(self, account: str) -> tuple[Spent | None, Limits]:
        limits = self._limits(account)
        held = self._of.get(account)
        if limits == Limits() and (held is None or not held.jobs):
            self._of.pop(account, None)
            return None, limits
        spent = self._of.setdefault(account, Spent())
        spent.follow(limits, self._clock.monotonic())
        return spent, limits


class Metered:
    """An executor that keeps every job's account within its rates."""

    def __init__(self, executor: Executor, rates: Rates) -> None:
        self._executor, self._rates = executor, rates

    def estimate(self, job: Job) -> Estimate:
        return self._executor.estimate(job)

    def run(self, job: Job) -> AsyncIterator[Event]:
        """As Executor.run; raises RateLimited too. A job that is cancelled pays for what it had; counting is free.

        Limits that an account gets hold for its next job: where there are none, no event is looked at.
        """
        return self._counted(job) if self._rates.limited(job.account) else self._executor.run(job)

    async def _counted(self, job: Job) -> AsyncIterator[Event]:
        prompt = produced = 0
        with self._rates.job(job.account):
            try:
                async with aclosing(cast(AsyncGenerator[Event, None], self._executor.run(job))) as events:
                    async for event in events:
                        if type(event) is Delta:
                            produced += len(event.tokens)
                        elif type(event) is Started:
                            prompt = event.prompt
                        elif type(event) is Finished:
                            prompt, produced = event.usage.prompt, event.usage.completion
                        yield event
            finally:
                if (prompt or produced) and not job.count:
                    self._rates.charge(job.account, prompt + produced)
