"""Where a run lives: one folder, made once, opened by looking at it."""

import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from hornbook.errors import UsageError, nearest
from hornbook.runs import lock
from hornbook.runs.files import check_plain, read_json, sync_folder, write_json

FORMAT = 1  # of the run folder; grows when an older hornbook could not read a newer run
RUNS = Path("runs")  # where runs go that were given no place
NAME_BYTES = 100  # of UTF-8: file systems stop at 255, Windows at 260 for a whole path
UNBEGUN = {lock.LOCK, lock.AT_WORK, "environment.json", "vocabulary.json", "checkpoints"}  # there before the config
RESERVED = {"CON", "PRN", "AUX", "NUL"} | {f"{port}{n}" for port in ("COM", "LPT") for n in range(10)}


class _Inside:
    """The path of a file in a run folder."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, folder: "RunFolder", owner: type) -> Path:
        return folder.path / self.name


@dataclass(frozen=True)
class RunFolder:
    """A run's folder. These are its files:"""

    path: Path

    config_path = _Inside("config.json")
    vocabulary_path = _Inside("vocabulary.json")
    environment_path = _Inside("environment.json")
    log_path = _Inside("log.jsonl")
    times_path = _Inside("times.jsonl")
    csv_path = _Inside("loss.csv")
    svg_path = _Inside("loss.svg")
    png_path = _Inside("loss.png")
    samples_path = _Inside("samples.txt")
    notes_path = _Inside("notes.md")
    checkpoints_path = _Inside("checkpoints")
    board_path = _Inside("tensorboard")

    @classmethod
    def create(cls, out: Path | None, label: str) -> "RunFolder":
        """Make an empty folder for a run: `out`, or the first of runs/<label>, runs/<label>-2, … not taken.

        UsageError when `out` holds anything or cannot be made.
        """
        try:
            folder = cls(_take_free(file_name(label)) if out is None else out)
            folder.path.mkdir(parents=True, exist_ok=True)
            check_free(folder.path)
            folder.checkpoints_path.mkdir(exist_ok=True)
        except OSError as error:
            where = RUNS if out is None else out
            raise UsageError(
                f"no folder for the run can be made at {where}: {error.strerror}; name another --out"
            ) from None
        return folder

    @classmethod
    @contextmanager
    def claim(cls, out: Path | None, label: str) -> Iterator["RunFolder"]:
        """Do what `create` does, and hold the folder (`lock.py`): of several processes that ask for it, one gets it.

        If no run is begun there, all folders that were made are removed.
        """
        wanted = (RUNS, *RUNS.parents) if out is None else (out, *out.parents)
        made = [path for path in wanted if not path.exists()]
        folder = cls.create(out, label)
        if out is None:
            made.insert(0, folder.path)
        with suppress(OSError):  # what may be written need not be readable
            for path in made:
                sync_folder(path.parent)
        try:
            with lock.hold(folder.path):
                check_free(folder.path)  # now that nobody else can begin one
                try:
                    with lock.at_work(folder.path):
                        yield folder
                finally:
                    if not folder.config_path.exists():
                        folder._clear()
        finally:
            with suppress(OSError):  # raised by the first that holds anything
                for path in made:
                    path.rmdir()

    def _clear(self) -> None:
        """Remove what was made for a run that never began."""
        with suppress(OSError):
            self.checkpoints_path.rmdir()
        for name in sorted(UNBEGUN - {self.checkpoints_path.name}, reverse=True):  # the lock last: "." sorts first
            with suppress(OSError):
                (self.path / name).unlink(missing_ok=True)

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """Open a run. UsageError when there is none, when it cannot be read, or a newer hornbook wrote it."""
        if not path.is_dir():
            what = "is a file, not the folder of a run" if path.exists() else "does not exist"
            raise UsageError(f"{path} {what}; {_hint(path)}")
        folder = cls(path)
        if not folder.config_path.exists():
            raise UsageError(f"{path} is not a run, it has no config.json; {_hint(path)}")
        check_plain(path)
        if folder.checkpoints_path.is_dir():
            check_plain(folder.checkpoints_path)
        check_format(folder.config(), folder.config_path)
        return folder

    def begin(self, config: dict[str, Any], vocabulary: dict[str, Any], environment: dict[str, Any]) -> None:
        """Write down what was asked, once; the config, with the format's version in it, comes last.

        From then on, and no sooner, the folder is a run.
        """
        if self.config_path.exists():
            raise UsageError(_taken(self.path))
        write_json(self.environment_path, environment)
        write_json(self.vocabulary_path, vocabulary)
        write_json(self.config_path, {"format": FORMAT, **config})

    def config(self) -> dict[str, Any]:
        """Return what was asked; UsageError when it cannot be read."""
        return read_json(self.config_path)

    def vocabulary(self) -> dict[str, Any]:
        """Return the tokenizer as it was saved; UsageError when it cannot be read."""
        return read_json(self.vocabulary_path)


def check_format(record: dict[str, Any], path: Path) -> None:
    """Raise UsageError unless `record`, read from `path`, names a version of the format that is known here."""
    version = record.get("format")
    if type(version) is not int or version < 1:
        raise UsageError(f"{path} is not one that hornbook wrote: it names no version of its format")
    if version > FORMAT:
        raise UsageError(
            f"{path} was written by a newer hornbook (format {version}; this one reads up to {FORMAT}): "
            "upgrade hornbook to open it"
        )


def check_free(out: Path) -> None:
    """Raise UsageError unless a run could be made at `out`: it is not there, or an empty folder.

    What a process made that was killed before its run began counts for nothing.
    """
    left = {path.name for path in out.iterdir()} if out.is_dir() else set()
    unbegun = {name for name in left if name in UNBEGUN or name.endswith(".part")}
    if left - unbegun or any((out / "checkpoints").glob("*")):
        raise UsageError(_taken(out))


def file_name(label: str) -> str:
    """Return a name that every system takes for a folder: letters, marks and digits of any script, and `-_.`"""
    kept = (
        c if unicodedata.category(c)[0] in "LMN" or c in "-_." else "-" for c in unicodedata.normalize("NFC", label)
    )
    name = "-".join(part for part in "".join(kept).split("-") if part)
    name = name.encode("utf-8")[:NAME_BYTES].decode("utf-8", "ignore").strip(".-") or "run"
    stem = unicodedata.normalize("NFKC", name.partition(".")[0]).upper()  # Windows reads COM¹ as COM1
    return f"run-{name}" if stem in RESERVED else name


def _take_free(name: str) -> Path:
    RUNS.mkdir(exist_ok=True)
    for n in count(1):
        path = RUNS / (name if n == 1 else f"{name}-{n}")
        try:
            path.mkdir()
        except FileExistsError:
            continue
        sync_folder(RUNS)
        return path
    raise AssertionError("counting never ends")


def _taken(path: Path) -> str:
    if (path / "config.json").exists():
        return f"{path} already holds a run: name another --out, or continue it with `hornbook resume {path}`"
    return f"{path} already holds something: name another --out"


def _hint(path: Path) -> str:
    beside = path.parent
    found = [*beside.glob("*/config.json"), *beside.glob("runs/*/config.json")]
    names = {file.parent.as_posix() for file in found}
    return nearest(path.as_posix(), names) if names else "`hornbook train` makes one"
