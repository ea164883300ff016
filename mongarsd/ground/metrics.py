"""Counters, gauges and histograms the rooms write to; `mongarsd.api` renders them.

prometheus-client costs 14 MB and 62 ms, so it is loaded at the first scrape and reads these;
the idle daemon never does.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator
from typing import TypeVar

Labels = tuple[str, ...]
M = TypeVar("M", bound="Metric")


class Metric:
    """A family: one name, one help text, one value (or histogram) for each tuple of label values."""

    kind = "untyped"

    def __init__(self, name: str, help_text: str, labels: Labels = ()) -> None:
        self.name, self.help, self.labels = name, help_text, labels
        self.values: dict[Labels, float] = {}

    def __getitem__(self, labels: Labels) -> float:
        return self.values.get(labels, 0.0)


class Counter(Metric):
    kind = "counter"

    def add(self, *labels: str, by: float = 1.0) -> None:
        self.values[labels] = self.values.get(labels, 0.0) + by


class Gauge(Metric):
    """Set, or read at scrape time through `source`."""

    kind = "gauge"

    def __init__(self, name: str, help_text: str, labels: Labels = ()) -> None:
        super().__init__(name, help_text, labels)
        self.source: Callable[[], dict[Labels, float]] | None = None

    def set(self, value: float, *labels: str) -> None:
        self.values[labels] = value

    def read(self) -> dict[Labels, float]:
        return self.source() if self.source else self.values


class Histogram(Metric):
    kind = "histogram"

    def __init__(self, name: str, help_text: str, bounds: tuple[float, ...], labels: Labels = ()) -> None:
        super().__init__(name, help_text, labels)
        self.bounds = bounds
        self.counts: dict[Labels, list[int]] = {}  # one per bound, and one for +Inf; not cumulative

    def observe(self, value: float, *labels: str) -> None:
        if (counts := self.counts.get(labels)) is None:
            counts = self.counts[labels] = [0] * (len(self.bounds) + 1)
            self.values[labels] = 0.0
        counts[bisect.bisect_left(self.bounds, value)] += 1
        self.values[labels] += value


SECONDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)


class Metrics:
    """The registry of one daemon; made in `main` and passed in, so tests have their own."""

    def __init__(self) -> None:
        self._families: dict[str, Metric] = {}

    def counter(self, name: str, help_text: str, labels: Labels = ()) -> Counter:
        return self._add(Counter(name, help_text, labels))

    def gauge(self, name: str, help_text: str, labels: Labels = ()) -> Gauge:
        return self._add(Gauge(name, help_text, labels))

    def histogram(
        self, name: str, help_text: str, bounds: tuple[float, ...] = SECONDS, labels: Labels = ()
    ) -> Histogram:
        return self._add(Histogram(name, help_text, bounds, labels))

    def __iter__(self) -> Iterator[Metric]:
        return iter(self._families.values())

    def _add(self, metric: M) -> M:
        if metric.name in self._families:
            raise ValueError(f"metric {metric.name} is registered twice")
        self._families[metric.name] = metric
        return metric
