"""One id a grapheme: a base and all that stands on it, what Unicode calls a user-perceived character (UAX #29).

A text is cut before its spaces, and the clusters of each word are found once: no cluster goes on into a space, but
after one of a few signs that are written before others (`PREPENDED`), and a text with such a sign is not cut.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
import regex

from hornbook.errors import UsageError
from hornbook.text.units import Ids, Units, Unknown, checked_unknown, ids_dtype

LONGEST = 64  # characters in a unit; Unicode's stream-safe text has at most 30 marks in a row (UAX #15)
REMEMBERED = 1 << 16  # words
PREPENDED = regex.compile(r"\p{Grapheme_Cluster_Break=Prepend}")


@dataclass(frozen=True)
class Graphemes(Units):
    """The graphemes of a text, each with its place in `units` for its id.

    Any text of these units comes back as it was: `decode(encode(text)) == text`.
    """

    name: ClassVar[str] = "graphemes"
    unit: ClassVar[regex.Pattern[str]] = regex.compile(r"\X")

    @classmethod
    def fit(cls, chunks: Iterable[str]) -> Self:
        """Return the tokenizer of all units in the chunks, in the order of their code points."""
        seen: set[str] = set()
        done: set[str] = set()
        for words in cls.words(chunks):
            new = set(words) - done
            seen.update(unit for word in new for unit in cls.split(word))
            done = new if len(done) > REMEMBERED else done | new
        return cls(tuple(sorted(seen)))

    @classmethod
    def split(cls, text: str) -> list[str]:
        """Cut a text into units: joined, they are the text. One longer than LONGEST is cut there, and begins anew."""
        units: list[str] = cls.unit.findall(text)
        if max(map(len, units), default=0) <= LONGEST:
            return units
        units.clear()
        while text:
            for match in cls.unit.finditer(text):
                units.append(match[0][:LONGEST])
                if len(match[0]) > LONGEST:
                    text = text[match.start() + LONGEST :]
                    break
            else:
                break
        return units

    @classmethod
    def words(cls, chunks: Iterable[str]) -> Iterator[list[str]]:
        """Yield the chunks in pieces that can be split one by one; a unit may begin in one chunk and end in another."""
        held = ""
        for chunk in chunks:
            text = held + chunk
            first, *rest = [text] if PREPENDED.search(text) else text.split(" ")
            words = [first, *(f" {word}" for word in rest)]
            *whole, held = cls.split(words.pop()) or [""]  # what comes may still belong to the last unit
            yield [*words, "".join(whole)]
        yield [held]

    def encode(self, text: str, unknown: Unknown = "error") -> Ids:
        """Return the ids of a text (T,), in the smallest unsigned type that holds the vocabulary.

        A unit that the vocabulary does not have is a UsageError that names its place in the text, counted in
        characters from 1; or it is left out ("skip"); or it becomes the first of U+FFFD, '?' and ' ' that the
        vocabulary does have ("replace").
        """
        return np.concatenate(list(self.encode_chunks([text], unknown)))

    def encode_chunks(self, chunks: Iterable[str], unknown: Unknown = "error") -> Iterator[Ids]:
        """Yield the ids of a text that comes in pieces; places in messages count from the first piece's start."""
        checked_unknown(unknown)
        dtype, known, before = ids_dtype(self.vocab_size), dict[str, Ids](), 0
        for words in self.words(chunks):
            if len(known) > REMEMBERED:
                known.clear()
            for word in words:
                if word not in known:
                    known[word] = self._ids(word, unknown, before).astype(dtype)
                before += len(word)
            yield np.concatenate([known[word] for word in words])

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Return the tokenizer that `to_json` gave; UsageError if the data is damaged."""
        tokenizer = super().from_json(data)
        if wrong := [unit for unit in tokenizer.units if cls.split(unit) != [unit]]:
            raise UsageError(f"damaged vocabulary: {wrong[0]!r} is not one of the {cls.name}")
        return tokenizer

    def _ids(self, word: str, unknown: Unknown, before: int) -> npt.NDArray[np.int64]:
        ids = []
        for unit in self.split(word):
            known: str | None = unit
            if unit not in self._id_of:
                known = self.stand_in(unit, before + 1, unknown)
            if known is not None:
                ids.append(self._id_of[known])
            before += len(unit)
        return np.array(ids, np.int64)

    @cached_property
    def _id_of(self) -> dict[str, int]:
        return {unit: i for i, unit in enumerate(self.units)}
