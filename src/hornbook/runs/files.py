"""Writing that survives a power cut, and reading that takes nothing on trust."""

import errno
import hashlib
import json
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import Any

from hornbook.errors import UsageError

PATIENCE = 20 if os.name == "nt" else 0  # times that a rename is asked for again, 50 ms apart
HELD = (PermissionError,) if os.name == "nt" else ()  # of a file that a program on Windows holds open
MOST_BYTES = 1 << 30  # of a log: millions of steps
MOST_JSON = 1 << 23  # bytes of any other JSON file
MOST_VALUES = 1 << 19  # in it, half of them strings: each takes up to a hundred bytes of memory
STRING = re.compile(rb'"[^"\\]*+(?:\\.?[^"\\]*+)*+"?', re.DOTALL)


def encode(text: str) -> bytes:
    """Return UTF-8; half a surrogate pair, which UTF-8 cannot hold, becomes an escape (inside JSON, the right one)."""
    return text.encode("utf-8", "backslashreplace")


def to_json(value: object, indent: int | None = None) -> bytes:
    """Return JSON in UTF-8; ValueError for NaN and the infinities, which JSON does not know."""
    return encode(json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent))


def from_json(data: bytes | bytearray, name: object) -> dict[str, Any]:
    """Read one JSON object; UsageError naming `name` for anything else, also for a key that stands twice."""
    _check_values(data, name)
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_once, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{name} cannot be read as JSON: {error}") from None
    if not isinstance(value, dict):
        raise UsageError(f"{name} cannot be read: it should hold a JSON object")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        seen = set[str]()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice[:80]!r} stands twice")
    return result


def _check_values(data: bytes | bytearray, name: object) -> None:
    signs = b"[", b"{", b":", b","
    if max(sum(map(data.count, signs)), data.count(b'"')) > MOST_VALUES:  # else they can't be as many
        strings = (data.count(b'"') - data.count(b"\\")) // 2  # or more
        outside = b"" if strings > MOST_VALUES // 2 else b"".join(STRING.split(bytes(data)))
        if not outside or sum(map(outside.count, signs)) > MOST_VALUES:
            raise UsageError(f"{name} cannot be read: it holds more than {MOST_VALUES:,} values")


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a JSON number")


@contextmanager
def naming(where: object) -> Iterator[None]:
    """Let each UsageError from within begin with `where`: the file that was read. What it quotes may be long."""
    try:
        yield
    except UsageError as error:
        raise UsageError(f"{where}: {str(error)[:300]}") from None


def check_plain(folder: Path) -> None:
    """Raise UsageError for a link, a pipe or the like in a folder: what is written there would go elsewhere."""
    try:
        with os.scandir(folder) as inside:
            for each in inside:
                with suppress(FileNotFoundError):  # a checkpoint that a training has just removed
                    _check_kind(folder / each.name, each.stat(follow_symlinks=False).st_mode)
    except OSError as error:
        raise UsageError(f"{folder} cannot be read: {error.strerror}") from None


def _check_kind(path: Path, mode: int) -> None:
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        what = "a link: put what it leads to in its place" if stat.S_ISLNK(mode) else "neither a file nor a folder"
        raise UsageError(f"{path} is {what}")


def read_bytes(path: Path, most: int = MOST_BYTES) -> bytearray:
    """Return what a file of at most so many bytes holds.

    UsageError, naming it, when it is missing, longer, no file but a link, a pipe or the like, or cannot be read.
    """
    try:
        about = path.lstat()
        _check_kind(path, about.st_mode)
        if about.st_size > most:
            raise UsageError(f"{path} is damaged: it has {about.st_size:,} bytes, and should have {most:,} at most")
        data = bytearray(about.st_size)
        with path.open("rb") as file:
            del data[file.readinto(data) :]
    except FileNotFoundError:
        raise UsageError(f"{path} is missing") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    return data


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file; UsageError, one line that names the file, when there is none."""
    return from_json(read_bytes(path, MOST_JSON), path)


def write_json(path: Path, value: object) -> None:
    """Write JSON for people, durably; ValueError for NaN and the infinities, UsageError for too much to be read."""
    data = to_json(value, indent=2) + b"\n"
    _check_values(data, path)
    if len(data) > MOST_JSON:
        raise UsageError(f"{path} would have {len(data):,} bytes, and could not be read: use a smaller vocabulary")
    write_durably(path, data)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_durably(path: Path, data: bytes) -> None:
    """Put `data` at `path`: afterwards, whatever happens meanwhile, it holds all of the new or all of the old.

    OSError (a full disk) leaves the old file as it was.
    """
    temporary = path.with_name(f".{path.name}.{token_hex(4)}.part")
    try:
        write_new(temporary, data)
        move(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_again(path: Path, data: bytes) -> None:
    """Write a file that can be made again from others: while a program on Windows holds it open, it stays old."""
    with suppress(*HELD):
        write_durably(path, data)


def write_new(path: Path, *pieces: Any) -> None:
    """Write a file that did not exist, of one piece of bytes after the other, and wait until the disk has it."""
    with path.open("xb") as file:
        for piece in pieces:
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())


def move(old: Path, new: Path) -> None:
    """Rename; on Windows a virus scanner may hold a fresh file for a moment, so there it is asked for again."""
    for attempt in range(PATIENCE + 1):
        try:
            old.replace(new)
            return
        except PermissionError:
            if attempt == PATIENCE:
                raise
            time.sleep(0.05)


def sync_folder(path: Path) -> None:
    """Wait until the disk has the names in a folder; without effect where the system cannot (Windows)."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network folders
            raise
    finally:
        os.close(descriptor)
