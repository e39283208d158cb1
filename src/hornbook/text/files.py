"""Which files hold a text: paths, folders, globs and standard input -> regular files that can be opened."""

import glob
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import BinaryIO

from hornbook.errors import UsageError

KINDS = (".txt", ".jsonl", ".txt.gz", ".jsonl.gz")  # what is taken from a folder


def expand(patterns: Sequence[str | Path]) -> list[Path]:
    """Return the files that paths, folders and globs (`**` too) name, in the order given.

    A folder means the files of KINDS in it and in its folders, but for hidden ones and for what lies behind links to
    folders. Files of a folder or a glob are sorted, and one that is found in two ways comes once; a file that is
    named twice comes twice. Raises UsageError for a missing file, a folder or glob without files, what is not a
    regular file, and a file that can't be opened.
    """
    paths: list[Path] = []
    for pattern in [os.fspath(each) for each in patterns]:
        # A name with a * or [ in it may be a file's own: that file is meant, where there is one.
        if os.path.lexists(pattern):
            found = _inside(Path(pattern)) if Path(pattern).is_dir() else [Path(pattern)]
        else:
            names = glob.glob(pattern, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute pattern
            found = _distinct(map(Path, names))
        if not found:
            what = "no file matches" if glob.has_magic(pattern) else "no such file:"
            raise UsageError(f"{what} {shown(pattern)}")
        paths += found
    for path in paths:
        _check(path)
    return paths


@cache
def keep(stream: BinaryIO, folder: Path) -> Path:
    """Return a file in `folder` (made if need be) of all that comes on a stream, which can be read only once.

    The file is named after the hash of what is in it. Who asks again for the same stream gets the same file. Raises
    UsageError for a stream that breaks before its end.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="stdin-", dir=folder) as making:
        path = Path(making, "text")
        with path.open("w+b") as file:
            file.writelines(_pieces(stream))
            file.seek(0)
            name = f"stdin-{hashlib.file_digest(file, 'sha256').hexdigest()[:16]}.txt"
        return path.replace(folder / name)


def shown(path: Path | str) -> str:
    """Return a path as a one-line message can show it: somebody may have given a whole text for it."""
    name = str(path)
    name = name if len(name) < 300 else f"{name[:60]}…"
    return name if name and name.isprintable() else repr(name)


def unreadable(path: Path | str, error: OSError) -> UsageError:
    """Return what to tell the user about a file that the system does not let us read."""
    return UsageError(f"{shown(path)} can't be read: {error.strerror or error}")


def _pieces(stream: BinaryIO) -> Iterator[bytes]:
    try:
        while piece := stream.read(1 << 20):
            yield piece
    except OSError as error:
        raise unreadable("standard input", error) from error
    if piece is None:  # what does not wait may have more to come
        raise UsageError("standard input was not read to its end: it is set not to wait; save the text to a file first")


def _inside(folder: Path) -> list[Path]:
    def refuse(error: OSError) -> None:
        raise unreadable(error.filename, error) from error

    found: list[Path] = []
    for place, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(place, name) for name in names if name.lower().endswith(KINDS) and not name.startswith(".")]
    if not (files := _distinct(found)):
        what = f"{shown(folder)} is a folder without a {', '.join(KINDS[:-1])} or {KINDS[-1]} file"
        raise UsageError(f"{what}; name its files, for example '{shown(folder / '*.md')}'")
    return files


def _distinct(found: Iterable[Path]) -> list[Path]:
    """The regular files among these, sorted, each by its shortest path: a link may lead round in a circle."""
    longest_first = sorted(found, key=lambda path: (-len(path.parts), path.parts))
    try:
        files = {path.resolve(): path for path in longest_first if path.is_file()}
    except OSError as error:
        raise unreadable(error.filename, error) from error
    return sorted(files.values(), key=lambda path: path.parts)


def _check(path: Path) -> None:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a text is read twice, and a pipe can't be
            raise UsageError(f"{shown(path)} is not a regular file; save the text to one first, or pipe it into -")
        with path.open("rb"):
            pass
    except OSError as error:
        raise unreadable(path, error) from error
