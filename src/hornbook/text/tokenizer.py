"""What a tokenizer is, and the table of those that there are."""

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import numpy.typing as npt

from hornbook.errors import UsageError, nearest
from hornbook.text.aksharas import Aksharas
from hornbook.text.bytes import Bytes
from hornbook.text.characters import Characters
from hornbook.text.graphemes import Graphemes
from hornbook.text.units import Decoder, Ids, Unknown


class Tokenizer(Protocol):
    """Text <-> ids. Lossless: `decode(encode(text)) == text` for every text that `encode` accepts unasked."""

    name: ClassVar[str]

    @classmethod
    def fit(cls, chunks: Iterable[str], /) -> Self:
        """Return the tokenizer for a text that comes in pieces."""

    @property
    def units(self) -> tuple[str, ...]:
        """The ordered vocabulary: the text that each id stands for (V)."""

    @property
    def vocab_size(self) -> int:
        """How many ids there are: V."""

    @property
    def fingerprint(self) -> str:
        """The sha256 (hex) of all that decides what `encode` and `decode` do."""

    @property
    def unit_bytes(self) -> npt.NDArray[np.int64]:
        """How many UTF-8 bytes each id stands for (V,)."""

    @property
    def unit_characters(self) -> npt.NDArray[np.int64]:
        """How many characters each id stands for (V,)."""

    def encode(self, text: str, unknown: Unknown = "error") -> Ids:
        """Return the ids of a text (T,), in the smallest unsigned type that holds V ids.

        What the vocabulary does not have is a UsageError naming it and its place, or left out ("skip"), or
        stood in for ("replace").
        """

    def encode_chunks(self, chunks: Iterable[str], unknown: Unknown = "error") -> Iterator[Ids]:
        """Yield the ids of a text that comes in pieces: joined, what `encode` gives for the pieces joined."""

    def decode(self, ids: npt.ArrayLike, /) -> str:
        """Return the text of ids (T,); UsageError for an id that there is not."""

    def decoder(self) -> Decoder:
        """Return a decoder for ids that come one after another."""

    def to_json(self) -> dict[str, Any]:
        """Return the tokenizer as plain data, with its name as `kind`."""

    @classmethod
    def from_json(cls, data: object, /) -> Self:
        """Return the tokenizer that `to_json` gave; UsageError if the data is damaged."""


TOKENIZERS: dict[str, type[Tokenizer]] = {kind.name: kind for kind in (Characters, Graphemes, Aksharas, Bytes)}


def named(name: str) -> type[Tokenizer]:
    """Return the kind of tokenizer of this name; UsageError with the nearest if there is none."""
    if name not in TOKENIZERS:
        raise UsageError(f"no tokenizer is named {name!r}; {nearest(name, TOKENIZERS)}")
    return TOKENIZERS[name]


def from_json(data: object) -> Tokenizer:
    """Return the tokenizer of any kind that its `to_json` gave; UsageError if the data is damaged."""
    if not isinstance(data, dict) or not isinstance(data.get("kind"), str):
        raise UsageError("damaged vocabulary: it does not say its kind")
    return named(data["kind"]).from_json(data)
