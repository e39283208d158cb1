"""One id a grapheme: a base and all that stands on it, what Unicode calls a user-perceived character (UAX #29).

`Graphemes.unit` is the definition. `clusters.py` finds the same units on arrays, so that it is asked of few texts.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import regex

from hornbook.errors import UsageError
from hornbook.text.clusters import LONGEST, read
from hornbook.text.units import Ids, StandIn, Units, ids_dtype


@dataclass(frozen=True)
class Graphemes(Units):
    """The graphemes of a text, each with its place in `units` for its id.

    Any text of these units comes back as it was: `decode(encode(text)) == text`.
    """

    name: ClassVar[str] = "graphemes"
    unit: ClassVar[regex.Pattern[str]] = regex.compile(r"\X")

    @classmethod
    def split(cls, text: str) -> list[str]:
        """Cut a text into units: joined, they are the text. One longer than LONGEST is cut there, and begins anew."""
        units: list[str] = cls.unit.findall(text)
        if len(text) > LONGEST < max(map(len, units)):
            units, at = [], 0
            while at < len(text):
                units.append(cls.unit.match(text[at : at + LONGEST + 2])[0][:LONGEST])
                at += len(units[-1])
        return units

    @classmethod
    def counts(cls, chunks: Iterable[str]) -> Mapping[str, int]:
        """Return how often each unit comes in a text that arrives in pieces."""
        number, counts = dict[str, int](), np.zeros(0, np.int64)
        for units in read(chunks, cls.split, number, lambda unit, _: [number.setdefault(unit, len(number))]):
            now = np.bincount(units, minlength=len(number))
            now[: len(counts)] += counts
            counts = now
        return dict(zip(number, counts.tolist(), strict=True))

    def _encode(self, chunks: Iterable[str], stand_in: StandIn) -> Iterator[Ids]:
        for ids in read(chunks, self.split, self.id_of, stand_in):
            yield ids.astype(ids_dtype(self.vocab_size))

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Return the tokenizer that `to_json` gave; UsageError if the data is damaged."""
        tokenizer = super().from_json(data)
        if wrong := [unit for unit in tokenizer.units[: tokenizer.own] if cls.split(unit) != [unit]]:
            raise UsageError(f"damaged vocabulary: {wrong[0]!r} is not one of the {cls.name}")
        return tokenizer
