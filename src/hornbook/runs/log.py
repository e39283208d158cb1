"""What happened, one JSON object a line: appended to, cut back when a run resumes, never edited."""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any

from hornbook.errors import UsageError
from hornbook.runs.files import from_json, read_bytes, sync_folder, to_json, write_durably

LARGEST = 1e300  # of the numbers that can stand in a log
BESIDE = {"val_loss": {"train_loss"}, "final_val_loss": {"characters", "bits_per_character", "bits_per_byte"}}
TEXTS = {"sample", "at"}


class Log:
    """A log being written. Lines wait in memory until `flush` or until there are some kilobytes of them."""

    def __init__(self, path: Path) -> None:
        whole = b"".join(_lines(path))
        if path.exists() and path.stat().st_size > len(whole):
            write_durably(path, whole)  # a line torn by a crash: the next must not stick to it
        if not path.exists():
            path.touch()
            sync_folder(path.parent)  # a name that the disk does not have, a power cut takes back with the whole file
        self._file = path.open("ab")
        self._size, self._digest = len(whole), sha256(whole)

    def append(self, record: dict[str, Any]) -> None:
        """Add a line; ValueError without a whole "step", or for NaN or an infinity in it."""
        if type(record.get("step")) is not int:
            raise ValueError(f"a line of a log needs its step: {record}")
        line = to_json(record) + b"\n"
        self._file.write(line)
        self._size += len(line)
        self._digest.update(line)

    def seal(self) -> dict[str, Any]:
        """Return what `changed_since` knows this log by, up to here."""
        return {"log_bytes": self._size, "log_sha256": self._digest.hexdigest()}

    def flush(self) -> None:
        """Hand over the lines to the system."""
        self._file.flush()

    def sync(self) -> None:
        """Wait until the disk has the lines that were handed over."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Flush and close."""
        self._file.close()

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.close()


def read(path: Path) -> list[dict[str, Any]]:
    """Return a log's records; a torn last line is left out, no file yet is no records.

    UsageError naming file and line when another line is damaged.
    """
    return [_record(line, f"{path}, line {n},") for n, line in enumerate(_lines(path), 1)]


def evaluations(records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the records that hold a validation loss: step, train_loss, val_loss."""
    return [record for record in records if "val_loss" in record]


def best(records: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return the first evaluation with the lowest validation loss; an empty record where there was none."""
    return min(evaluations(records), key=lambda record: record["val_loss"], default={})


def truncate_after(path: Path, step: int) -> None:
    """Keep the lines whose step is at most `step`, byte for byte, for a run that resumes there.

    UsageError naming file and line when one before the last of these is damaged; what comes after them may be: it was
    not synced, and a power cut leaves there whatever it likes.
    """
    lines, last = list(_lines(path)), 0
    for n, line in enumerate(lines, 1):
        with suppress(UsageError):
            last = n if _record(line, "")["step"] <= step else last
    records = [_record(line, f"{path}, line {n},") for n, line in enumerate(lines[:last], 1)]
    kept = b"".join(line for line, record in zip(lines, records, strict=False) if record["step"] <= step)
    if path.exists() and path.stat().st_size > len(kept):
        write_durably(path, kept)


def changed_since(path: Path, state: Mapping[str, Any]) -> str:
    """Say that a log does not begin with the bytes of which a checkpoint's state has the seal; "" if it does.

    Of a checkpoint without a seal, from before there were any, nothing can be said.
    """
    size, data = state.get("log_bytes"), b"".join(_lines(path))
    if type(size) is not int or sha256(data[: max(size, 0)]).hexdigest() == state.get("log_sha256"):
        return ""
    return f"{path} is not as it was when the checkpoint was saved: what it says of the steps before may be wrong"


def _record(line: bytes, name: str) -> dict[str, Any]:
    record = from_json(line, name)
    if type(step := record.get("step")) is not int or step < 0:
        raise UsageError(f"{name} is damaged: it names no step")
    for key, value in record.items():
        number = type(value) in (int, float) and -LARGEST < value < LARGEST
        if not (type(value) is str if key in TEXTS else number) or BESIDE.get(key, set()) - record.keys():
            raise UsageError(f"{name} is damaged: {key[:80]!r} is not what it should be, or lacks what belongs to it")
    return record


def _lines(path: Path) -> Iterator[bytes]:
    # Not splitlines, not text mode: U+2028 and others end a line there, and stand as they are in JSON.
    data, start = read_bytes(path) if path.exists() else bytearray(), 0
    while end := data.find(b"\n", start) + 1:
        yield bytes(data[start:end])
        start = end
