"""Ids on disk: `train.bin` and `val.bin`, read by memory map, and one header that says what they are.

The ids are little-endian, of the smallest unsigned type that holds the vocabulary. The three are made under another
name, and renamed when whole.
"""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from typing import Any

import numpy as np

from hornbook.errors import UsageError
from hornbook.text import leakage
from hornbook.text.bpe import Bpe
from hornbook.text.corpora import Source, cache_folder
from hornbook.text.identity import Identity, Meter
from hornbook.text.normal import normalised
from hornbook.text.reading import Progress, joined, read_documents
from hornbook.text.settings import AUTO, TextSettings, script_with_conjuncts
from hornbook.text.split import Pieces, check_split, cut, ended, side
from hornbook.text.tokenizer import Tokenizer, from_json, named
from hornbook.text.units import Ids, ids_dtype

VERSION = 2  # of the files, and of what they hold for the same text and settings
TRAIN, VAL, HEADER = "train.bin", "val.bin", "header.json"
PIECE = 1 << 20  # characters that are made into ids at a time
A_DAY = 86_400  # seconds
BEGINNINGS, BEGINNING = 64, 1 << 16  # files, and characters of each, that a choice of tokenizer looks at


@dataclass(frozen=True, eq=False)
class Shards:
    """The ids of a text: those to train on in `train`, the rest in `val`; both memory maps, read only."""

    folder: Path
    train: Ids
    val: Ids
    split: float
    text: Identity
    tokenizer: Tokenizer
    by: str = "position"
    leaked: float = 0.0
    settings: dict[str, Any] = field(default_factory=dict)
    """those that it was made with (`settings.py`)"""

    @property
    def key(self) -> str:
        """What these ids are known by: a hash (hex) of the text, the vocabulary and the split."""
        return _key(self.text, self.tokenizer, self.split, self.by)

    @property
    def unknown(self) -> float:
        """The share of `val` that the vocabulary has no unit for, and one that says so."""
        unknown = self.tokenizer.rare == "unknown"
        return float(np.count_nonzero(self.val == self.tokenizer.own)) / len(self.val) if unknown else 0.0

    @classmethod
    def open(cls, folder: Path) -> "Shards":
        """Open what `write` wrote; UsageError if it is not there or damaged."""
        try:
            header = json.loads((folder / HEADER).read_text(encoding="utf-8"))
            if header["version"] != VERSION:
                raise ValueError(f"its version is {header['version']!r}, and this program reads {VERSION}")
            tokenizer = from_json(header["tokenizer"])
            if header["dtype"] != ids_dtype(tokenizer.vocab_size).name:
                raise ValueError(f"ids of {header['dtype']!r} don't go with its vocabulary")
            train = _map(folder / TRAIN, header["dtype"], header["train"])
            val = _map(folder / VAL, header["dtype"], header["val"])
            by, leaked = header.get("by", "position"), float(header.get("leaked", 0))
            if not isinstance(by, str) or not isinstance(made := header.get("settings", {}), dict):
                raise ValueError("how it was made is not what it should be")
            check_split(split := float(header["split"]))
            found = cls(folder, train, val, split, Identity(**header["text"]), tokenizer, by, leaked, made)
            found.key  # noqa: B018  (raises for a text's identity that is none)
            return found
        except (FileNotFoundError, NotADirectoryError) as error:
            raise UsageError(f"{folder} does not hold prepared text: it has no {Path(error.filename).name}") from error
        except KeyError as error:
            raise _damaged(folder, f"its header does not say {error}") from error
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise _damaged(folder, str(error)) from error


def prepare(
    source: Source,
    settings: TextSettings = TextSettings(),  # noqa: B008  (frozen)
    folder: Path | None = None,
    progress: Progress | None = None,
) -> Shards:
    """Return the ids of a source: from the cache if they are there, else written into it, or into `folder`.

    The text is read once to fit the vocabulary and hash it, and again to encode it if need be; `progress` goes from
    nothing to all its bytes each time. By position, the first int(split * n) of its n characters are for training. A
    source that is a folder of prepared ids is opened as it is, with the tokenizer and the split that it was prepared
    with. Raises what `read_documents` raises, and UsageError if the text is too small to learn from, if it changed
    meanwhile, and if `folder` is there and not empty. The files are there together, or, after any error, not at all.
    """
    if folder:
        _check_free(folder)
    if source.prepared:
        return _prepared(source, folder)

    settings, _ = settled(source, settings)

    def read() -> Pieces:
        pieces = read_documents(source.paths, progress=progress, **settings.reading)
        return ended(pieces) if settings.split_by == "documents" else pieces

    meter = Meter()
    tokenizer = _fit(settings, read, meter)
    plan = Plan(tokenizer, settings, meter.identity, meter.documents, read, progress)
    if folder:
        if not _make(folder, plan):
            _check_free(folder)
    elif not open_cached(plan.key):
        _make(cached_folder(plan.key), plan)  # if somebody else made the same meanwhile, theirs is as good
    return Shards.open(folder or cached_folder(plan.key))


def settled(source: Source, settings: TextSettings) -> tuple[TextSettings, str]:
    """Return the settings with a tokenizer named, where they leave it to the text, and the reason in a few words."""
    if settings.tokenizer != AUTO or source.prepared:
        return settings, ""
    readings = (read_documents([path], BEGINNING, **settings.reading) for path in source.paths[:BEGINNINGS])
    beginnings = (next(joined((piece for _, piece in each), 4 * BEGINNING), "") for each in readings)
    script = script_with_conjuncts("".join(beginnings))
    name, why = (
        ("aksharas", f"as {script} has conjuncts") if script else ("characters", "as its script has no conjuncts")
    )
    return replace(settings, tokenizer=name), why


def _fit(settings: TextSettings, read: Callable[[], Pieces], meter: Meter) -> Tokenizer:
    """Make the vocabulary of a text while it passes `meter`: of all of it, but merges from what is to train on."""
    kind, texts = named(settings.tokenizer), joined((piece for _, piece in meter.watch(read())), PIECE)
    if not issubclass(kind, Bpe):
        return kind.fit(texts, settings.fitting)
    characters = kind.counts(normalised(texts, settings.fitting.normal))
    train, _ = _sides([read(), ()], settings, meter.identity.characters)
    return kind.fit(joined(train, PIECE), settings.fitting, characters)


def _sides(texts: Sequence[Pieces], settings: TextSettings, characters: int) -> tuple[Iterator[str], Iterator[str]]:
    """Return what of a text of so many characters is to train on, and what is not: by position it is read once.

    Else each side reads it from one of `texts`.
    """
    if settings.split_by == "position":
        return cut(texts[0], int(settings.split * characters))
    how = settings.split_by, settings.split, settings.split_seed
    return side(texts[0], *how, train=True), side(texts[1], *how, train=False)


@dataclass(frozen=True)
class Plan:
    """A text that has been read once, and what is to be made of it."""

    tokenizer: Tokenizer
    settings: TextSettings
    text: Identity
    documents: str
    """a hash (hex) of where the documents begin"""
    read: Callable[[], Pieces]
    progress: Progress | None

    @property
    def by(self) -> str:
        """What the split was decided by, with all that it depends on."""
        by, seed = self.settings.split_by, self.settings.split_seed
        return {"position": by, "lines": f"{by} {seed}", "documents": f"{by} {seed} {self.documents}"}[by]

    @property
    def key(self) -> str:
        """What the ids will be known by: see `Shards.key`."""
        return _key(self.text, self.tokenizer, self.settings.split, self.by)


def _prepared(source: Source, folder: Path | None) -> Shards:
    if len(source.paths) > 1 or folder:
        raise UsageError(
            "a text that is prepared already can't be joined with others, or prepared again: name it alone, to train on"
        )
    return Shards.open(source.paths[0])


def open_cached(key: str) -> Shards | None:
    """Return the ids that the cache holds under this key, if it does; damaged ones are removed, to be made anew."""
    folder = cached_folder(key)
    with suppress(UsageError):
        shards = Shards.open(folder)
        if shards.key == key:
            return shards
    shutil.rmtree(folder, ignore_errors=True)
    return None


def cached_folder(key: str) -> Path:
    """Return where the cache holds the ids of this key, if it does."""
    return cache_folder() / "ids" / key


def _check_free(folder: Path) -> None:
    if folder.resolve() == Path.cwd():
        raise UsageError(f"{folder} is where you are; name a new folder in it")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is there already, and not an empty folder; name another")


def _make(folder: Path, plan: Plan) -> bool:
    """Write the files beside `folder`, and rename when all are whole; say whether it was free to the end."""
    made = [path for path in folder.parents if not path.exists()]
    making = folder.with_name(f".making-{token_hex(4)}")
    _sweep(folder.parent)
    try:
        making.mkdir(parents=True)
        _write(making, plan)
        try:
            with suppress(FileNotFoundError):
                folder.rmdir()
            making.rename(folder)
        except OSError:
            if not folder.exists():
                raise
            return False
        return True
    finally:
        shutil.rmtree(making, ignore_errors=True)
        with suppress(OSError):  # raised by the first that holds anything
            for path in made:
                path.rmdir()


def _sweep(root: Path) -> None:
    """Remove what killed processes were making: one that lives has written to its own within a day."""
    for left in root.glob(".making-????????"):
        with suppress(OSError):
            if max(each.stat().st_mtime for each in (left, *left.iterdir())) < time.time() - A_DAY:
                shutil.rmtree(left)


def _key(text: Identity, tokenizer: Tokenizer, split: float, by: str) -> str:
    whole = [str(VERSION), text.sha256, tokenizer.fingerprint, repr(float(split)), by]
    return sha256(" ".join(whole).encode("ascii")).hexdigest()


def _write(folder: Path, plan: Plan) -> None:
    """Write the files."""
    sizes = _write_ids(folder, plan)
    header = {
        "version": VERSION,
        "dtype": ids_dtype(plan.tokenizer.vocab_size).name,
        "split": plan.settings.split,
        "by": plan.by,
        "train": sizes[0],
        "val": sizes[1],
        "leaked": _leaked(folder, sizes, plan),
        "settings": asdict(plan.settings),
        "text": asdict(plan.text),
        "tokenizer": plan.tokenizer.to_json(),
    }
    with (folder / HEADER).open("xb") as file:
        file.write(json.dumps(header, indent=1).encode("ascii") + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _leaked(folder: Path, sizes: list[int], plan: Plan) -> float:
    """Return the share of the validation text's characters that stand in the training text too."""
    characters, dtype = plan.tokenizer.unit_characters, ids_dtype(plan.tokenizer.vocab_size)
    val = _map(folder / VAL, dtype.name, sizes[1])
    a_unit = max(0.25, float(characters[val[:PIECE]].mean()))  # in characters
    length = max(1, round(leakage.LENGTH / a_unit))

    def train() -> Iterator[Ids]:
        with (folder / TRAIN).open("rb") as file:  # a memory map would come to be in memory as a whole
            while len(ids := np.fromfile(file, dtype.newbyteorder("<"), PIECE)):
                yield ids
                if plan.progress:
                    plan.progress(file.tell(), sizes[0] * dtype.itemsize)

    return leakage.leaked(train(), val, length, characters).share


def _write_ids(folder: Path, plan: Plan) -> list[int]:
    """Write the ids of both sides of the split; return how many each has."""
    changed = UsageError("the text changed while it was being read; leave it alone and start again")
    meters = [Meter() for _ in range(1 if plan.settings.split_by == "position" else 2)]
    sides = _sides([meter.watch(plan.read()) for meter in meters], plan.settings, plan.text.characters)
    try:
        sizes = [_encode(folder / name, plan, texts) for name, texts in zip((TRAIN, VAL), sides, strict=True)]
    except UsageError as error:
        raise changed from error  # the vocabulary came from this very text, so it had no such fault then
    if any(meter.identity != plan.text for meter in meters):
        raise changed
    _check(sum(sizes), sizes[0], plan)
    return sizes


def _encode(path: Path, plan: Plan, texts: Iterable[str]) -> int:
    """Write the ids of a text; return how many they are."""
    n = 0
    with path.open("xb") as file:
        for ids in plan.tokenizer.encode_chunks(joined(texts, PIECE)):
            file.write(ids.astype(ids.dtype.newbyteorder("<"), copy=False).tobytes())
            n += len(ids)
        file.flush()
        os.fsync(file.fileno())  # a power cut shall not leave a finished folder with unfinished files
    return n


def _check(n: int, n_train: int, plan: Plan) -> None:
    if n == 0:
        raise UsageError("the text is empty; name one with something in it")
    if plan.tokenizer.vocab_size < 2:
        raise UsageError(f"the text holds nothing but {plan.tokenizer.units[0]!r}: nothing to predict")
    if min(n_train, n - n_train) < 2:
        by = plan.settings.split_by
        other = (
            "use a longer text or another split" if by == "position" else f"there are too few {by}: split by position"
        )
        raise UsageError(
            f"split {plan.settings.split}{f' by {by}' if by != 'position' else ''} cuts the text's {n} ids into "
            f"{n_train} to train on and {n - n_train} to validate on, and each needs at least 2; {other}"
        )


def _map(path: Path, dtype: str, count: int) -> Ids:
    little = np.dtype(dtype).newbyteorder("<")
    if path.stat().st_size != count * little.itemsize:
        raise ValueError(f"{path.name} has {path.stat().st_size} bytes, not {count * little.itemsize}")
    return np.memmap(path, little, mode="r")


def _damaged(folder: Path, why: str) -> UsageError:
    return UsageError(f"{folder} is damaged: {why}; delete the folder and prepare the text again")
