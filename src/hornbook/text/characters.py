"""One id a character: the tokenizer that can be understood at a glance.

A character is a Unicode code point, of any plane. Text is looked at as UTF-32, so that one table, indexed by code
point, does the whole work.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from hornbook.errors import UsageError
from hornbook.text.units import (
    Ids,
    Unknown,
    checked_ids,
    checked_unknown,
    describe,
    ids_dtype,
    units_from_json,
    vocabulary_hash,
)

CODE_POINTS = 0x110000
STAND_INS = "\N{REPLACEMENT CHARACTER}? "


@dataclass(frozen=True)
class Characters:
    """The characters of a text, each with its place in `units` for its id.

    Any text of these characters comes back as it was: `decode(encode(text)) == text`.
    """

    units: tuple[str, ...]
    name: ClassVar[str] = "characters"

    @classmethod
    def fit(cls, chunks: Iterable[str]) -> Self:
        """Return the tokenizer of all characters in the chunks, in the order of their code points."""
        seen = np.zeros(CODE_POINTS, bool)
        for chunk in chunks:
            seen[_code_points(chunk)] = True
        return cls(tuple(map(chr, np.flatnonzero(seen).tolist())))

    @property
    def vocab_size(self) -> int:
        """How many ids there are."""
        return len(self.units)

    @cached_property
    def fingerprint(self) -> str:
        """The sha256 (hex) of the kind of tokenizer and its units."""
        return vocabulary_hash(self.name, self.units)

    @cached_property
    def unit_bytes(self) -> npt.NDArray[np.int64]:
        """How many UTF-8 bytes each id stands for (V,)."""
        return np.array([len(each.encode("utf-8", "surrogatepass")) for each in self.units], np.int64)

    @cached_property
    def unit_characters(self) -> npt.NDArray[np.int64]:
        """How many characters each id stands for (V,): one."""
        return np.ones(self.vocab_size, np.int64)

    def encode(self, text: str, unknown: Unknown = "error") -> Ids:
        """Return the ids of a text (T,), in the smallest unsigned type that holds the vocabulary.

        A character that the vocabulary does not have is a UsageError that names its place in the text, counted
        from 1; or it is left out ("skip"); or it becomes the first of U+FFFD, '?' and ' ' that the vocabulary
        does have ("replace").
        """
        return next(self.encode_chunks([text], unknown))

    def encode_chunks(self, chunks: Iterable[str], unknown: Unknown = "error") -> Iterator[Ids]:
        """Yield the ids of a text that comes in pieces; places in messages count from the first piece's start."""
        checked_unknown(unknown)
        before = 0
        for chunk in chunks:
            ids = self._id_of[_code_points(chunk)]
            if ids.size and ids.min() < 0:
                ids = self._without_unknown(ids, chunk, unknown, before)
            yield ids.astype(ids_dtype(self.vocab_size))
            before += len(chunk)

    def decode(self, ids: npt.ArrayLike) -> str:
        """Return the text of ids (T,); UsageError for an id that the vocabulary does not have."""
        points: bytes = self._point_of[checked_ids(ids, self.vocab_size)].tobytes()
        return points.decode("utf-32-le", "surrogatepass")

    def decoder(self) -> "CharacterDecoder":
        """Return a decoder for ids that come one after another."""
        return CharacterDecoder(self)

    def to_json(self) -> dict[str, Any]:
        """Return the tokenizer as plain data."""
        return {"kind": self.name, "units": list(self.units)}

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Return the tokenizer that `to_json` gave; UsageError if the data is damaged."""
        units = units_from_json(data, cls.name)
        if long := [each for each in units if len(each) > 1]:
            raise UsageError(f"damaged vocabulary: {long[0]!r} is more than one character")
        return cls(units)

    @cached_property
    def _point_of(self) -> npt.NDArray[np.uint32]:
        return np.array([ord(each) for each in self.units], "<u4")

    @cached_property
    def _id_of(self) -> npt.NDArray[np.int32]:
        table = np.full(CODE_POINTS, -1, np.int32)
        table[self._point_of] = np.arange(self.vocab_size)
        return table

    def _without_unknown(
        self, ids: npt.NDArray[np.int32], chunk: str, unknown: Unknown, before: int
    ) -> npt.NDArray[np.int32]:
        if unknown == "skip":
            return ids[ids >= 0]
        place = int(np.argmax(ids < 0))
        lacking = f"the vocabulary has no {describe(chunk[place])}, character {before + place + 1} of the text"
        if unknown == "error":
            raise UsageError(f"{lacking}; use --unknown skip or --unknown replace")
        stand_in = next((each for each in STAND_INS if each in self.units), None)
        if stand_in is None:
            raise UsageError(f"{lacking}, and none of U+FFFD, '?' and ' ' to stand in; use --unknown skip")
        return np.where(ids < 0, self._id_of[ord(stand_in)], ids)


class CharacterDecoder:
    """Ids -> text, piece by piece: a character never waits for the next."""

    def __init__(self, tokenizer: Characters) -> None:
        self._tokenizer = tokenizer

    def feed(self, ids: npt.ArrayLike) -> str:
        """Return the text that these ids complete."""
        return self._tokenizer.decode(ids)

    def finish(self) -> str:
        """Return what was still waiting: nothing."""
        return ""


def _code_points(text: str) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint32]:
    if text.isascii():  # the same numbers in a quarter of the memory
        return np.frombuffer(text.encode("ascii"), np.uint8)
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
