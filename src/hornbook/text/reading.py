"""Bytes on disk -> text, exactly as it is, or an error that names the byte.

Files are read as raw bytes and decoded piece by piece: line ends stay as they are, and the memory used does not
grow with the file, however long its lines.
"""

import codecs
import glob
import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NoReturn

from hornbook.errors import UsageError

Progress = Callable[[int, int], object]  # (bytes done, bytes in all)


@dataclass(frozen=True)
class Identity:
    """What a text is known by: the sha256 (hex) of its UTF-8 bytes, and how many characters and bytes it has."""

    sha256: str
    characters: int
    bytes: int


class Meter:
    """Takes the identity of a text while its chunks pass through to whoever reads them."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._characters = self._bytes = 0

    def through(self, chunks: Iterable[str]) -> Iterator[str]:
        """Yield the chunks as they come, measuring each."""
        for chunk in chunks:
            data = chunk.encode("utf-8", "surrogatepass")
            self._hash.update(data)
            self._characters += len(chunk)
            self._bytes += len(data)
            yield chunk

    @property
    def identity(self) -> Identity:
        """The identity of what has passed so far: of the whole text, once all chunks are through."""
        return Identity(self._hash.hexdigest(), self._characters, self._bytes)


def expand(patterns: Sequence[str | Path]) -> list[Path]:
    """Return the files that paths and globs (`**` too) name, in the order given, a glob's own files sorted.

    A file that is named twice comes twice. Raises UsageError for a missing file, a glob that matches no file, a
    folder, and a file that can't be opened.
    """
    paths: list[Path] = []
    for pattern in [os.fspath(each) for each in patterns]:
        files = (path for path in _glob(pattern) if path.is_file())
        # A name with a * or [ in it may be a file's own: that file is meant, where there is one.
        found = _glob(glob.escape(pattern)) or sorted(files, key=lambda path: path.parts)
        if not found:
            what = "no file matches" if glob.has_magic(pattern) else "no such file:"
            raise UsageError(f"{what} {_shown(pattern)}")
        paths += found
    for path in paths:
        _check(path)
    return paths


def read_chunks(paths: Sequence[Path], size: int = 1 << 20, progress: Progress | None = None) -> Iterator[str]:
    """Yield the text of UTF-8 files in pieces of at most `size` bytes, the files joined with nothing between.

    Nothing is changed, but for a byte order mark at the very start of a file, which is dropped. `progress` is
    told after each piece how many bytes are read, of how many. Raises UsageError at the first byte that is not
    UTF-8, at a NUL character, and for a file that can't be read.
    """
    done = 0
    path = Path()
    try:
        total = sum((path := each).stat().st_size for each in paths)
        for path in paths:
            with path.open("rb") as file:
                for text in _decode(file, path, size):
                    if text:
                        yield text
                    if progress:
                        progress(done + file.tell(), total)
                done += file.tell()
    except OSError as error:
        raise UsageError(f"{_shown(path)} can't be read: {error.strerror}") from error


def _glob(pattern: str) -> list[Path]:
    names = glob.glob(pattern, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute pattern
    return [Path(name) for name in names]


def _decode(file: BinaryIO, path: Path, size: int) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    if file.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
        file.seek(0)
    while True:
        start = file.tell() - len(decoder.getstate()[0])  # the decoder keeps the start of a cut character
        data = file.read(size)
        try:
            text = decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            _refuse(path, start + error.start, error)
        if "\0" in text:
            place = start + len(text[: text.index("\0")].encode("utf-8"))
            raise UsageError(
                f"{_shown(path)} holds a NUL character at byte {place}: it is a binary file, or UTF-16; "
                "leave it out, or save it as UTF-8"
            )
        yield text
        if not data:
            return


def _refuse(path: Path, place: int, error: UnicodeDecodeError) -> NoReturn:
    """Say where the bad byte is; its line is only now counted, by reading the file again up to there."""
    line, left = 1, place
    with path.open("rb") as file:
        start = file.read(2)
        file.seek(0)
        while piece := file.read(min(left, 1 << 20)):
            line += piece.count(b"\n")
            left -= len(piece)
    if start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        raise UsageError(f"{_shown(path)} is UTF-16, not UTF-8 (it starts with {start.hex(' ')}); save it as UTF-8")
    raise UsageError(
        f"{_shown(path)} is not UTF-8: byte {error.object[error.start]:#04x} at offset {place}, line {line} "
        f"({error.reason}); save it as UTF-8"
    )


def _check(path: Path) -> None:
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise UsageError(f"{_shown(path)} is a folder; name its files, for example '{path / '*.txt'}'")
        if not stat.S_ISREG(mode):  # a pipe can't be read twice, as the two passes over a text need
            raise UsageError(f"{_shown(path)} is not a regular file; save the text to one first")
        with path.open("rb"):
            pass
    except OSError as error:
        raise UsageError(f"{_shown(path)} can't be read: {error.strerror}") from error


def _shown(path: Path | str) -> str:
    """A path for a one-line message: somebody may have given a whole text for it."""
    name = str(path)
    name = name if len(name) < 300 else f"{name[:60]}…"
    return name if name and name.isprintable() else repr(name)
