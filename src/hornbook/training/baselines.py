"""What a loss is to be compared with: the same text, guessed at without a network.

Each learns from the training text, and is asked about every unit of the validation text but the first, as the network
is. Legend: M units that are asked about, V vocabulary.
"""

import lzma
import math
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hornbook.errors import UsageError
from hornbook.runs.files import read_json, write_json
from hornbook.runs.landmarks import are_landmarks
from hornbook.text.corpora import cache_folder
from hornbook.text.shards import Shards
from hornbook.text.tokenizer import Tokenizer

COUNTED = 1 << 23  # units of each text that are counted at most: more would change little, and take memory
PACKED, SHORTEST = 1 << 20, 1000  # bytes of each text that xz gets at most; and of one that it can be measured by
UNTOLD = np.array([0, 0.5, 1.0, 1.5])  # the discounts of a text that is too short to tell them
VERSION = 1  # of the figures: grows when others come out for the same text

Ints = NDArray[np.integer[Any]]
Floats = NDArray[np.float64]


def landmarks(data: Shards) -> dict[str, float]:
    """Return what each loses on the validation text, in nats a character, by the names of `runs.landmarks`.

    They are found once for a text and its split, and kept in the cache. A validation text that is too short for xz
    has none of it.
    """
    path = cache_folder() / "landmarks" / f"{data.key}-{VERSION}.json"
    with suppress(UsageError):  # there is none, or a damaged one: it is made anew
        if are_landmarks(kept := read_json(path)):
            return kept
    V, a_unit = data.tokenizer.vocab_size, characters_in_a_unit(data.val, data.tokenizer)
    found = {
        "guess": uniform(V),
        "unigram": unigram(data.train, data.val, V),
        "bigram": bigram(data.train, data.val, V),
        "5-gram": float(-np.log(kneser_ney(data.train, data.val, V)).mean()),
    }
    found = {name: mark / a_unit for name, mark in found.items()}
    ends = data.train[-PACKED:], data.val[:PACKED]
    before, text = (data.tokenizer.decode(ids).encode("utf-8", "surrogatepass") for ids in ends)
    if len(text) >= SHORTEST:
        found["xz"] = xz(before, text)
    with suppress(OSError):  # a cache that can't be written costs the next run some time
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, found)
    return found


def characters_in_a_unit(ids: Ints, tokenizer: Tokenizer) -> float:
    """Return how many characters a unit of a text is on average. Raises `UsageError` where none is whole."""
    length = float(tokenizer.unit_characters[_counted(ids)].mean())
    if length == 0:
        raise UsageError("the text has no whole character to predict here; use a longer text.")
    return length


def uniform(vocab_size: int) -> float:
    """Return the loss of a guess at random, ln V, in nats."""
    return math.log(vocab_size)


def unigram(train: Ints, val: Ints, vocab_size: int, pseudo: float = 0.1) -> float:
    """Return the loss on `val` of a table that counts how often each unit comes in `train`, in nats a unit.

    `pseudo` is added to every count, so that a unit never seen is unlikely and not impossible (Lidstone 1920).
    """
    return _table(1, train, val, vocab_size, pseudo)


def bigram(train: Ints, val: Ints, vocab_size: int, pseudo: float = 0.1) -> float:
    """Return the loss on `val` of a table that counts what follows what in `train`, in nats a unit.

    `pseudo` is added to every count, as in `unigram`.
    """
    return _table(2, train, val, vocab_size, pseudo)


def kneser_ney(train: Ints, val: Ints, vocab_size: int, longest: int = 5) -> Floats:
    """Return how probable each unit of `val` but the first is (M,), to a model that counts up to `longest` units.

    It is modified Kneser-Ney, interpolated (Chen and Goodman 1999, section 3). Each count is lessened by a discount,
    and what that spares goes to what the model says with one unit less of context: there a unit counts as often as
    there are different ones before it. At the end stands a guess at random. A context that never came leaves all to
    the shorter one. So the chances of all V units sum to 1 in every context, and none is 0.
    """
    grams, learnt, asked = _grams(longest, train, val, vocab_size)
    numbers = np.arange(len(grams[0]), dtype=np.int32)
    places = numbers[learnt]  # where n-grams are counted: at first all, then one place of each that is longer
    chances, left = np.zeros(len(numbers[asked])), np.ones(len(numbers[asked]))
    for shorter, gram in reversed(list(pairwise(grams))):
        context = np.roll(shorter, 1)
        counts, total = _count(gram, places), _count(context, places)
        once = np.zeros_like(counts)
        once[gram[places]] = places
        places = once[counts > 0]
        cut = _discounts(counts)[np.minimum(counts, 3)]
        spared = _count(context, places, cut[gram[places]])
        now, of = context[asked], np.maximum(total, 1)
        chances += left * (counts - cut)[gram[asked]] / of[now]
        left *= np.where(total > 0, spared / of, 1)[now]
    return chances + left / vocab_size


def xz(before: bytes, text: bytes) -> float:
    """Return what a text costs behind another, both in UTF-8, in nats a character: how much longer xz makes the file.

    That measures what the text repeats letter for letter, of the other (of its last MiB) and of itself: xz learns
    from the text while it packs it, which no other here does. But it looks for repetitions only, and knows little of
    what is likely in a place; so it says how far one comes without a model of the text, not how good one can be.
    """
    with ThreadPoolExecutor(2) as pool:
        alone, both = pool.map(lambda data: len(lzma.compress(data)), (before, before + text))
    characters = np.count_nonzero(np.frombuffer(text, np.uint8) & 0xC0 != 0x80)  # all bytes that begin one
    return (both - alone) * 8 * math.log(2) / int(characters)


def _table(longest: int, train: Ints, val: Ints, vocab_size: int, pseudo: float) -> float:
    (*_, shorter, gram), learnt, asked = _grams(longest, train, val, vocab_size)
    seen, of = (_count(each, learnt)[each[asked]] for each in (gram, np.roll(shorter, 1)))
    return float(-np.log((seen + pseudo) / (of + pseudo * vocab_size)).mean())


def _grams(longest: int, train: Ints, val: Ints, vocab_size: int) -> tuple[list[Ints], slice, slice]:
    """Return, for n from 0 to `longest`, a number for the n units that end at each place: the same for the same units.

    The places are those of both texts, each after a mark that is no unit. The slices are those to be counted, and
    those to be asked about (M of them). Raises `UsageError` where there are none of these.
    """
    if len(val) < 2:
        raise UsageError(f"the text has {len(val)} ids to be tested on, and a loss needs 2; use a longer text.")
    train, val = _counted(train), _counted(val)
    ids = np.concatenate([[vocab_size], train, [vocab_size + 1], val], dtype=np.int64)
    grams: list[Ints] = [np.zeros(len(ids), np.int32)]
    for _ in range(longest):
        grams.append(_numbered(np.roll(grams[-1], 1) * np.int64(vocab_size + 2) + ids))
    return grams, slice(1, len(train) + 1), slice(len(train) + 3, None)


def _counted(ids: Ints) -> Ints:
    """Return ids as they are, or COUNTED of very many: in 64 pieces from all over the text, which may change."""
    return ids if len(ids) <= COUNTED else np.concatenate([each[: COUNTED // 64] for each in np.array_split(ids, 64)])


def _numbered(codes: Ints) -> Ints:
    """Return a number for each code, from 0 up: the same for the same code."""
    most = int(codes.max()) + 1
    if most > 8 * len(codes):
        return np.unique(codes, return_inverse=True)[1].astype(np.int32)
    seen = np.zeros(most, bool)  # a table is quicker than sorting
    seen[codes] = True
    return (np.cumsum(seen, dtype=np.int32) - 1)[codes]


def _count(numbers: Ints, places: slice | Ints, weights: Floats | None = None) -> Any:
    """Return how often each number stands in these places, or the sum of their weights."""
    return np.bincount(numbers[places], weights, minlength=numbers.max() + 1)


def _discounts(counts: Ints) -> Floats:
    """Return what is taken from a count of 0, 1, 2 and 3 or more (Chen and Goodman 1999, section 3.4)."""
    n1, n2, n3, n4 = np.bincount(counts, minlength=5)[1:5]
    if n1 and n2 and n3 and n4:
        y = n1 / (n1 + 2 * n2)
        told = np.array([0, 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3])
        if told[1:].min() > 0:
            return told
    return UNTOLD
