"""Writing that survives a power cut, and reading that takes nothing on trust."""

import errno
import hashlib
import json
import os
import time
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import Any

from hornbook.errors import UsageError

PATIENCE = 20 if os.name == "nt" else 0  # times that a rename is asked for again, 50 ms apart


def encode(text: str) -> bytes:
    """Return UTF-8; half a surrogate pair, which UTF-8 cannot hold, becomes an escape (inside JSON, the right one)."""
    return text.encode("utf-8", "backslashreplace")


def to_json(value: object, indent: int | None = None) -> bytes:
    """Return JSON in UTF-8; ValueError for NaN and the infinities, which JSON does not know."""
    return encode(json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent))


def from_json(data: bytes, name: object) -> dict[str, Any]:
    """Read one JSON object; UsageError naming `name` for anything else, also for a key that stands twice."""
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
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} stands twice")
    return result


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a JSON number")


def read_bytes(path: Path) -> bytes:
    """Return what a file holds; UsageError, naming it, when it is missing or cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UsageError(f"{path} is missing") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file; UsageError, one line that names the file, when there is none."""
    return from_json(read_bytes(path), path)


def write_json(path: Path, value: object) -> None:
    """Write JSON for people, durably; ValueError for NaN and the infinities."""
    write_durably(path, to_json(value, indent=2) + b"\n")


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
    with suppress(PermissionError):
        write_durably(path, data)


def write_new(path: Path, data: bytes) -> None:
    """Write a file that did not exist, and wait until the disk has it."""
    with path.open("xb") as file:
        file.write(data)
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
