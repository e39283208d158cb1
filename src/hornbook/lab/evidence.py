"""Was it the change, or luck? Differences of paired runs, and how far they can be trusted.

Each seed gives one difference between two variants. Their mean is the effect; how much they scatter says, by Student's
t ("The probable error of a mean", 1908), within which interval the effect would lie if there were seeds without end. A
table of several variants has several chances to be lucky: each interval is so much wider that all hold together
(Bonferroni).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean, stdev

LEVEL = 0.99  # how often all intervals of a table hold; not less: who finds too little adds seeds, and looks again
MOST_SEEDS = 100  # that are worth naming as a remedy


def share_within(t: float, df: int) -> float:
    """Return how often Student's t with so many degrees of freedom lies within ±t (Abramowitz & Stegun, 26.7.3-4)."""
    angle, odd = math.atan(t / math.sqrt(df)), df % 2
    term = math.cos(angle) if odd else 1.0
    series = term if df > 1 else 0.0
    for k in range(2 + odd, df - 1, 2):
        term *= (k - 1) / k * math.cos(angle) ** 2
        series += term
    return 2 / math.pi * (angle + math.sin(angle) * series) if odd else math.sin(angle) * series


@cache
def quantile(level: float, df: int) -> float:
    """Return the t that Student's t with so many degrees of freedom stays within, as often as `level` says."""
    low, high = 0.0, 1.0
    while share_within(high, df) < level:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if share_within(middle, df) < level else (low, middle)
    return high


@dataclass(frozen=True)
class Effect:
    """What a change did to the loss: the mean difference, below 0 where it is better, and its interval."""

    mean: float
    low: float | None
    """None for both ends where one seed alone says nothing about luck"""
    high: float | None
    verdict: str
    """better, worse, the same (to the last bit, in each seed), or unknown"""
    said: str
    """all of that in words"""


def weigh(differences: Sequence[float], comparisons: int = 1) -> Effect:
    """Return the effect that one difference a seed shows, as one of so many comparisons that are made together."""
    n, level, mean = len(differences), 1 - (1 - LEVEL) / comparisons, fmean(differences)
    digits = ".4f" if abs(mean) >= 0.0001 else ".1e"
    if not any(differences):
        return Effect(0.0, 0.0, 0.0, "the same", "the same, bit for bit")
    if n == 1:
        said = f"not enough evidence: {mean:+{digits}}; one seed can't tell: take --seeds 3 or more"
        return Effect(mean, None, None, "unknown", said)
    error = stdev(differences)
    wide = quantile(level, n - 1) * error / math.sqrt(n)
    low, high = mean - wide, mean + wide
    if abs(mean) > wide:
        verdict, (near, far) = "better" if high < 0 else "worse", sorted((abs(low), abs(high)))
        said = f"{verdict} by {abs(mean):{digits}} ({near:{digits}} to {far:{digits}})"
        return Effect(mean, low, high, verdict, said)
    counts = range(n + 1, MOST_SEEDS + 1)
    enough = next((m for m in counts if quantile(level, m - 1) * error < abs(mean) * math.sqrt(m)), None)
    remedy = f"--seeds {enough} may tell" if enough else f"needs over {MOST_SEEDS} seeds"
    said = f"not enough evidence: {mean:+{digits}} ({low:+{digits}} to {high:+{digits}}); {remedy}"
    return Effect(mean, low, high, "unknown", said)
