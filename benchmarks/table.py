"""Ratios of pairs: median, minimum and maximum; as a Markdown table and as JSON."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Row:
    """One figure, measured in pairs; `better` says which way is good, `target` what the ratio must reach."""

    name: str
    unit: str
    ours: list[float]
    theirs: list[float]
    better: str  # "higher" or "lower"
    target: float

    @property
    def ratios(self) -> list[float]:
        return [a / b for a, b in zip(self.ours, self.theirs, strict=True)]

    @property
    def met(self) -> bool:
        median = statistics.median(self.ratios)
        return median >= self.target if self.better == "higher" else median <= self.target

    def markdown(self) -> str:
        ratio = f"**{statistics.median(self.ratios):.2f}** ({min(self.ratios):.2f}–{max(self.ratios):.2f})"
        sign = "≥" if self.better == "higher" else "≤"
        ours, theirs = statistics.median(self.ours), statistics.median(self.theirs)
        verdict = "yes" if self.met else "**no**"
        return (
            f"| {self.name} | {ours:.4g} {self.unit} | {theirs:.4g} {self.unit} | {ratio} | {sign} {self.target:.3g} "
            f"| {verdict} |"
        )

    def json(self) -> dict[str, object]:
        return {**asdict(self), "ratios": self.ratios, "median": statistics.median(self.ratios), "met": self.met}


HEADER = "| what | mongarsd | llama-server | ratio: median (min–max) | target | met |\n|---|---|---|---|---|---|"


def markdown(rows: list[Row]) -> str:
    return "\n".join([HEADER, *(row.markdown() for row in rows)])
