"""Answers that can be given again, in RAM only: bounded in bytes, each until a fixed time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import msgspec

from mongarsd.ground.clock import Clock
from mongarsd.ground.metrics import Metrics
from mongarsd.ground.settings import CacheSettings
from mongarsd.ground.status import AnswerCache

#: Bytes an entry takes beside what it holds: two entries of dictionaries, a tuple, headers of objects.
OVERHEAD = 400


class _Answer(msgspec.Struct, frozen=True, gc=False):
    content: bytes
    until: float  # monotonic seconds


class StoredAnswers:
    """Keys are digests. An answer that is used goes to the end of the queue, but lives no longer for it."""

    def __init__(self, clock: Clock, settings: Callable[[], CacheSettings], metrics: Metrics) -> None:
        """`settings` is asked each time, so that a reload counts."""
        self._clock, self._settings = clock, settings
        self._answers: OrderedDict[bytes, _Answer] = OrderedDict()  # the longest unused first
        self._stored: OrderedDict[bytes, None] = OrderedDict()  # the oldest first
        self._bytes = 0
        self._hits = metrics.counter("mongarsd_answer_cache_hits_total", "Jobs that were answered from RAM.")
        self._misses = metrics.counter("mongarsd_answer_cache_misses_total", "Jobs that could have been, and were not.")
        self._evictions = metrics.counter(
            "mongarsd_answer_cache_evictions_total", "Answers that went for want of room, or of age.", ("cause",)
        )
        metrics.gauge("mongarsd_answer_cache_bytes", "Bytes of stored answers.").source = lambda: {
            (): self.status().bytes
        }

    @property
    def on(self) -> bool:
        settings = self._settings()
        return bool(settings.answers and settings.answers_ttl)

    @property
    def largest(self) -> int:
        """Bytes of an answer that is worth keeping: a larger one would push out most of the others."""
        return self._settings().answers // 8

    def get(self, key: bytes) -> bytes | None:
        self._trim()
        found = self._answers.get(key)
        if found is None:
            self._misses.add()
            return None
        self._hits.add()
        self._answers.move_to_end(key)
        return found.content

    def missed(self) -> None:
        """Somebody did not want to be answered from here."""
        self._misses.add()

    def put(self, key: bytes, content: bytes) -> None:
        """An answer that is there already is replaced, and its time begins anew."""
        if not self.on or len(content) > self.largest:
            return
        self._drop(key)
        self._answers[key] = _Answer(content, self._clock.monotonic() + self._settings().answers_ttl)
        self._stored[key] = None
        self._bytes += _size(key, content)
        self._trim()

    def clear(self) -> None:
        self._answers.clear()
        self._stored.clear()
        self._bytes = 0

    def status(self) -> AnswerCache:
        self._trim()
        settings = self._settings()
        return AnswerCache(
            answers=len(self._answers),
            bytes=self._bytes,
            budget=settings.answers if self.on else 0,
            ttl=settings.answers_ttl,
            hits=int(self._hits[()]),
            misses=int(self._misses[()]),
            evictions=int(sum(self._evictions.values.values())),
        )

    def _trim(self) -> None:
        """What is too old goes, then what is too much. A time that was set shorter counts for what is there as well."""
        settings, now = self._settings(), self._clock.monotonic()
        if not self.on:
            self.clear()
        while self._stored:
            key = next(iter(self._stored))
            if now < self._answers[key].until and self._answers[key].until <= now + settings.answers_ttl:
                break
            self._drop(key)
            self._evictions.add("age")
        while self._bytes > settings.answers:
            self._drop(next(iter(self._answers)))
            self._evictions.add("room")

    def _drop(self, key: bytes) -> None:
        if found := self._answers.pop(key, None):
            del self._stored[key]
            self._bytes -= _size(key, found.content)


def _size(key: bytes, content: bytes) -> int:
    return len(key) + len(content) + OVERHEAD
