"""Byte-pair encoding, from scratch: units that grow out of a text, by joining the pair that comes most often, again and
again (Gage 1994; for words Sennrich, Haddow and Birch 2016, arXiv:1508.07909).

The units are strings of characters, not of bytes: each can be read. First come the text's characters, in the order of
their code points; then what each merge makes, in the order in which they were learned; then what `rare` adds. Merges
stay within the pieces that `pieces.py` cuts a text into. No string is reached by two merges: all that is going to be
that unit is joined alike, step by step, wherever it stands.

`bpe_fast.py` does the same in less time. What you change here takes effect with `fast = False`.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from heapq import heappop, heappush
from itertools import accumulate, chain, groupby, pairwise
from typing import Any, ClassVar, Self, TypeVar

import numpy as np

from hornbook.errors import UsageError
from hornbook.text import bpe_fast
from hornbook.text.characters import Characters
from hornbook.text.normal import normalised
from hornbook.text.pieces import AT_ONCE, pieces, tally
from hornbook.text.units import Fitting, Ids, StandIn, Units, frequent, ids_dtype, read_units, with_spare

Unit = TypeVar("Unit", str, int)
Pair = tuple[int, int]
Merge = tuple[str, str, int]  # left, right, how often they were joined
SIZE = 1024  # units where nobody says how many; or twice the text's characters, if that is more


def merged(parts: Sequence[Unit], pair: tuple[Unit, Unit], whole: Unit) -> list[Unit]:
    """Return the parts with each such pair made one, from left to right."""
    result: list[Unit] = []
    for part in parts:
        if result and (result[-1], part) == pair:
            result[-1] = whole
        else:
            result.append(part)
    return result


def learn(words: Mapping[str, int], alphabet: Sequence[str], size: int) -> list[Merge]:
    """Return the merges that make `size` units of an alphabet, or fewer where no pair comes twice any more.

    `words` says how often each piece comes. Each merge is of the pair that is seen most often ("aaa" shows two); of
    equals, of the one whose left unit came first into the vocabulary, and then whose right did.
    """
    units = list(alphabet)
    id_of = {unit: i for i, unit in enumerate(units)}
    cut = [[id_of[character] for character in word] for word in words]
    seen: Counter[Pair] = Counter()
    where: defaultdict[Pair, set[int]] = defaultdict(set)  # the pieces to look at again: that hold it, or did once

    def count(i: int, n: int) -> None:
        for pair in pairwise(cut[i]):
            seen[pair] += n
            where[pair].add(i)

    often = list(words.values())
    for i, n in enumerate(often):
        count(i, n)
    heap = sorted((-n, pair) for pair, n in seen.items())
    merges: list[Merge] = []
    while heap and len(units) < size:
        n, pair = heappop(heap)
        if seen[pair] < -n:  # other merges have made it rarer since
            heappush(heap, (-seen[pair], pair))
            continue
        if seen[pair] < 2:
            break
        whole, joined, fresh = len(units), 0, set[Pair]()
        for i in where.pop(pair):
            before, after = cut[i], merged(cut[i], pair, whole)
            joined += often[i] * (len(before) - len(after))
            count(i, -often[i])
            cut[i] = after
            count(i, often[i])
            fresh.update(each for each in pairwise(after) if whole in each)
        for each in fresh:
            heappush(heap, (-seen[each], each))
        left, right = units[pair[0]], units[pair[1]]
        units.append(left + right)
        merges.append((left, right, joined))
    return merges


@dataclass(frozen=True)
class Bpe(Units):
    """The units that merges make. Any text of the alphabet comes back as it was.

    `merges` are (left, right, how often they were joined in the text that they were learned from).
    """

    merges: tuple[Merge, ...] = ()
    name: ClassVar[str] = "bpe"
    fast: ClassVar[bool] = True

    @classmethod
    def fit(
        cls,
        chunks: Iterable[str],
        fitting: Fitting = Fitting(),  # noqa: B008  (frozen)
        characters: Mapping[str, int] | None = None,
    ) -> Self:
        """Return the tokenizer of `fitting.vocab_size` units, those that `rare` adds among them.

        Of fewer where no pair comes twice any more; UsageError if the characters alone are more. `characters` says how
        often each comes, if there is more text than that from which merges are to be learned.
        """
        found, seen = tally(normalised(chunks, fitting.normal))
        characters = seen if characters is None else characters
        kept = frequent(characters, fitting.min_count)
        least = cls(with_spare(kept, fitting.rare), fitting.rare)
        usual = max(SIZE, 2 * least.vocab_size)
        size = fitting.vocab_size or usual
        if size < least.vocab_size:
            raise UsageError(
                f"text.vocab_size is {size}, and the characters of the text alone take {least.vocab_size} units; use "
                f"--vocab-size {usual}, or leave out the rare ones with text.min_count and text.rare"
            )
        alphabet = least.units[: least.own]
        words = found
        if out := set(characters).difference(alphabet):  # what is left out parts the piece that it stands in
            words = Counter()
            for piece, n in found.items():
                for part in ("".join(part) for left_out, part in groupby(piece, out.__contains__) if not left_out):
                    words[part] += n
        most = least.own + sum(len(word) - 1 for word in words)  # each merge makes some piece shorter
        task = (words, alphabet, min(size - least.vocab_size + least.own, most))
        merges = (bpe_fast.learn if cls.fast else learn)(*task)
        units = [*alphabet, *(left + right for left, right, _ in merges)]
        return cls(with_spare(units, fitting.rare), fitting.rare, fitting.normal, tuple(merges))

    @classmethod
    def counts(cls, chunks: Iterable[str]) -> Mapping[str, int]:
        """Return how often each character comes: `min_count` is about those."""
        return Characters.counts(chunks)

    def steps(self, word: str) -> list[list[str]]:
        """Return how a piece is cut: its characters, then its parts after each merge, the earliest learned first."""
        steps = [list(word)]
        while pairs := [pair for pair in pairwise(steps[-1]) if pair in self._rank]:
            left, right = min(pairs, key=self._rank.__getitem__)
            steps.append(merged(steps[-1], (left, right), left + right))
        return steps

    def _encode(self, chunks: Iterable[str], stand_in: StandIn) -> Iterator[Ids]:
        dtype, known, before = ids_dtype(self.vocab_size), dict[str, list[int]](), 0
        for words in pieces(chunks):
            if len(known) > AT_ONCE:
                known.clear()
            cut = self._cutter if self._alphabet.issuperset("".join(words)) else None
            for word, place in zip(words, accumulate(map(len, words), initial=before), strict=False):
                if word not in known:
                    known[word] = cut(word) if cut else self._ids(word, place, stand_in)
            before += sum(map(len, words))
            yield np.fromiter(chain.from_iterable(map(known.__getitem__, words)), dtype)

    def _ids(self, word: str, place: int, stand_in: StandIn) -> list[int]:
        ids: list[int] = []
        for unit in self.steps(word)[-1]:
            ids += [self.id_of[unit]] if unit in self.id_of else stand_in(unit, place + 1)
            place += len(unit)
        return ids

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Return the tokenizer that `to_json` gave; UsageError if the data is damaged."""
        units, rare, normal = read_units(data, cls.name, ["merges"])
        merges: Any = data.get("merges") if isinstance(data, dict) else None
        n = cls(units, rare).own - len(merges) if isinstance(merges, list) else -1
        if n < 0 or list(units[:n]) != sorted(set("".join(units[:n]))):
            raise UsageError("damaged vocabulary: its units are not characters, in order, and then one for each merge")
        before = set(units[:n])
        for unit, merge in zip(units[n:], merges, strict=False):
            match merge:
                case [str(left), str(right), int(joined)] if {left, right} <= before and left + right == unit:
                    before.add(unit if 0 < joined < 1 << 63 and joined is not True else "")
            if unit not in before:
                raise UsageError(f"damaged vocabulary: {unit!r} is not a merge of two units before it, with its count")
        return cls(units, rare, normal, tuple(map(tuple, merges)))

    def _more(self) -> dict[str, Any]:
        return {**super()._more(), "merges": [list(merge) for merge in self.merges]}

    @cached_property
    def _rank(self) -> dict[tuple[str, str], int]:
        return {(left, right): i for i, (left, right, _) in enumerate(self.merges)}

    @cached_property
    def _alphabet(self) -> frozenset[str]:
        return frozenset("".join(self.units[: self.own]))

    @cached_property
    def _cutter(self) -> Callable[[str], list[int]] | None:
        return bpe_fast.cutter(self.units[: self.own], list(self._rank)) if self.fast else None
