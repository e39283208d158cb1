"""How much of the validation text also stands in the training text: what a model may know by heart, and not understand.

Licences, headings and duplicated lines leak; so do documents that are in a collection twice. A stretch of text is known
by a 64-bit hash, which is made of the hashes of its halves (a polynomial in one odd number, modulo 2**64; after Karp
and Rabin, "Efficient randomized pattern-matching algorithms", 1987).
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from hornbook.errors import UsageError

Array = npt.NDArray[np.integer[Any]]

LENGTH = 40
PIECE = 1 << 18  # units of the training text that are hashed at a time
SAMPLE, RUN = 1 << 19, 1 << 11  # at most so many units of the validation text are looked up, in stretches of so many
BASE = 0x9E3779B97F4A7C15  # odd, far from small numbers: 2**64 over the golden ratio
BITS = 24  # of a hash, for a first quick test


@dataclass(frozen=True)
class Leak:
    """How much of the validation text stands in the training text.

    `share` is of its characters; `looked` of its `units` units were looked up: all of them, or an even sample. `start`
    and `stop` are where the longest leaked stretch stands in it; both are 0 if there is none.
    """

    share: float
    looked: int
    units: int
    start: int = 0
    stop: int = 0


def leaked(train: Array | Iterable[Array], val: Array, length: int = LENGTH, sizes: Array | None = None) -> Leak:
    """Return how much of `val` stands in a stretch of at least `length` units that also stands in `train`.

    Both are rows of ids or code points, also memory maps; `train` may come in pieces. `sizes` says how many characters
    each id stands for (V,); without it each is one. The memory used does not grow with the texts: of a `val` of more
    than SAMPLE units, evenly spaced stretches of RUN are looked up in all of `train`, and the share is an estimate.
    Raises UsageError for a length below 1.
    """
    if length < 1:
        raise UsageError(f"the length of a leaked stretch is {length} units, and has to be at least 1")
    margin, size = length - 1, RUN  # what begins before a stretch, or goes on after it, is seen whole
    starts = [i * (len(val) - size - 2 * margin) // (SAMPLE // RUN - 1) for i in range(SAMPLE // RUN)]
    if len(val) <= max(SAMPLE, len(starts) * (size + 2 * margin)):
        margin, size, starts = 0, len(val), [0]
    if len(val) < length:
        return Leak(0.0, len(val), len(val))
    rows = np.stack([val[start : start + size + 2 * margin] for start in starts])  # (rows, size and margins)
    hashes = _hashes(rows, length)
    known, place = np.unique(hashes, return_inverse=True)
    found, maybe = np.zeros(len(known), bool), np.zeros(1 << BITS, bool)
    maybe[known >> np.uint64(64 - BITS)] = True

    def places(piece: Array) -> npt.NDArray[np.int64]:
        seen = _hashes(piece, length)
        seen = seen[maybe[seen >> np.uint64(64 - BITS)]]
        at = np.minimum(np.searchsorted(known, seen), len(known) - 1)
        return at[known[at] == seen]

    pieces = _overlapping(train, length)
    with ThreadPoolExecutor() as pool:  # numpy lets threads compute side by side
        while some := list(islice(pieces, 16)):
            for at in pool.map(places, some):
                found[at] = True
    hits = np.pad(found[place.reshape(hashes.shape)], ((0, 0), (length, length - 1))).cumsum(axis=1)
    inside = (hits[:, length:] > hits[:, :-length])[:, margin : margin + size]  # some window over it was found
    units = rows[:, margin : margin + size]
    weights = np.ones(units.shape, np.int64) if sizes is None else sizes[units]
    ends = np.flatnonzero(np.diff(np.pad(inside, ((0, 0), (1, 1))).ravel())).reshape(-1, 2)  # in rows of size + 2
    best = ends[np.argmax(ends[:, 1] - ends[:, 0])] if len(ends) else np.zeros(2, np.int64)
    start = starts[best[0] // (size + 2)] + margin + int(best[0] % (size + 2)) if len(ends) else 0
    share = float((weights * inside).sum() / max(1, weights.sum()))
    return Leak(share, inside.size, len(val), start, start + int(best[1] - best[0]))


def _overlapping(train: Array | Iterable[Array], length: int) -> Iterator[Array]:
    """Yield the training text in pieces, each begun with the end of the one before, so that no window is missed."""
    end: list[Array] = []
    for part in [train] if isinstance(train, np.ndarray) else train:
        for start in range(0, len(part), PIECE):
            piece = np.concatenate([*end, part[start : start + PIECE]])
            yield piece
            end = [piece[max(0, len(piece) - length + 1) :]]


def _hashes(ids: Array, length: int) -> npt.NDArray[np.uint64]:
    """Return the hash of each window of `length` ids (…, N - length + 1), put together from windows of 1, 2, 4 …"""
    n = max(0, ids.shape[-1] - length + 1)
    power, size, base = ids.astype(np.uint64) + np.uint64(1), 1, BASE
    result, have = np.zeros((*ids.shape[:-1], n), np.uint64), 0
    while n:
        if length & size:
            result = result * np.uint64(base) + power[..., have : have + n]
            have += size
            if have == length:
                break
        power = power[..., :-size] * np.uint64(base) + power[..., size:]
        size, base = 2 * size, base * base % (1 << 64)
    return result * np.uint64(BASE)  # once more, so that the high bits tell small ones apart
