"""Ids on disk: `train.bin` and `val.bin`, read by memory map, and one header that says what they are.

The ids are little-endian, of the smallest unsigned type that holds the vocabulary. The header, `header.json`, is
written last: a folder without one was never finished.
"""

import json
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from hornbook.errors import UsageError
from hornbook.text.corpora import Source, cache_folder
from hornbook.text.reading import Identity, Meter, Progress, read_chunks
from hornbook.text.tokenizer import Tokenizer, from_json, named
from hornbook.text.units import Ids, ids_dtype

VERSION = 1
TRAIN, VAL, HEADER = FILES = ("train.bin", "val.bin", "header.json")


@dataclass(frozen=True, eq=False)
class Shards:
    """The ids of a text: the first of them in `train`, the rest in `val`; both memory maps, read only."""

    folder: Path
    train: Ids
    val: Ids
    split: float
    text: Identity
    tokenizer: Tokenizer

    @property
    def key(self) -> str:
        """What these ids are known by: a hash (hex) of the text, the vocabulary and the split."""
        return _key(self.text, self.tokenizer, self.split)

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
            return cls(folder, train, val, float(header["split"]), Identity(**header["text"]), tokenizer)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise UsageError(f"{folder} does not hold prepared text: it has no {Path(error.filename).name}") from error
        except KeyError as error:
            raise _damaged(folder, f"its header does not say {error}") from error
        except (ValueError, TypeError) as error:
            raise _damaged(folder, str(error)) from error


def write(
    folder: Path, chunks: Iterable[str], tokenizer: Tokenizer, split: float, expected: Identity | None = None
) -> Shards:
    """Write the ids of a text that comes in pieces into `folder` (made if need be) and open them.

    Of n ids, the first int(split * n) are for training. Raises UsageError if `split` is not between 0 and 1, if
    the text is too small to learn from or is not the one `expected`, and if the folder already holds a text; on
    any error the folder is left without these files.
    """
    _check_request(folder, split)
    _write(folder, chunks, tokenizer, split, expected)
    return Shards.open(folder)


def prepare(
    source: Source,
    tokenizer_name: str = "characters",
    split: float = 0.9,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> Shards:
    """Return the ids of a source: from the cache if they are there, else written into it, or into `folder`.

    The text is read once to fit the vocabulary and hash it, and a second time to encode it if need be; `progress`
    goes from nothing to all its bytes each time. A source that is a folder of prepared ids is opened as it is, with
    the tokenizer and the split that it was prepared with. Raises what `read_chunks` and `write` raise.
    """
    _check_request(folder, split)
    if any(path.is_dir() for path in source.paths):
        return _prepared(source, folder)
    meter = Meter()
    tokenizer = named(tokenizer_name).fit(meter.through(read_chunks(source.paths, progress=progress)))
    text = meter.identity
    chunks = read_chunks(source.paths, progress=progress)
    if folder:
        return write(folder, chunks, tokenizer, split, text)
    key = _key(text, tokenizer, split)
    return open_cached(key) or _cache(key, chunks, tokenizer, split, text)


def _prepared(source: Source, folder: Path | None) -> Shards:
    if len(source.paths) > 1 or folder:
        raise UsageError(
            "a text that is prepared already can't be joined with others, or prepared again: name it alone, to train on"
        )
    return Shards.open(source.paths[0])


def open_cached(key: str) -> Shards | None:
    """Return the ids that the cache holds under this key, if it does; UsageError if they are damaged."""
    folder = cached_folder(key)
    if not folder.exists():
        return None
    shards = Shards.open(folder)
    if shards.key != key:
        raise _damaged(folder, "its header is of another text")
    return shards


def cached_folder(key: str) -> Path:
    """Return where the cache holds the ids of this key, if it does."""
    return cache_folder() / "ids" / key


def _cache(key: str, chunks: Iterable[str], tokenizer: Tokenizer, split: float, text: Identity) -> Shards:
    folder = cached_folder(key)
    folder.parent.mkdir(parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(prefix="making-", dir=folder.parent))
    try:
        _write(making, chunks, tokenizer, split, text)
        try:
            making.rename(folder)
        except OSError:
            if not folder.exists():
                raise  # else somebody else wrote the same ids meanwhile, and theirs are as good
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return Shards.open(folder)


def _key(text: Identity, tokenizer: Tokenizer, split: float) -> str:
    return sha256(f"{text.sha256} {tokenizer.fingerprint} {float(split)!r}".encode("ascii")).hexdigest()


def check_split(split: float) -> None:
    """Raise UsageError for a share of the text that leaves nothing to train on, or nothing to validate on."""
    if not 0 < split < 1:
        raise UsageError(f"split is {split}, and must lie between 0 and 1: the part of the text to train on")


def _check_request(folder: Path | None, split: float) -> None:
    check_split(split)
    if folder and (held := [name for name in FILES if (folder / name).exists()]):
        raise UsageError(f"{folder} already holds {held[0]}; name another folder")


def _write(folder: Path, chunks: Iterable[str], tokenizer: Tokenizer, split: float, expected: Identity | None) -> None:
    dtype = ids_dtype(tokenizer.vocab_size)
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        text = _write_ids(folder / TRAIN, chunks, tokenizer, expected)
        n = (folder / TRAIN).stat().st_size // dtype.itemsize
        n_train = int(split * n)
        _check(n, n_train, tokenizer, split)
        _move_tail(folder / TRAIN, n_train * dtype.itemsize, folder / VAL)
        header = {
            "version": VERSION,
            "dtype": dtype.name,
            "split": split,
            "train": n_train,
            "val": n - n_train,
            "text": asdict(text),
            "tokenizer": tokenizer.to_json(),
        }
        (folder / HEADER).write_text(json.dumps(header, indent=1) + "\n", encoding="utf-8", newline="\n")
    except BaseException:
        for name in FILES:
            (folder / name).unlink(missing_ok=True)
        for path in made:
            path.rmdir()
        raise


def _write_ids(path: Path, chunks: Iterable[str], tokenizer: Tokenizer, expected: Identity | None) -> Identity:
    changed = UsageError("the text changed while it was being read; leave it alone and start again")
    meter = Meter()
    with path.open("xb") as file:
        try:
            for ids in tokenizer.encode_chunks(meter.through(chunks)):
                file.write(ids.astype(ids.dtype.newbyteorder("<"), copy=False).tobytes())
        except UsageError as error:
            if expected is None:
                raise
            raise changed from error  # the vocabulary came from this very text, so it had no such fault then
    if expected not in (None, meter.identity):
        raise changed
    return meter.identity


def _check(n: int, n_train: int, tokenizer: Tokenizer, split: float) -> None:
    if n == 0:
        raise UsageError("the text is empty; name one with something in it")
    if tokenizer.vocab_size < 2:
        raise UsageError(f"the text holds nothing but {tokenizer.units[0]!r}: nothing to predict")
    if min(n_train, n - n_train) < 2:
        raise UsageError(
            f"split {split} cuts the text's {n} ids into {n_train} to train on and {n - n_train} to validate on, "
            "and each needs at least 2; use a longer text or another split"
        )


def _move_tail(path: Path, start: int, to: Path) -> None:
    """Move what stands from byte `start` on into another file: n is known only when all ids are written."""
    with path.open("r+b") as file, to.open("xb") as tail:
        file.seek(start)
        shutil.copyfileobj(file, tail, 1 << 20)
        file.truncate(start)


def _map(path: Path, dtype: str, count: int) -> Ids:
    little = np.dtype(dtype).newbyteorder("<")
    if path.stat().st_size != count * little.itemsize:
        raise ValueError(f"{path.name} has {path.stat().st_size} bytes, not {count * little.itemsize}")
    return np.memmap(path, little, mode="r")


def _damaged(folder: Path, why: str) -> UsageError:
    return UsageError(f"{folder} is damaged: {why}; delete the folder and prepare the text again")
