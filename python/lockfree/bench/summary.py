"""The statistics of the benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles

# In thousandths: as a float, 99.9 % of 1000 samples would be rank 1000.
PERCENTILES = {"p50": 500, "p99": 990, "p99.9": 999, "max": 1000}


@dataclass(frozen=True, slots=True)
class Summary:
    """What several rounds of one measurement say."""

    rounds: int
    median: float
    best: float
    low: float
    """The first quartile."""
    high: float
    """The third quartile."""

    @property
    def spread(self) -> float:
        """How far the quartiles are apart, as a fraction of the median."""
        return (self.high - self.low) / self.median


def summarize(times: Sequence[float]) -> Summary:
    """Return the summary of at least one round."""
    if len(times) == 1:
        low = high = times[0]
    else:
        low, _, high = quantiles(times, n=4, method="inclusive")
    return Summary(len(times), median(times), min(times), low, high)


def speedup(times: Summary, baseline: Summary) -> float:
    """Return how many times as fast as the baseline it was, by the medians."""
    return baseline.median / times.median


def differ(a: Summary, b: Summary) -> bool:
    """Whether a difference is shown: the middle halves of the rounds are apart.

    One round alone shows none: it says nothing about the noise.
    """
    return min(a.rounds, b.rounds) > 1 and (a.high < b.low or b.high < a.low)


def percentile(histogram: Mapping[int, int], thousandths: int) -> int:
    """Return a percentile of the values that `histogram` counts, by nearest rank.

    That is the smallest value that so many thousandths of all values do not
    exceed: always one that was measured, and the maximum for 1000.
    """
    if not histogram:
        raise ValueError("no values, so no percentile")
    rank = max(1, -(-thousandths * sum(histogram.values()) // 1000))
    for value in sorted(histogram):
        rank -= histogram[value]
        if rank <= 0:
            return value
    raise ValueError(f"thousandths must be at most 1000, not {thousandths}")


def is_resolved(label: str, values: int) -> bool:
    """Whether one of `PERCENTILES` of so many values is more than their maximum by another name."""
    return label == "max" or values * (1000 - PERCENTILES[label]) >= 1000


def percentiles(histogram: Mapping[int, int]) -> dict[str, int]:
    """Return those of `PERCENTILES`, by label."""
    return {label: percentile(histogram, at) for label, at in PERCENTILES.items()}
