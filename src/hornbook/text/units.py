"""What every tokenizer needs about units, the pieces that ids stand for: fitting, sizes, hashing, naming, checking."""

import hashlib
import json
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, ClassVar, Literal, Protocol, Self, get_args

import numpy as np
import numpy.typing as npt

from hornbook.errors import UsageError, nearest
from hornbook.text.normal import check_form, normalised
from hornbook.text.utf8 import Utf8

Ids = npt.NDArray[np.unsignedinteger[Any]]
Unknown = Literal["error", "skip", "replace"]
Rare = Literal["keep", "unknown", "bytes"]
StandIn = Callable[[str, int], Sequence[int]]  # (unit that the vocabulary lacks, its place from 1) -> ids in its place

UNKNOWN = "\N{REPLACEMENT CHARACTER}"  # the unit that stands for all that the vocabulary lacks
STAND_INS = UNKNOWN + "? "
JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"
BYTES = tuple(f"<{byte:02X}>" for byte in range(256))


class Decoder(Protocol):
    """Ids -> text, piece by piece: what is fed and what finish gives, joined, is what `decode` gives at once."""

    def feed(self, ids: npt.ArrayLike, /) -> str:
        """Return the text that these ids complete."""

    def finish(self) -> str:
        """Return what was still waiting for more, when no more comes."""


@dataclass(frozen=True)
class Fitting:
    """What decides a vocabulary, besides the text. Raises UsageError for what can't be."""

    vocab_size: int | None = None
    """how many units, for those that are merged (bpe): None is as many as `bpe.py` says"""
    min_count: int = 1
    """how often a unit has to come in the text, to be one of the vocabulary"""
    rare: Rare = "keep"
    """what becomes of one that comes fewer times, or only later: one unit for all ("unknown"), or its bytes"""
    normal: str = ""
    """the normal form that text is brought into first: NFC or NFD; "" leaves it as it is"""

    def __post_init__(self) -> None:
        if self.rare not in get_args(Rare):
            raise UsageError(f"text.rare is {self.rare!r}; {nearest(self.rare, get_args(Rare))}")
        check_form(self.normal)
        if self.min_count < 1:
            raise UsageError(f"text.min_count is {self.min_count}; it has to be at least 1, which keeps every unit")
        if self.min_count > 1 and self.rare == "keep":
            raise UsageError(
                f"text.min_count={self.min_count} leaves out rare units: say what becomes of them, "
                "text.rare=unknown (one unit for them all) or text.rare=bytes (nothing is lost)"
            )
        if self.vocab_size is not None and self.vocab_size < 2:
            raise UsageError(f"text.vocab_size is {self.vocab_size}; a vocabulary has at least 2 units")


@dataclass(frozen=True)
class Units:
    """An ordered vocabulary: the text that each id stands for (V). What tokenizers of such units have in common.

    `rare` says what takes the place of a unit that is not in it: nothing ("keep"), the unit U+FFFD ("unknown"), or
    the 256 units of single bytes at its end ("bytes"). `normal` is the normal form that all text is brought into.
    """

    units: tuple[str, ...]
    rare: Rare = "keep"
    normal: str = ""
    name: ClassVar[str]

    @classmethod
    def fit(cls, chunks: Iterable[str], fitting: Fitting = Fitting()) -> Self:
        """Return the tokenizer of the units of a text that comes in pieces, in the order of their code points."""
        if fitting.vocab_size is not None:
            raise UsageError(
                f"a vocabulary of {cls.name} is as large as the text has units: leave out --vocab-size, which is for "
                "bpe; text.min_count leaves out the rare ones"
            )
        kept = frequent(cls.counts(normalised(chunks, fitting.normal)), fitting.min_count)
        return cls(with_spare(kept, fitting.rare), fitting.rare, fitting.normal)

    @classmethod
    def counts(cls, chunks: Iterable[str]) -> Mapping[str, int]:
        """Return how often each unit comes in a text that arrives in pieces."""
        raise NotImplementedError

    def _encode(self, chunks: Iterable[str], stand_in: StandIn) -> Iterator[Ids]:
        """Yield the ids of a text that arrives in pieces; joined, they don't depend on where it was cut."""
        raise NotImplementedError

    @property
    def vocab_size(self) -> int:
        """How many ids there are: V."""
        return len(self.units)

    @cached_property
    def fingerprint(self) -> str:
        """The sha256 (hex) of all that decides what `encode` and `decode` do."""
        said = self._more()
        whole = json.dumps([self.name, *self.units, *([said] if said else [])], separators=(",", ":"))
        return hashlib.sha256(whole.encode("ascii")).hexdigest()

    @cached_property
    def id_of(self) -> dict[str, int]:
        """The id of each unit."""
        return {unit: i for i, unit in enumerate(self.units)}

    @cached_property
    def unit_bytes(self) -> npt.NDArray[np.int64]:
        """How many UTF-8 bytes each id stands for (V,)."""
        return np.array([len(each) for each in self._bytes_of], np.int64)

    @cached_property
    def unit_characters(self) -> npt.NDArray[np.int64]:
        """How many characters each id stands for (V,); of bytes, one where a character begins, and none after."""
        starts = [sum(byte & 0xC0 != 0x80 for byte in each) for each in self._bytes_of]
        return np.array(starts, np.int64)

    def encode(self, text: str, unknown: Unknown = "error") -> Ids:
        """Return the ids of a text (T,), in the smallest unsigned type that holds the vocabulary.

        A unit that the vocabulary lacks becomes what `rare` says. Where that is nothing, it is a UsageError that names
        its place in the text, counted in characters from 1; or it is left out ("skip"); or it becomes the first of
        U+FFFD, '?' and ' ' that the vocabulary does have ("replace").
        """
        return np.concatenate([np.zeros(0, ids_dtype(self.vocab_size)), *self.encode_chunks([text], unknown)])

    def encode_chunks(self, chunks: Iterable[str], unknown: Unknown = "error") -> Iterator[Ids]:
        """Yield the ids of a text that comes in pieces; places in messages count from the first piece's start."""
        if unknown not in get_args(Unknown):
            raise UsageError(f"no such way to treat unknown units: {unknown!r}; {nearest(unknown, get_args(Unknown))}")
        return self._encode(normalised(chunks, self.normal), partial(self._stand_in, unknown=unknown))

    def lacking(self, chunks: Iterable[str]) -> int:
        """Return how many characters of a text that comes in pieces the vocabulary lacks."""
        read = 0

        def counted() -> Iterator[str]:
            nonlocal read
            for chunk in normalised(chunks, self.normal):
                read += len(chunk)
                yield chunk

        known = sum(int(self.unit_characters[ids].sum()) for ids in self._encode(counted(), lambda unit, place: []))
        return read - known

    def decode(self, ids: npt.ArrayLike) -> str:
        """Return the text of ids (T,); UsageError for an id that the vocabulary does not have."""
        decoder = self.decoder()
        return decoder.feed(ids) + decoder.finish()

    def decoder(self) -> Decoder:
        """Return a decoder for ids that come one after another."""
        return ByteDecoder(self._bytes_of) if self.rare == "bytes" else UnitDecoder(self.units)

    def to_json(self) -> dict[str, Any]:
        """Return the tokenizer as plain data."""
        return {"kind": self.name, "units": list(self.units), **self._more()}

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Return the tokenizer that `to_json` gave; UsageError if the data is damaged."""
        return cls(*read_units(data, cls.name))

    def _more(self) -> dict[str, Any]:
        """Return what there is to say beyond the units."""
        said = {"rare": self.rare, "normal": self.normal}
        return {name: value for name, value in said.items() if value not in ("keep", "")}

    @property
    def own(self) -> int:
        """How many of the units are the tokenizer's own, and not there for what it lacks."""
        return self.vocab_size - {"keep": 0, "unknown": 1, "bytes": 256}[self.rare]

    @cached_property
    def _bytes_of(self) -> list[bytes]:
        own = [unit.encode("utf-8", "surrogatepass") for unit in self.units]
        return own if self.rare != "bytes" else own[:-256] + [bytes([byte]) for byte in range(256)]

    def _stand_in(self, unit: str, place: int, unknown: Unknown) -> Sequence[int]:
        """Return the ids that take the place of a unit that the vocabulary lacks; UsageError if there are none."""
        if self.rare == "unknown":
            return [self.own]
        if self.rare == "bytes":
            return [self.own + byte for byte in unit.encode("utf-8", "surrogatepass")]
        if unknown == "skip":
            return []
        form = self.normal and f" in {self.normal}"
        lacking = f"the vocabulary has no {describe(unit)}, character {place} of the text{form}"
        if unknown == "error":
            raise UsageError(f"{lacking}; use --unknown skip or --unknown replace")
        found = next((self.id_of[each] for each in STAND_INS if each in self.id_of), None)
        if found is None:
            raise UsageError(f"{lacking}, and none of U+FFFD, '?' and ' ' to stand in; use --unknown skip")
        return [found]


class UnitDecoder:
    """Ids -> text, piece by piece: a unit never waits for the next."""

    def __init__(self, units: Sequence[str]) -> None:
        self._units = units

    def feed(self, ids: npt.ArrayLike) -> str:
        """Return the text that these ids complete."""
        return "".join([self._units[i] for i in checked_ids(ids, len(self._units)).tolist()])

    def finish(self) -> str:
        """Return what was still waiting: nothing."""
        return ""


class ByteDecoder:
    """Ids -> text, piece by piece, where an id may be a part of a character: that waits for its last byte."""

    def __init__(self, bytes_of: Sequence[bytes]) -> None:
        self._bytes_of = bytes_of
        self._utf8 = Utf8()

    def feed(self, ids: npt.ArrayLike) -> str:
        """Return the text that these ids complete."""
        return self._utf8.feed(b"".join([self._bytes_of[i] for i in checked_ids(ids, len(self._bytes_of)).tolist()]))

    def finish(self) -> str:
        """Return what was still waiting: U+FFFD for a character that was only begun."""
        return self._utf8.finish()


def frequent(counts: Mapping[str, int], least: int) -> list[str]:
    """Return the units that come at least so often, in the order of their code points; UsageError if none of some."""
    kept = sorted(unit for unit, n in counts.items() if n >= least)
    if counts and not kept:
        raise UsageError(
            f"text.min_count={least} leaves an empty alphabet: no unit comes so often; the most frequent comes "
            f"{max(counts.values())} times"
        )
    return kept


def with_spare(kept: Iterable[str], rare: Rare) -> tuple[str, ...]:
    """Return units, and after them those that stand for all that they lack."""
    spare = dict.fromkeys({"keep": (), "unknown": (UNKNOWN,), "bytes": BYTES}[rare])
    return (*(unit for unit in kept if unit not in spare), *spare)


def ids_dtype(vocab_size: int) -> np.dtype[np.unsignedinteger[Any]]:
    """Return the smallest of uint8, uint16 and uint32 that holds the ids 0 to vocab_size - 1; UsageError if none."""
    if vocab_size > 1 << 32:
        raise UsageError(f"a vocabulary of {vocab_size} units is more than ids of 32 bits can name; use a smaller one")
    return np.dtype(np.uint8 if vocab_size <= 1 << 8 else np.uint16 if vocab_size <= 1 << 16 else np.uint32)


def describe(unit: str) -> str:
    """Return a unit as a message can show it: quoted and readable, its code points, and one's name."""
    name = f"'{on_circle(unit)}'" if on_circle(unit) != unit and unit.isprintable() else repr(unit)
    points = " ".join(f"U+{ord(character):04X}" for character in unit[:8]) + (" …" if len(unit) > 8 else "")
    ends_in_virama = len(unit) > 1 and unicodedata.combining((unit.rstrip(JOINERS) or unit)[-1]) == 9
    begun = ", a letter that may not be finished" if ends_in_virama else ""
    return f"{name} ({' '.join([points, unicodedata.name(unit, '') if len(unit) == 1 else '']).strip()}){begun}"


def on_circle(unit: str) -> str:
    """Return a unit as it can be shown by itself: a mark without its letter stands on a dotted circle."""
    return f"\N{DOTTED CIRCLE}{unit}" if unicodedata.category(unit[0]).startswith("M") else unit


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


def read_units(data: object, kind: str, more: Sequence[str] = ()) -> tuple[tuple[str, ...], Rare, str]:
    """Return units, rare and normal of what `to_json` gave for this kind; UsageError if it is anything else.

    `more` names what else may stand there.
    """
    if not isinstance(data, dict) or not {"kind", "units"} <= data.keys() <= {"kind", "units", "rare", "normal", *more}:
        raise UsageError(f'damaged vocabulary: not {{"kind": "{kind}", "units": [...]}}')
    units, rare, normal = data["units"], data.get("rare", "keep"), data.get("normal", "")
    if data["kind"] != kind or rare not in get_args(Rare) or normal not in ("", "NFC", "NFD"):
        raise UsageError(f'damaged vocabulary: not one of "{kind}", or its "rare" or "normal" is none that there is')
    if not isinstance(units, list) or not all(isinstance(unit, str) and unit for unit in units):
        raise UsageError("damaged vocabulary: units is not a list of strings")
    if len(set(units)) < len(units):
        twice, _ = Counter(units).most_common(1)[0]
        raise UsageError(f"damaged vocabulary: {twice!r} is in it twice")
    if tuple(units) != with_spare(units, rare):
        raise UsageError(f'damaged vocabulary: it does not end in the units that "rare": "{rare}" asks for')
    return tuple(units), rare, normal
