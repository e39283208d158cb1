"""The fast twin of `bpe.py`, for the same merges and ids: it learns on whole arrays, and the library `tokenizers` cuts.

All pieces stand in one row of cells, a character to each, with a gap before each piece. When units are joined, the id
of the whole is written into its first cell and its last. So a pair is known by its places, the cells where its right
unit begins: what stands there and what ends before it are in two neighbouring cells. No cell ever moves.

Where the library is not installed, `bpe.py` cuts.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from heapq import heappop, heappush
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hornbook.text.characters import code_points

if TYPE_CHECKING:
    from tokenizers.models import BPE

Places = npt.NDArray[np.intp]
GAP = -1  # in place of an id
EDGE = np.ones(1, bool)


def learn(words: Mapping[str, int], alphabet: Sequence[str], size: int) -> list[tuple[str, str, int]]:
    """Return what `bpe.learn` returns; the alphabet is in the order of code points.

    Every place of a pair comes to be in one step, that which makes the newer of its two units; from then on places are
    only lost. So a pair is counted then, and again, to see what is left of it, when no other seems to come more often.
    """
    gaps = np.cumsum([0, *(len(word) + 1 for word in words)])
    points = code_points(" ".join(["", *words, ""]))
    ids = np.searchsorted(code_points("".join(alphabet)), points).astype(np.int64)
    ids[gaps] = GAP
    often = np.repeat(np.array([*words.values(), 0], np.int64), np.diff(gaps, append=len(ids)))
    heap: list[tuple[int, int, Places]] = []  # minus how often it comes, left << 32 | right, where

    def count(places: Places) -> None:
        pairs = ids[places - 1] << 32 | ids[places]  # below 0 where either is a gap
        order = np.argsort(pairs)
        pairs, places = pairs[order], places[order]
        bounds = np.flatnonzero(np.concatenate([EDGE, pairs[1:] != pairs[:-1], EDGE]))
        begins = bounds[:-1]
        seen, pairs = np.add.reduceat(often[places], begins), pairs[begins]
        kept = np.flatnonzero((seen > 1) & (pairs >= 0))
        found = (seen[kept], pairs[kept], begins[kept], bounds[kept + 1])
        for n, pair, begin, end in zip(*(each.tolist() for each in found), strict=True):
            heappush(heap, (-n, pair, places[begin:end]))

    count(np.arange(len(ids)))  # the first has the last one before it: both are gaps
    units, merges = list(alphabet), list[tuple[str, str, int]]()
    while heap and len(units) < size:
        n, pair, places = heappop(heap)
        left, right = divmod(pair, 1 << 32)
        places = places[(ids[places - 1] == left) & (ids[places] == right)]
        if (now := int(often[places].sum())) < -n:  # other merges have made it rarer since
            if now > 1:
                heappush(heap, (-now, pair, places))
            continue
        before, after = len(units[left]), len(units[right])
        if left == right:  # of "aaa", the first two: every other one where they follow one another
            places, at = np.sort(places), np.arange(len(places))
            row = np.maximum.accumulate(np.where(np.diff(places, prepend=0) == before, 0, at))
            places = places[(at - row) % 2 == 0]
        whole = len(units)
        merges.append((units[left], units[right], int(often[places].sum())))
        units.append(units[left] + units[right])
        starts, ends = places - before, places + after
        ids[places - 1] = ids[places] = GAP
        ids[starts] = ids[ends - 1] = whole
        count(np.concatenate([starts, ends[ids[ends] != whole]]))
    return merges


def cutter(units: Sequence[str], pairs: Sequence[tuple[str, str]]) -> Callable[[str], list[int]] | None:
    """Return what gives the ids of a piece of the alphabet; None where `bpe.py` has to find them.

    `units` are the alphabet, then what the merges of `pairs` make. The library takes no half of a surrogate pair.
    """
    if not find_spec("tokenizers") or any("\ud800" <= each <= "\udfff" for each in units):
        return None
    from tokenizers.models import BPE

    return partial(_cut, BPE({unit: i for i, unit in enumerate(units)}, list(pairs)))


def _cut(model: "BPE", word: str) -> list[int]:
    return [token.id for token in model.tokenize(word)]
