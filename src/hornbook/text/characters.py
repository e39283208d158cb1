"""One id a character: the tokenizer that can be understood at a glance.

A character is a Unicode code point, of any plane. Text is looked at as UTF-32, so that one table, indexed by code
point, does the whole work.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt

from hornbook.errors import UsageError
from hornbook.text.units import Ids, Units, Unknown, checked_ids, checked_unknown, ids_dtype

CODE_POINTS = 0x110000


@dataclass(frozen=True)
class Characters(Units):
    """The characters of a text, each with its place in `units` for its id.

    Any text of these characters comes back as it was: `decode(encode(text)) == text`.
    """

    name: ClassVar[str] = "characters"

    @classmethod
    def fit(cls, chunks: Iterable[str]) -> Self:
        """Return the tokenizer of all characters in the chunks, in the order of their code points."""
        seen = np.zeros(CODE_POINTS, bool)
        for chunk in chunks:
            seen[_code_points(chunk)] = True
        return cls(tuple(map(chr, np.flatnonzero(seen).tolist())))

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
                place = int(np.argmax(ids < 0))
                instead = self.stand_in(chunk[place], before + place + 1, unknown)
                ids = ids[ids >= 0] if instead is None else np.where(ids < 0, self._id_of[ord(instead)], ids)
            yield ids.astype(ids_dtype(self.vocab_size))
            before += len(chunk)

    def decode(self, ids: npt.ArrayLike) -> str:
        """Return the text of ids (T,); UsageError for an id that the vocabulary does not have."""
        points: bytes = self._point_of[checked_ids(ids, self.vocab_size)].tobytes()
        return points.decode("utf-32-le", "surrogatepass")

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Return the tokenizer that `to_json` gave; UsageError if the data is damaged."""
        tokenizer = super().from_json(data)
        if long := [each for each in tokenizer.units if len(each) > 1]:
            raise UsageError(f"damaged vocabulary: {long[0]!r} is more than one character")
        return tokenizer

    @cached_property
    def _point_of(self) -> npt.NDArray[np.uint32]:
        return np.array([ord(each) for each in self.units], "<u4")

    @cached_property
    def _id_of(self) -> npt.NDArray[np.int32]:
        table = np.full(CODE_POINTS, -1, np.int32)
        table[self._point_of] = np.arange(self.vocab_size)
        return table


def _code_points(text: str) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint32]:
    if text.isascii():  # the same numbers in a quarter of the memory
        return np.frombuffer(text.encode("ascii"), np.uint8)
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
