"""What every tokenizer needs about units (the pieces that ids stand for): hashing, naming, checking."""

import hashlib
import json
import unicodedata
from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from hornbook.errors import UsageError, nearest

Ids = npt.NDArray[np.unsignedinteger[Any]]
Unknown = Literal["error", "skip", "replace"]


def ids_dtype(vocab_size: int) -> np.dtype[np.unsignedinteger[Any]]:
    """Return the smallest of uint8, uint16 and uint32 that holds the ids 0 to vocab_size - 1."""
    return np.dtype(np.uint8 if vocab_size <= 1 << 8 else np.uint16 if vocab_size <= 1 << 16 else np.uint32)


def vocabulary_hash(kind: str, units: Sequence[str]) -> str:
    """Return the sha256 (hex) that a vocabulary is known by."""
    return hashlib.sha256(json.dumps([kind, *units], separators=(",", ":")).encode("ascii")).hexdigest()


def describe(character: str) -> str:
    """Return a character as a message can show it: quoted and readable, code point, Unicode's name for it."""
    mark = unicodedata.category(character).startswith("M")
    shown = f"'\N{DOTTED CIRCLE}{character}'" if mark else repr(character)
    return f"{shown} ({' '.join([f'U+{ord(character):04X}', unicodedata.name(character, '')]).strip()})"


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
