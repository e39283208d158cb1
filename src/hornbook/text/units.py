"""What every tokenizer needs about units (the pieces that ids stand for): sizes, hashing, naming, checking."""

import hashlib
import json
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, Protocol, Self, get_args

import numpy as np
import numpy.typing as npt

from hornbook.errors import UsageError, nearest

Ids = npt.NDArray[np.unsignedinteger[Any]]
Unknown = Literal["error", "skip", "replace"]


class Decoder(Protocol):
    """Ids -> text, piece by piece: what is fed and what finish gives, joined, is what `decode` gives at once."""

    def feed(self, ids: npt.ArrayLike, /) -> str:
        """Return the text that these ids complete."""

    def finish(self) -> str:
        """Return what was still waiting for more, when no more comes."""


STAND_INS = "\N{REPLACEMENT CHARACTER}? "


@dataclass(frozen=True)
class Units:
    """An ordered vocabulary: the text that each id stands for (V). What tokenizers of such units have in common."""

    units: tuple[str, ...]
    name: ClassVar[str]

    @property
    def vocab_size(self) -> int:
        """How many ids there are: V."""
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
        """How many characters each id stands for (V,)."""
        return np.array([len(each) for each in self.units], np.int64)

    def decode(self, ids: npt.ArrayLike) -> str:
        """Return the text of ids (T,); UsageError for an id that the vocabulary does not have."""
        return "".join([self.units[i] for i in checked_ids(ids, self.vocab_size).tolist()])

    def decoder(self) -> Decoder:
        """Return a decoder for ids that come one after another."""
        return UnitDecoder(self)

    def to_json(self) -> dict[str, Any]:
        """Return the tokenizer as plain data."""
        return {"kind": self.name, "units": list(self.units)}

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Return the tokenizer that `to_json` gave; UsageError if the data is damaged."""
        return cls(units_from_json(data, cls.name))

    def stand_in(self, unit: str, place: int, unknown: Unknown) -> str | None:
        """Return what takes the place of a unit that the vocabulary does not have; None to leave it out.

        UsageError if unknown units are errors, or nothing can stand in; `place` is the unit's first character in the
        text, from 1.
        """
        if unknown == "skip":
            return None
        lacking = f"the vocabulary has no {describe(unit)}, character {place} of the text"
        if unknown == "error":
            raise UsageError(f"{lacking}; use --unknown skip or --unknown replace")
        found = next((each for each in STAND_INS if each in self.units), None)
        if found is None:
            raise UsageError(f"{lacking}, and none of U+FFFD, '?' and ' ' to stand in; use --unknown skip")
        return found


class UnitDecoder:
    """Ids -> text, piece by piece: a unit never waits for the next."""

    def __init__(self, tokenizer: Units) -> None:
        self._tokenizer = tokenizer

    def feed(self, ids: npt.ArrayLike) -> str:
        """Return the text that these ids complete."""
        return self._tokenizer.decode(ids)

    def finish(self) -> str:
        """Return what was still waiting: nothing."""
        return ""


def ids_dtype(vocab_size: int) -> np.dtype[np.unsignedinteger[Any]]:
    """Return the smallest of uint8, uint16 and uint32 that holds the ids 0 to vocab_size - 1."""
    return np.dtype(np.uint8 if vocab_size <= 1 << 8 else np.uint16 if vocab_size <= 1 << 16 else np.uint32)


def vocabulary_hash(kind: str, units: Sequence[str]) -> str:
    """Return the sha256 (hex) that a vocabulary is known by."""
    return hashlib.sha256(json.dumps([kind, *units], separators=(",", ":")).encode("ascii")).hexdigest()


def describe(unit: str) -> str:
    """Return a unit as a message can show it: quoted and readable, its code points, and one's name."""
    mark = unicodedata.category(unit[0]).startswith("M")
    shown = f"'\N{DOTTED CIRCLE}{unit}'" if mark else repr(unit)
    points = " ".join(f"U+{ord(character):04X}" for character in unit[:8]) + (" …" if len(unit) > 8 else "")
    return f"{shown} ({' '.join([points, unicodedata.name(unit, '') if len(unit) == 1 else '']).strip()})"


def checked_unknown(unknown: str) -> None:
    """Raise UsageError unless `unknown` is a way to deal with a unit that the vocabulary does not have."""
    if unknown not in get_args(Unknown):
        raise UsageError(f"no such way to treat unknown units: {unknown!r}; {nearest(unknown, get_args(Unknown))}")


def checked_ids(ids: npt.ArrayLike, vocab_size: int) -> npt.NDArray[np.integer[Any]]:
    """Return ids (T,) as an array of whole numbers; UsageError if one is not from 0 to vocab_size - 1."""
    array = np.asarray(ids)
    if not array.size:
        return np.zeros(0, np.int64)
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise UsageError(f"ids are a row of whole numbers, not {array.dtype} of shape {array.shape}")
    wrong = (array < 0) | (array >= vocab_size)
    if wrong.any():
        raise UsageError(f"no unit has the id {array[wrong][0]}; the vocabulary's ids are 0 to {vocab_size - 1}")
    return array


def units_from_json(data: object, kind: str) -> tuple[str, ...]:
    """Return the units of `{"kind": kind, "units": [distinct strings]}`; UsageError if it is anything else."""
    if not isinstance(data, dict) or data.keys() != {"kind", "units"} or data["kind"] != kind:
        raise UsageError(f'damaged vocabulary: not {{"kind": "{kind}", "units": [...]}}')
    units = data["units"]
    if not isinstance(units, list) or not all(isinstance(unit, str) and unit for unit in units):
        raise UsageError("damaged vocabulary: units is not a list of strings")
    if len(set(units)) < len(units):
        twice = next(unit for place, unit in enumerate(units) if unit in units[:place])
        raise UsageError(f"damaged vocabulary: {twice!r} is in it twice")
    return tuple(units)
