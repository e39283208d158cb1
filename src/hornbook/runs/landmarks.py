"""What a loss is compared with: the names of such marks, as config.json has them, and their words."""

import math
from collections.abc import Mapping
from typing import Any

WORDS = {
    "guess": "a guess at random",
    "unigram": "a unigram table",
    "bigram": "a bigram table",
    "5-gram": "a 5-gram model",
    "xz": "xz",
}


def are_landmarks(data: Any) -> bool:
    """Say whether plain data names losses to compare with: at least those that every run has, each a finite float."""
    named = isinstance(data, dict) and {"guess", "bigram"} <= data.keys()
    return named and all(type(mark) is float and math.isfinite(mark) for mark in data.values())


def told(landmarks: Mapping[str, float]) -> str:
    """Name all of them in words, with their losses."""
    return ", ".join(f"{words} {landmarks[name]:.4f}" for name, words in WORDS.items() if name in landmarks)


def passed(landmarks: Mapping[str, float], before: float, now: float) -> str:
    """Say which is the lowest that a loss has just come below, but for the guess; nothing if there is none."""
    below = {landmarks[name]: name for name in WORDS if now < landmarks.get(name, now) <= before and name != "guess"}
    if not below:
        return ""
    mark, name = min(below.items())
    return f"now below {WORDS[name].replace('a ', 'the ', 1)}'s {mark:.2f}"
