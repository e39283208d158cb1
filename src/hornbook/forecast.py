"""What loss to expect of `quick` before anything is trained: from what counting reaches on the text, and what is read.

A text that a 5-gram model finds easy, a network finds easy too, and how far it comes beside that is a matter of how
much it reads: the logarithm of the one over the other falls to a floor, with the square root of what is read (a power
law, as Hestness 2017 found of many networks). Both weights come from the runs of `python bench/forecast.py fit`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

WEIGHTS = (-0.0486, 0.0639)
"""of `features`"""
SPREAD = 0.114  # in that logarithm: of texts that had no part in the weights, nine in ten runs were no farther off
READ = (5e4, 4e7)  # units: nothing is said far beyond what was tried


@dataclass(frozen=True)
class Forecast:
    """A loss in nats a character, and an interval that should hold it nine times in ten."""

    loss: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"expect a loss of about {self.loss:.2f} ({self.low:.2f} to {self.high:.2f}, nine times in ten)"


def forecast(landmarks: Mapping[str, float], read: float) -> Forecast | None:
    """Say what comes of a text with these landmarks, if so many units are read.

    None where nothing is known: of amounts far from those that were tried, and of texts that can't be counted.
    """
    mark = landmarks.get("5-gram", 0.0)
    if mark <= 0 or not READ[0] <= read <= READ[1]:
        return None
    log = sum(weight * feature for weight, feature in zip(WEIGHTS, features(read), strict=True))
    return Forecast(*(mark * math.exp(log + by) for by in (0.0, -SPREAD, SPREAD)))


def features(read: float) -> tuple[float, float]:
    """Return what is weighed, for an amount of units read: the floor, and what is above it."""
    return 1.0, (read / 1e6) ** -0.5
