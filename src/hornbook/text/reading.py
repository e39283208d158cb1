"""Bytes on disk -> text, exactly as it is, or an error that names the byte.

Files are read as raw bytes and decoded piece by piece: line ends stay as they are, and the memory used does not
grow with the file, however long its lines.
"""

import codecs
import gzip
import json
import re
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from difflib import get_close_matches
from encodings.aliases import aliases
from itertools import accumulate, chain, count, islice, repeat
from pathlib import Path
from types import NoneType
from typing import BinaryIO

from hornbook.errors import UsageError, nearest
from hornbook.text.files import shown, unreadable

Progress = Callable[[int, int], object]  # (bytes done, bytes in all)
Telling = Progress | None

SIZE = 1 << 20
# What a file may begin with; UTF-32's first, for one of them begins with one of UTF-16's.
MARKS = {codec: "\ufeff".encode(codec) for codec in ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be", "utf-8")}
FOREIGN = (b"%PDF", b"PK\3\4", b"\x1f\x8b", b"BZh", b"\xfd7zX", b"(\xb5/\xfd")  # PDF, zip, gzip, bzip2, xz, zstd
NOT_FOR_FILES = ("charmap", "idna", "punycode", "raw-unicode-escape", "unicode-escape", "utf-7")
NO_TEXT = re.compile("[\0\ud800-\udfff]")
JSON = json.JSONDecoder(parse_int=float)  # as a whole number, one of thousands of digits would be an error
LONGEST_LINE = 1 << 24  # characters of JSON, which is parsed as a whole
KINDS = {dict: "an object", list: "a list", float: "a number", bool: "true or false", NoneType: "null"}


def read_chunks(
    paths: Sequence[Path], size: int = SIZE, progress: Telling = None, encoding: str | None = None, field: str = "text"
) -> Iterator[str]:
    """Yield the text that `read_documents` yields, joined where the pieces are much shorter than `size`."""
    return joined((text for _, text in read_documents(paths, size, progress, encoding, field)), size)


def read_documents(
    paths: Sequence[Path], size: int = SIZE, progress: Telling = None, encoding: str | None = None, field: str = "text"
) -> Iterator[tuple[bool, str]]:
    """Yield the text of files in pieces of at most `size` characters, each with whether a document begins with it.

    A file is a document, and is joined to the next with nothing between. If its name ends in .jsonl or .jsonl.gz, each
    of its lines is one: a JSON object with the text under `field`, which is given a line end where it has none.
    Documents without text are left out. What gzip made, whatever its name, is unpacked.

    A file that begins with the byte order mark of UTF-8, UTF-16 or UTF-32 is read as such, without its mark; others
    are in `encoding`, a name that Python knows, or in UTF-8. Nothing else is changed: line ends and control characters
    stay. `progress` is told after each piece how many bytes of the files are read, of how many.

    Raises UsageError for a name of no encoding, and a file whose mark is another's; at the first byte that can't be
    decoded, at a NUL character and at a line that is not as it should be, each with its place; for a damaged gzip
    file, and a file that can't be read.
    """
    codec = text_codec(encoding) if encoding else ""
    path = Path()
    try:
        starts = [*accumulate(((path := each).stat().st_size for each in paths), initial=0)]
    except OSError as error:
        raise unreadable(path, error) from error

    def told(texts: Iterator[tuple[str, int]], before: int) -> Iterator[str]:
        for text, here in texts:
            if text:
                yield text
            if progress:
                progress(before + here, starts[-1])

    for path, before in zip(paths, starts, strict=False):
        with closing(_texts(path, size, codec)) as opened:
            texts = told(opened, before)
            if path.name.lower().removesuffix(".gz").endswith(".jsonl"):
                for text in _records(texts, shown(path), field):
                    yield from ((not start, text[start : start + size]) for start in range(0, len(text), size))
            else:
                yield from zip(chain([True], repeat(False)), texts, strict=False)


def joined(texts: Iterable[str], size: int) -> Iterator[str]:
    """Yield the same text in fewer pieces: each has at least a quarter of `size` in characters, but for the last."""
    held, length = list[str](), 0
    for text in texts:
        held.append(text)
        length += len(text)
        if 4 * length >= size:
            yield "".join(held)
            held, length = [], 0
    if held:
        yield "".join(held)


def text_codec(encoding: str) -> str:
    """Return Python's own name for an encoding of text; UsageError, with the nearest, where it has none."""
    if not (codec := _codec(encoding)):
        close = get_close_matches(encoding[:40].lower(), filter(_codec, aliases), n=1)
        known = close or ["utf-16-le", "cp1252", "cp1251", "gb18030", "shift_jis", "euc_kr"]
        raise UsageError(f"no encoding of text is called {shown(encoding)}; {nearest(encoding[:40], known)}")
    return codec


def _codec(encoding: str) -> str:
    try:
        " ".encode(encoding)  # refuses hex, zlib and all that is not from text to bytes
        codec = codecs.lookup(encoding).name
    except (LookupError, ValueError):
        return ""
    return "" if codec in NOT_FOR_FILES else codec.removesuffix("-sig")


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO | gzip.GzipFile, BinaryIO]]:
    """Give a file unpacked, and as it is on disk: the same, where nothing is packed."""
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            yield gzip.GzipFile(fileobj=raw) if packed else raw, raw
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UsageError(f"{shown(path)} is a damaged gzip file ({error}); get it anew") from error
    except OSError as error:
        raise unreadable(path, error) from error


def _texts(path: Path, size: int, said: str) -> Generator[tuple[str, int]]:
    """Yield the text of a file in pieces, each with how many bytes of the file have been read."""
    with _opened(path) as (file, raw):
        name = shown(path) if file is raw else f"{shown(path)}, unpacked,"
        start = file.read(4)
        marked = next((codec for codec, mark in MARKS.items() if start.startswith(mark)), "")
        if marked and not marked.startswith(said):
            have = f"{name} begins with the byte order mark of {marked.upper()}, and text.encoding is {said}"
            raise UsageError(f"{have}: leave text.encoding out, or save the file in {said}")
        if start and not marked and said in ("utf-16", "utf-32"):
            raise UsageError(f"{name} has no byte order mark: say --set text.encoding={said}-le, or {said}-be")
        codec = marked or said or "utf-8"
        decoder = codecs.getincrementaldecoder(codec)("strict")
        place = len(MARKS.get(marked, b""))  # of the byte that comes next
        file.seek(place)
        for number in count():
            data, state = file.read(size), decoder.getstate()
            try:
                text = decoder.decode(data, final=not data)
            except UnicodeError:
                text = "\0"
            if "\0" in text:
                decoder.setstate(state)
                line = 1 + sum(text.count("\n") for text, _ in islice(_texts(path, size, said), number))
                fault = _fault(decoder, data, place, line, codec.upper())
                raise UsageError(f"{name} {fault}; {_remedy(start, data[place % 2 :], said, marked)}")
            yield text, raw.tell()
            if not data:
                return
            place += len(data)


def _fault(decoder: codecs.IncrementalDecoder, data: bytes, place: int, line: int, codec: str) -> str:
    """Say what is wrong with these bytes, the first at `place` and in `line`: they are fed again, one by one."""
    begun = place - len(decoder.getstate()[0])  # where the character began that is not whole yet
    for byte in [*(data[i : i + 1] for i in range(len(data))), b""]:
        place += len(byte)
        try:
            text = decoder.decode(byte, final=not byte)
        except UnicodeDecodeError as error:
            at, wrong = place - len(error.object) + error.start, error.object[error.start]
            return f"is not {codec}: byte {wrong:#04x} at offset {at}, line {line} ({error.reason})"
        except UnicodeError as error:  # of ISO 2022's decoders, at an escape without end
            return f"is not {codec}: byte {byte[0]:#04x} at offset {place - 1}, line {line} ({error})"
        if "\0" in text:
            return f"holds a NUL character at byte {begun}, line {line}"
        begun = place if text else begun
        line += text.count("\n")
    raise AssertionError("what was wrong at once is wrong byte by byte")


def _remedy(start: bytes, data: bytes, said: str, marked: str) -> str:
    """Say what to do about a file that begins so, with such bytes in it, the first of them at an even place."""
    if start.startswith(FOREIGN):
        return "it is a PDF, or packed, as .docx is too: take the text out of it"
    odd, even = data[1::2].count(0), data[::2].count(0)
    few = max(odd, even) < max(2, len(data) / 200)  # half of each space and line end in UTF-16 is a NUL
    if marked or (odd and even) or (few and odd + even):
        return "it is damaged, or no text: leave it out, or save it again, as UTF-8"
    if said:
        return f"save it as UTF-8, or name the encoding that it has (text.encoding is {said})"
    if odd or even:
        return f"if it is UTF-16, say so: --set text.encoding=utf-16-{'le' if odd else 'be'}; or save it as UTF-8"
    return "save it as UTF-8, or name its encoding: --set text.encoding=cp1252"


def _records(texts: Iterable[str], name: str, field: str) -> Iterator[str]:
    """Yield the texts of lines of JSON that come in pieces."""
    held, number = "", 1
    for text in chain(texts, ["\n"]):
        *lines, held = (held + text).split("\n")
        for line in lines:
            if line.strip(" \t\r") and (found := _record(line, f"{name}, line {number},", field)):
                yield found if found.endswith("\n") else found + "\n"
            number += 1
        if len(held) > LONGEST_LINE:
            what = f"{name}, line {number}, is longer than {LONGEST_LINE:,} characters"
            raise UsageError(f"{what}; split it into several documents, a line each, or name a file of plain text")


def _record(line: str, where: str, field: str) -> str:
    why = "it is something else"
    try:
        record = JSON.decode(line)
    except (json.JSONDecodeError, RecursionError) as error:
        record, why = None, f"{getattr(error, 'msg', 'nested too deep')}, character {getattr(error, 'colno', 1)}"
    if not isinstance(record, dict):
        raise UsageError(f'{where} is not a JSON object ({why}); each line of a .jsonl file is one: {{"text": "…"}}')
    if not isinstance(text := record.get(field), str):
        if field in record:
            what = f"{KINDS[type(text)]} as {field!r}, not a text; mend the line"
            raise UsageError(f"{where} has {what}, or name another field: --set text.field=NAME")
        has = ", ".join(ascii(key)[:40] for key in [*record][:9])
        raise UsageError(f"{where} has no text as {field!r}, only {has or 'nothing'}; name it: --set text.field=NAME")
    if "\\u" in line and (wrong := NO_TEXT.search(text)):
        what = "half of a surrogate pair" if ord(wrong[0]) else "a NUL character"
        raise UsageError(f"{where} holds {what}, \\u{ord(wrong[0]):04x}, in {field!r}; mend the line, or leave it out")
    return text
