"""What a tokenizer is, and the table of those that there are."""

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import numpy.typing as npt

from hornbook.errors import UsageError, nearest
from hornbook.text.aksharas import Aksharas
from hornbook.text.bpe import Bpe
from hornbook.text.bytes import Bytes
from hornbook.text.characters import Characters
from hornbook.text.graphemes import Graphemes
from hornbook.text.units import Decoder, Fitting, Ids, Rare, Unknown


class Tokenizer(Protocol):
    """Text <-> ids. Lossless: `decode(encode(text)) == text` for every text that `encode` accepts unasked.

    Where text is brought into a normal form, or rare units are one unknown unit, that is what comes back.
    """

    name: ClassVar[str]

    @classmethod
    def fit(cls, chunks: Iterable[str], fitting: Fitting = ..., /) -> Self:
        """Return the tokenizer for a text that comes in pieces."""

    @property
    def units(self) -> tuple[str, ...]:
        """The ordered vocabulary: the text that each id stands for (V)."""

    @property
    def vocab_size(self) -> int:
        """How many ids there are: V."""

    @property
    def own(self) -> int:
        """How many of them are not there only for what the vocabulary lacks."""

    @property
    def rare(self) -> Rare:
        """What takes the place of a unit that the vocabulary lacks."""

    @property
    def normal(self) -> str:
        """The normal form that text is brought into: NFC, NFD, or "" for none."""

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

    def lacking(self, chunks: Iterable[str], /) -> int:
        """Return how many characters of a text that comes in pieces the vocabulary lacks."""

    def decode(self, ids: npt.ArrayLike, /) -> str:
        """Return the text of ids (T,); UsageError for an id that there is not."""

    def decoder(self) -> Decoder:
        """Return a decoder for ids that come one after another."""

    def to_json(self) -> dict[str, Any]:
        """Return the tokenizer as plain data, with its name as `kind`."""

    @classmethod
    def from_json(cls, data: object, /) -> Self:
        """Return the tokenizer that `to_json` gave; UsageError if the data is damaged."""


TOKENIZERS: dict[str, type[Tokenizer]] = {kind.name: kind for kind in (Characters, Graphemes, Aksharas, Bytes, Bpe)}


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
