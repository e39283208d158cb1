"""What a loss is to be compared with: the same text, guessed at without a network."""

import math

import numpy as np

COUNTED = 1 << 24  # units that are counted at most: more would not change the table, and would take memory


def uniform(vocab_size: int) -> float:
    """Return the loss of a guess at random, ln V, in nats."""
    return math.log(vocab_size)


def bigram(train: np.ndarray, val: np.ndarray, vocab_size: int, pseudo: float = 0.1) -> float:
    """Return the loss on `val` of a table that counts what follows what in `train`, in nats a unit.

    `pseudo` is added to every count, so that a pair never seen is unlikely and not impossible (Lidstone 1920).
    """
    train, val = train[:COUNTED], val[:COUNTED]
    pairs, seen = _pairs(train, vocab_size)
    firsts = np.bincount(train[:-1], minlength=vocab_size)
    asked, times = _pairs(val, vocab_size)
    places = np.searchsorted(pairs, asked).clip(max=len(pairs) - 1)
    counts = np.where(pairs[places] == asked, seen[places], 0)
    chances = (counts + pseudo) / (firsts[asked // vocab_size] + pseudo * vocab_size)
    return float(-(times * np.log(chances)).sum() / times.sum())


def _pairs(ids: np.ndarray, vocab_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs of neighbours in a text, sorted, as first * V + second, and how often each comes."""
    codes = ids[:-1].astype(np.int64) * vocab_size + ids[1:]
    if vocab_size <= 1024:  # a table is quicker than sorting
        counts = np.bincount(codes, minlength=vocab_size**2)
        (pairs,) = np.nonzero(counts)
        return pairs, counts[pairs]
    return np.unique(codes, return_counts=True)
