"""One id a character: the tokenizer that can be understood at a glance.

A character is a Unicode code point, of any plane. Text is looked at as an array of code points, so that one table,
indexed by code point, does the whole work.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from hornbook.errors import UsageError
from hornbook.text.units import Ids, StandIn, Units, checked_ids, ids_dtype

CODE_POINTS = 0x110000


@dataclass(frozen=True)
class Characters(Units):
    """The characters of a text, each with its place in `units` for its id.

    Any text of these characters comes back as it was: `decode(encode(text)) == text`.
    """

    name: ClassVar[str] = "characters"

    @classmethod
    def counts(cls, chunks: Iterable[str]) -> Mapping[str, int]:
        """Return how often each character comes in a text that arrives in pieces."""
        seen = np.zeros(CODE_POINTS, np.int64)
        for chunk in chunks:
            found = np.bincount(code_points(chunk))
            seen[: len(found)] += found
        return {chr(point): int(seen[point]) for point in np.flatnonzero(seen).tolist()}

    def _encode(self, chunks: Iterable[str], stand_in: StandIn) -> Iterator[Ids]:
        before = 0
        for chunk in chunks:
            if self._ascii and chunk.isascii():  # a table of bytes is the quickest there is
                ids = np.frombuffer(chunk.encode("ascii").translate(self._ascii), np.uint8)
            else:
                ids = self._id_of[code_points(chunk)]
            if ids.size and ids.max() >= self.vocab_size:
                ids = self._stood_in(chunk, ids, before, stand_in)
            yield ids.astype(ids_dtype(self.vocab_size), copy=False)
            before += len(chunk)

    def _stood_in(self, chunk: str, ids: Ids, before: int, stand_in: StandIn) -> Ids:
        """Return the ids of a chunk with those of what the vocabulary lacks put in their places."""
        points = code_points(chunk)
        lacking = ids >= self.vocab_size
        size = np.ones(len(ids), np.int64)
        unknown, first = np.unique(points[lacking], return_index=True)
        instead = {}
        for point, place in sorted(zip(unknown, np.flatnonzero(lacking)[first], strict=True), key=lambda each: each[1]):
            instead[point] = stand_in(chunk[place], before + int(place) + 1)
            size[points == point] = len(instead[point])
        result = np.repeat(ids, size)
        starts = np.cumsum(size) - size
        for point, others in instead.items():
            for offset, other in enumerate(others):
                result[starts[points == point] + offset] = other
        return result

    def decode(self, ids: npt.ArrayLike) -> str:
        """Return the text of ids (T,); UsageError for an id that the vocabulary does not have."""
        if self.rare == "bytes":
            return super().decode(ids)
        points: bytes = self._point_of[checked_ids(ids, self.vocab_size)].tobytes()
        return points.decode("utf-32-le", "surrogatepass")

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Return the tokenizer that `to_json` gave; UsageError if the data is damaged."""
        tokenizer = super().from_json(data)
        if long := [each for each in tokenizer.units[: tokenizer.own] if len(each) > 1]:
            raise UsageError(f"damaged vocabulary: {long[0]!r} is more than one character")
        return tokenizer

    @cached_property
    def _point_of(self) -> npt.NDArray[np.uint32]:
        return np.array([ord(each) for each in self.units if len(each) == 1], "<u4")

    @cached_property
    def _id_of(self) -> npt.NDArray[np.unsignedinteger[Any]]:
        """The id of each code point; V for those that the vocabulary lacks."""
        table = np.full(CODE_POINTS, self.vocab_size, ids_dtype(self.vocab_size + 1))
        table[self._point_of] = np.arange(len(self._point_of))
        return table

    @cached_property
    def _ascii(self) -> bytes:
        """The same for the first 128 as a table for `bytes.translate`, where ids are bytes; else nothing."""
        return self._id_of[:256].tobytes() if self.vocab_size < 256 else b""


def code_points(text: str) -> npt.NDArray[np.unsignedinteger[Any]]:
    """Return the code points of a text (T,), in as few bytes each as its largest allows."""
    if text.isascii():
        return np.frombuffer(text.encode("ascii"), np.uint8)
    data = text.encode("utf-16-le", "surrogatepass")
    if len(data) == 2 * len(text):  # no character takes two of these
        return np.frombuffer(data, "<u2")
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
