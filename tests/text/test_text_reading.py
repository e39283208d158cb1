import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import random
import sys
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hornbook.errors import UsageError
from hornbook.text import reading
from hornbook.text.corpora import resolve
from hornbook.text.files import expand, keep
from hornbook.text.identity import Identity, Meter
from hornbook.text.reading import joined, read_chunks, read_documents, text_codec

BOM = b"\xef\xbb\xbf"
LETTERS = "a\u00e9\u0c95\U0001f600\u0ccd\r\n\U0010fffd"
links = pytest.mark.skipif(os.name == "nt", reason="Windows lets only some users make links")


@pytest.fixture
def write(tmp_path):
    def write(name: str, data: bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    return write


def read(*paths: Path, **how) -> str:
    return "".join(read_chunks(paths, **how))


def refusal(*paths: Path, **how) -> str:
    with pytest.raises(UsageError) as error:
        read(*paths, **how)
    assert str(error.value).isprintable()
    return str(error.value)


def expand_refusal(*patterns: str | Path) -> str:
    with pytest.raises(UsageError) as error:
        expand(patterns)
    assert str(error.value).isprintable()
    return str(error.value)


# --- characters ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a\r\nb",
        "a\rb",
        "\r",
        "\n\r\n\n",
        "no end",
        "\x01\x0b\x0c\x1a\x1b\x7f\x85\u2028\u2029",
        "ಕ್ಷ\u200d\ufeff",
    ],
)
@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_text_comes_as_it_is(write, text, codec):
    assert read(write("a.txt", text.encode(codec))) == text


@pytest.mark.parametrize("codec", ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_a_chunk_may_end_inside_a_character(write, codec):
    data = LETTERS.encode(codec)
    marked = write("b.txt", "\ufeff".encode(codec) + data)
    for size in range(1, len(data) + 6):
        assert read(write("a.txt", data), size=size, encoding=codec) == LETTERS
        assert read(marked, size=size) == LETTERS
        assert read(marked, marked, size=size, encoding=codec) == LETTERS * 2


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(texts=st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8"))), size=st.integers(1, 9))
def test_files_are_joined_with_nothing_between(write, texts, size):
    paths = [write(f"{i}.txt", BOM + text.encode("utf-8")) for i, text in enumerate(texts)]
    meter = Meter()
    pieces = list(meter.watch(read_documents(paths, size)))
    assert "".join(text for _, text in pieces) == "".join(texts)
    assert all(len(text) <= size for _, text in pieces)
    assert sum(begins for begins, _ in pieces) == sum(map(bool, texts))
    data = "".join(texts).encode("utf-8")
    assert meter.identity == Identity(hashlib.sha256(data).hexdigest(), len("".join(texts)), len(data))


def test_only_one_byte_order_mark_is_dropped_and_only_at_the_start(write):
    assert read(write("a.txt", BOM + BOM + b"a" + BOM)) == "\ufeffa\ufeff"
    assert read(write("a.txt", BOM)) == ""


@given(texts=st.lists(st.text(max_size=9)), size=st.integers(1, 20))
def test_short_pieces_are_joined(texts, size):
    pieces = list(joined(texts, size))
    assert "".join(pieces) == "".join(texts)
    assert all(4 * len(piece) >= size for piece in pieces[:-1])


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1 << 20])
@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"one\ntwo \xe9t\xe9\n", "byte 0xe9 at offset 8, line 2 (invalid continuation byte)"),
        (BOM + b"\n\r\n\xff", "byte 0xff at offset 6, line 3 (invalid start byte)"),
        ("ಕ".encode()[:-1], "byte 0xe0 at offset 0, line 1 (unexpected end of data)"),
        (b"a" * 9 + b"\xed\xa0\x80", "byte 0xed at offset 9, line 1 (invalid continuation byte)"),  # a surrogate
    ],
)
def test_what_is_not_utf8_is_refused_with_its_place(write, data, says, size):
    path = write("a.txt", data)
    what, do = refusal(path, size=size).split("; ")
    assert what == f"{path} is not UTF-8: {says}"
    if data.startswith(BOM):
        assert do == "it is damaged, or no text: leave it out, or save it again, as UTF-8"
    else:
        assert do == "save it as UTF-8, or name its encoding: --set text.encoding=cp1252"
    packed = write("a.gz", gzip.compress(data))
    assert refusal(packed, size=size).startswith(f"{packed}, unpacked, is not UTF-8: {says}; ")


def test_a_bad_byte_far_into_a_file_is_counted_right(write):
    path = write("a.txt", ("ಕನ್ನಡ\n" * 200_000).encode() + b"\xc0")
    assert "byte 0xc0 at offset 3200000, line 200001" in refusal(path)


@pytest.mark.parametrize("size", [1, 4, 100])
def test_a_nul_is_refused_with_its_place(write, size):
    binary = write("a", "ಕ\n\r\0\0\1".encode())
    assert refusal(binary, size=size).startswith(f"{binary} holds a NUL character at byte 5, line 2; ")
    assert refusal(binary).endswith("; it is damaged, or no text: leave it out, or save it again, as UTF-8")
    marked = write("b", "\ufeffa\n\0".encode("utf-16-be"))
    assert refusal(marked, size=size).startswith(f"{marked} holds a NUL character at byte 6, line 2; it is damaged")
    assert "a NUL character at byte 0, line 1; " in refusal(write("c", b"\0\0"), size=size, encoding="utf-16-be")


# --- encodings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", ["hello", "ಕನ್ನಡ ನುಡಿ\n"])
def test_utf16_without_a_mark_is_told_and_not_guessed(write, codec, text):
    path = write("b.txt", text.encode(codec))
    assert refusal(path).endswith(f"; if it is UTF-16, say so: --set text.encoding={codec}; or save it as UTF-8")
    assert read(path, encoding=codec) == text


@pytest.mark.parametrize("data", [b"a\0", b"some text\0and more\n", b"a" * 999 + b"\0" + b"b" * 999 + b"\0"])
@pytest.mark.parametrize("encoding", [None, "ascii"])
def test_a_nul_here_and_there_is_not_taken_for_utf16(write, data, encoding):
    for bytes_ in (data, b"x" + data):
        path = write("a.txt", bytes_)
        assert refusal(path, encoding=encoding).endswith(
            "; it is damaged, or no text: leave it out, or save it again, as UTF-8"
        )


@pytest.mark.parametrize(
    "data",
    [
        b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
        b"PK\3\4\x14\0\0\0\x08\0",
        gzip.compress(gzip.compress(b"a")),
        bz2.compress(b"a" * 99),
        lzma.compress(b"a"),
        b"(\xb5/\xfd\4",
    ],
    ids=["PDF", "zip", "gzip twice", "bzip2", "xz", "zstd"],
)
def test_what_has_its_text_inside_is_said_to(write, data):
    assert refusal(write("a.txt", data)).endswith("; it is a PDF, or packed, as .docx is too: take the text out of it")


def test_only_what_can_not_be_read_is_said_to_be_something_else(write):
    for text in ("%PDF is how it begins", "PK\3\4", "BZh"):
        assert read(write("a.txt", text.encode())) == text


def test_half_a_surrogate_pair_in_utf16_is_refused_with_its_place(write):
    path = write("a.txt", b"\xff\xfea\0\n\0\x3d\xd8b\0")
    for size in (1, 3, 100):
        assert refusal(path, size=size) == (
            f"{path} is not UTF-16-LE: byte 0x3d at offset 6, line 2 (illegal UTF-16 surrogate); "
            "it is damaged, or no text: leave it out, or save it again, as UTF-8"
        )
    assert "byte 0x61 at offset 2, line 1 (truncated data)" in refusal(write("b.txt", b"\xff\xfea"), size=1)


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", "“été”\r\nŽ"),
        ("Windows-1251", "Привет, мир\n"),
        ("latin-1", "caf\xe9\x85\n"),
        ("shift_jis", "これはペンです。\n"),
        ("euc_kr", "안녕하세요\n"),
        ("gb18030", "汉字\U00020000ಕ\n"),
        ("big5", "漢字\n"),
        ("iso2022_jp", "abc これ\ndef\n"),
        ("utf-8", "ಕ\n"),
        ("utf-8-sig", "ಕ\n"),
        ("cp037", "EBCDIC\n"),
    ],
)
def test_a_named_encoding_is_read(write, encoding, text):
    path = write("a.txt", text.encode(encoding))
    for size in (1, 2, 5, 100):
        assert read(path, size=size, encoding=encoding) == text


def test_what_is_not_in_the_named_encoding_is_refused(write):
    path = write("a.txt", b"\x93ok\x94\n\x81")
    assert refusal(path, encoding="Windows-1252") == (
        f"{path} is not CP1252: byte 0x81 at offset 5, line 2 (character maps to <undefined>); "
        "save it as UTF-8, or name the encoding that it has (text.encoding is cp1252)"
    )
    for size in (1, 2, 100):
        assert "is not SHIFT_JIS: byte 0x82 at offset 3, line 2 (" in refusal(
            write("b.txt", b"\x82\xb1\n\x82"), size=size, encoding="shift_jis"
        )


@pytest.mark.parametrize("size", [1, 7, 100])
def test_an_escape_without_end_is_refused(write, size):
    path = write("a.txt", b"ab\n\x1b)\x80\xb0\xff$\x0f\x1b\x1bA\xff\xa4a\x1b)b\xa4A")
    assert f"{path} is not ISO2022_KR: byte 0x" in refusal(path, size=size, encoding="iso2022_kr")


def test_a_mark_of_another_encoding_than_the_named_is_refused(write):
    path = write("a.txt", "\ufeffa".encode("utf-16-le"))
    assert refusal(path, encoding="cp1252") == (
        f"{path} begins with the byte order mark of UTF-16-LE, and text.encoding is cp1252: "
        "leave text.encoding out, or save the file in cp1252"
    )
    assert "UTF-16-LE, and text.encoding is utf-16-be" in refusal(path, encoding="utf-16-be")
    assert "UTF-16-LE, and text.encoding is utf-8" in refusal(path, encoding="utf-8")
    assert "mark of UTF-8, and text.encoding is cp1252" in refusal(write("b.txt", BOM + b"a"), encoding="cp1252")
    assert read(path, encoding="utf-16") == read(path, encoding="UTF_16LE") == "a"
    bare = write("c.txt", b"a\0")
    says = f"{bare} has no byte order mark: say --set text.encoding=utf-16-le, or utf-16-be"
    assert refusal(bare, encoding="utf16") == says
    assert read(write("d.txt", b""), encoding="utf-16") == ""


@pytest.mark.parametrize(
    "encoding",
    [
        *["rot13", "hex", "base64", "zlib", "bz2", "quopri", "uu", "idna", "punycode", "unicode_escape", "undefined"],
        *["raw_unicode_escape", "charmap", "utf-7", "aliases", "a\0b", "\ud800", "..", "ಕ", " ", "x" * 10_000, "a\nb"],
    ],
)
def test_what_is_no_encoding_of_text_is_refused(write, encoding):
    says = refusal(write("a.txt", b"a"), encoding=encoding)
    assert says.startswith("no encoding of text is called ")
    assert len(says) < 500


def test_a_mistyped_encoding_gets_the_nearest():
    for wrong, right in {"windows-1252x": "windows_1252", "shiftjs": "shiftjis"}.items():
        with pytest.raises(UsageError, match=f"^no encoding of text is called {wrong}; did you mean '{right}'"):
            text_codec(wrong)
    with pytest.raises(
        UsageError, match="called qqqqqqqqq; known: cp1251, cp1252, euc_kr, gb18030, shift_jis, utf-16-le"
    ):
        text_codec("qqqqqqqqq")
    assert (text_codec("UTF8"), text_codec("utf_8_sig"), text_codec("Latin1")) == ("utf-8", "utf-8", "iso8859-1")


# --- JSON ------------------------------------------------------------------------------------------------------------


def lines(*records: object) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def test_lines_of_json_are_documents(write):
    texts = ["one", "two\n", "", "ಕ\u2028\x85\r\n", "\U0001f600" * 9, '"\\']
    data = (json.dumps({"id": i, "text": text}) + "\r\n \n" for i, text in enumerate(texts))
    path = write("a.jsonl", "".join(data).encode())
    whole = "one\ntwo\nಕ\u2028\x85\r\n" + "\U0001f600" * 9 + '\n"\\\n'
    for size in (1, 2, 7, 1 << 20):
        pieces = list(read_documents([path, path], size))
        assert "".join(text for _, text in pieces) == read(path, path, size=size) == whole * 2
        assert all(len(text) <= size for _, text in pieces)
        assert sum(begins for begins, _ in pieces) == 10
        starts = [i for i, (begins, _) in enumerate(pieces) if begins]
        assert "".join(text for _, text in pieces[starts[1] : starts[2]]) == "two\n"
    raw = "\n".join(json.dumps({"body": text}, ensure_ascii=False) for text in texts)
    assert read(write("b.JSONL", raw.encode("utf-16")), field="body") == whole
    assert read(write("c.jsonl", gzip.compress(raw.encode())), field="body") == whole


def test_numbers_of_any_length_may_stand_beside_a_text(write):
    assert read(write("a.jsonl", b'{"n": ' + b"9" * 9999 + b', "x": NaN, "text": "a"}')) == "a\n"


NO_TEXT = "as 'text', not a text; mend the line, or name another field: --set text.field=NAME"
EACH = 'each line of a .jsonl file is one: {"text": "…"}'


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"hello", f"is not a JSON object (Expecting value, character 1); {EACH}"),
        (b'{"text": "a"', f"is not a JSON object (Expecting ',' delimiter, character 13); {EACH}"),
        (b'{"text": "a"} {}', f"is not a JSON object (Extra data, character 15); {EACH}"),
        (b'{"text": "a\tb"}', f"is not a JSON object (Invalid control character at, character 12); {EACH}"),
        (b'["text"]', f"is not a JSON object (it is something else); {EACH}"),
        (b'"text"', f"is not a JSON object (it is something else); {EACH}"),
        (b"[" * 5_000, f"is not a JSON object (nested too deep, character 1); {EACH}"),
        (b'{"id": 1, "Text\\n": "a"}', "has no text as 'text', only 'id', 'Text\\n'; name it: --set text.field=NAME"),
        (b"{}", "has no text as 'text', only nothing; name it: --set text.field=NAME"),
        (b'{"text": 5}', f"has a number {NO_TEXT}"),
        (b'{"text": NaN}', f"has a number {NO_TEXT}"),
        (b'{"text": null}', f"has null {NO_TEXT}"),
        (b'{"text": false}', f"has true or false {NO_TEXT}"),
        (b'{"text": ["a"]}', f"has a list {NO_TEXT}"),
        (b'{"id": 1, "text": {"text": "a"}}', f"has an object {NO_TEXT}"),
        (
            b'{"text": "a\\ud800b"}',
            "holds half of a surrogate pair, \\ud800, in 'text'; mend the line, or leave it out",
        ),
        (b'{"text": "a\\u0000b"}', "holds a NUL character, \\u0000, in 'text'; mend the line, or leave it out"),
    ],
)
def test_a_line_of_json_without_a_text_is_refused(write, line, says):
    path = write("a.jsonl", lines({"text": "fine"}, {"text": ""}) + b"\n" + line)
    for size in (2, 1 << 20):
        assert refusal(path, size=size) == f"{path}, line 4, {says}"


def test_bytes_of_a_json_file_are_checked_as_others_are(write):
    path = write("a.jsonl", b'{"text": "a"}\n{"text": "\xe9"}\n')
    assert refusal(path).startswith(f"{path} is not UTF-8: byte 0xe9 at offset 24, line 2 (")


def test_a_line_of_json_that_is_too_long_is_refused(write, monkeypatch):
    monkeypatch.setattr(reading, "LONGEST_LINE", 1000)
    path = write("a.jsonl", lines({"text": "b"}, {"text": "a" * 2000}))
    assert refusal(path, size=100) == (
        f"{path}, line 2, is longer than 1,000 characters; split it into several documents, a line each, "
        "or name a file of plain text"
    )


# --- gzip ------------------------------------------------------------------------------------------------------------


def test_gzip_is_unpacked_whatever_its_name(write):
    data = LETTERS.encode()
    for name in ("a.txt.gz", "a.txt"):
        for size in (1, 3, 1 << 20):
            assert read(write(name, gzip.compress(data)), size=size) == LETTERS
    assert read(write("b.txt.gz", data)) == LETTERS  # a name says nothing
    assert read(write("c.gz", gzip.compress(data[:5]) + gzip.compress(data[5:]))) == LETTERS
    assert read(write("d.gz", gzip.compress(BOM + data))) == LETTERS
    assert read(write("e.gz", gzip.compress("\ufeffಕ".encode("utf-16-be")))) == "ಕ"
    assert read(write("f.gz", gzip.compress(b""))) == ""


def test_damaged_gzip_is_refused(write):
    packed = gzip.compress(random.Random(1).randbytes(300).hex().encode())
    for cut in range(2, len(packed), 5):
        assert "is a damaged gzip file (" in refusal(write("a.gz", packed[:cut]))
    path = write("a.gz", packed[:-1])
    assert refusal(path) == (
        f"{path} is a damaged gzip file (Compressed file ended before the end-of-stream marker was reached); "
        "get it anew"
    )
    for place in (3, *range(30, len(packed), 29)):
        wrong = bytearray(packed)
        wrong[place] ^= 0x55
        assert "a.gz is a damaged gzip file (" in refusal(write("a.gz", bytes(wrong)))
    assert "a.gz is a damaged gzip file (Not a gzipped file (b'ru'))" in refusal(write("a.gz", packed + b"rubbish"))


# --- memory and progress ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["plain", "gzip", "utf-16", "legacy"])
def test_memory_does_not_grow_with_one_long_line(write, kind):
    n, encoding = 4_000_000, "euc_kr" if kind == "legacy" else ""
    data = "가".encode(encoding or ("utf-16-le" if kind == "utf-16" else "utf-8"))
    whole = (b"\xff\xfe" if kind == "utf-16" else b"") + data * n
    path = write("a.txt", gzip.compress(whole, 1) if kind == "gzip" else whole)
    del whole
    tracemalloc.start()
    count = sum(map(len, read_chunks([path], 1 << 16, encoding=encoding)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == n
    assert peak < 2_000_000


def test_progress_counts_the_bytes_of_all_files_as_they_are_on_disk(write):
    seen = []
    paths = [write("a.txt", BOM + b"abcde"), write("b.txt", b""), write("c.txt", b"xyz")]
    assert "".join(read_chunks(paths, 2, lambda done, total: seen.append((done, total)))) == "abcdexyz"
    assert {total for _, total in seen} == {11}
    done = [done for done, _ in seen]
    assert done == sorted(done)
    assert done[-1] == 11
    seen.clear()
    packed = write("d.jsonl.gz", gzip.compress(lines(*[{"text": "a"}] * 9999)))
    read(packed, paths[0], size=1000, progress=lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert seen[-1] == (packed.stat().st_size + 8, packed.stat().st_size + 8)


def test_an_error_of_whoever_listens_is_not_the_files(write):
    def closed(done: int, total: int) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    with pytest.raises(BrokenPipeError):
        read(write("a.txt", b"a"), progress=closed)


def test_a_file_that_vanishes_is_a_usage_error(write):
    path, other = write("a.txt", b"abc"), write("b.txt", b"abc")
    chunks = read_chunks([path, other], size=4)
    assert next(chunks) == "abc"
    other.unlink()
    with pytest.raises(UsageError, match=r"b\.txt can't be read: No such file"):
        next(chunks)
    assert "b.txt can't be read: No such file" in refusal(other)


# --- which files -----------------------------------------------------------------------------------------------------


def test_globs_are_sorted_and_paths_keep_their_order(write, tmp_path):
    for name in ("b.txt", "a.txt", "deep/er/c.txt", "deep/d.txt", "e.md"):
        write(name, b"x")

    def names(*patterns: str) -> list[str]:
        return [path.relative_to(tmp_path).as_posix() for path in expand([f"{tmp_path}/{p}" for p in patterns])]

    assert names("*.txt") == ["a.txt", "b.txt"]
    assert names("**/*.txt") == ["a.txt", "b.txt", "deep/d.txt", "deep/er/c.txt"]
    assert names("b.txt", "a.txt", "b.txt") == ["b.txt", "a.txt", "b.txt"]
    assert names("e.md", "?.txt") == ["e.md", "a.txt", "b.txt"]
    assert names("*") == ["a.txt", "b.txt", "e.md"]
    assert expand([tmp_path / "e.md"]) == [tmp_path / "e.md"]


def test_a_folder_means_the_texts_in_it(write, tmp_path):
    taken = ["B.TXT", "a.txt", "deep/a.jsonl", "deep/er/c.txt.gz", "deep/x.jsonl.gz", "x.txt/y.txt"]
    for name in (*taken, "README.md", ".hidden.txt", ".git/a.txt", "deep/.b/c.txt", "c.txt~", "d.gz", "txt", "e.json"):
        write(f"poems/{name}", b"x")
    assert [path.relative_to(tmp_path / "poems").as_posix() for path in expand([tmp_path / "poems"])] == taken
    assert expand([tmp_path / "poems" / "x.txt"]) == [tmp_path / "poems" / "x.txt" / "y.txt"]  # a folder's name
    assert len(expand([f"{tmp_path}/poems/", tmp_path / "poems"])) == 2 * len(taken)
    write("notes/a.md", b"x")
    assert expand_refusal(tmp_path / "notes") == (
        f"{tmp_path / 'notes'} is a folder without a .txt, .jsonl, .txt.gz or .jsonl.gz file; "
        f"name its files, for example '{tmp_path / 'notes' / '*.md'}'"
    )


def test_a_folder_that_can_not_be_looked_into_is_refused(write, tmp_path, monkeypatch):
    write("poems/a.txt", b"x")
    write("poems/b/a.txt", b"x")
    scan = os.scandir

    def closed(path):
        if Path(path).name == "b":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", closed)
    says = expand_refusal(tmp_path / "poems")
    assert says == f"{tmp_path / 'poems' / 'b'} can't be read: Permission denied"


@links
def test_links_that_lead_round_in_a_circle(write, tmp_path):
    path = write("poems/z.txt", b"x")
    (tmp_path / "poems" / "again").symlink_to(tmp_path / "poems")
    (tmp_path / "poems" / "linked.txt").symlink_to(write("elsewhere.txt", b"y"))
    (tmp_path / "poems" / "gone.txt").symlink_to(tmp_path / "nowhere")
    (tmp_path / "poems" / "itself.txt").symlink_to(tmp_path / "poems" / "itself.txt")
    found = [tmp_path / "poems" / "linked.txt", path]
    assert expand([tmp_path / "poems"]) == found
    assert expand([f"{tmp_path}/poems/**/*.txt"]) == found
    assert "itself.txt can't be read: " in expand_refusal(tmp_path / "poems" / "itself.txt")
    assert "gone.txt can't be read: No such file" in expand_refusal(tmp_path / "poems" / "gone.txt")


def test_a_name_that_looks_like_a_glob_may_be_a_files_own(write):
    write("song1.txt", b"x")
    path = write("song[1].txt", b"x")
    assert expand([str(path)]) == [path]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_any_name_is_shown_in_one_line(write, tmp_path):
    path = write("a\nb\x1b[31m.txt", b"\xff")
    assert expand([path]) == expand([f"{tmp_path}/*.txt"]) == [path]
    assert "b\\x1b[31m.txt' is not UTF-8: byte 0xff" in refusal(path)
    assert "missing\\n'" in expand_refusal(tmp_path / "missing\n")
    try:
        path = write(os.fsdecode(b"\xff\xfe.txt"), b"\xff")
    except OSError:
        pytest.skip("this file system takes names in UTF-8 only")
    assert "\\udcff\\udcfe.txt' is not UTF-8" in refusal(*expand([path]))


def test_what_can_not_be_opened_is_refused_in_one_line(write, tmp_path, monkeypatch):
    path = write("a.txt", b"x")
    cases = {
        str(tmp_path / "b.txt"): f"no such file: {tmp_path / 'b.txt'}",
        str(tmp_path / "*.md"): f"no file matches {tmp_path / '*.md'}",
        "": "no such file: ''",
        "To be, or not to be?\n"
        * 100: "no file matches 'To be, or not to be?\\nTo be, or not to be?\\nTo be, or not to b…'",
        "a\0b": "no such file: 'a\\x00b'",
        "-": "no such file: -",
    }
    for pattern, message in cases.items():
        assert expand_refusal(path, pattern) == message

    def closed(self, *args, **keywords):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", closed)
    assert expand_refusal(path) == f"{path} can't be read: Permission denied"
    assert refusal(path) == f"{path} can't be read: Permission denied"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_refused_without_waiting_for_it(write, tmp_path):
    pipe = tmp_path / "poems" / "pipe.txt"
    path = write("poems/a.txt", b"x")
    os.mkfifo(pipe)
    says = f"{pipe} is not a regular file; save the text to one first, or pipe it into -"
    assert expand_refusal(pipe) == says
    assert expand_refusal("/dev/zero") == says.replace(str(pipe), "/dev/zero")
    assert expand([tmp_path / "poems"]) == expand([f"{tmp_path}/poems/*"]) == [path]


# --- standard input --------------------------------------------------------------------------------------------------


class Stream:
    """Bytes that come once, as on a pipe, under the name that `sys.stdin` has."""

    def __init__(self, data: bytes) -> None:
        self.buffer = io.BytesIO(data)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HORNBOOK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "texts"


@pytest.mark.parametrize(
    "data",
    [b"", "ಕನ್ನಡ\n".encode(), gzip.compress("ಕನ್ನಡ\n".encode()), b"a" * 3_000_000],
    ids=["nothing", "text", "packed", "long"],  # else by its bytes; and what is packed says when
)
def test_standard_input_is_kept_and_found_again(cache, tmp_path, write, monkeypatch, data):
    monkeypatch.setattr("sys.stdin", Stream(data))
    source = resolve(["-"])
    path = cache / f"stdin-{hashlib.sha256(data).hexdigest()[:16]}.txt"
    assert (source.label, source.paths, source.origin) == ("stdin", (path,), "standard input")
    assert path.read_bytes() == data
    assert resolve(source.asked).paths == (path.resolve(),)
    other = write("b.txt", b"b")
    assert resolve([other, "-", "-"]).paths == (other, path, path)  # what came once is not waited for again
    assert resolve(["-", other]).label == "stdin"
    monkeypatch.setattr("sys.stdin", Stream(data))
    assert resolve(["/dev/stdin"]).paths == (path,)
    assert list(cache.iterdir()) == [path]
    path.unlink()
    with pytest.raises(UsageError, match=r"^no such file: .*stdin-[0-9a-f]{16}\.txt$"):
        resolve(source.asked)


def test_standard_input_that_can_not_be_had(cache, tmp_path, monkeypatch):
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise KeyboardInterrupt

    class Pieces(io.BytesIO):
        def __init__(self, pieces: list[bytes | OSError | None]) -> None:
            super().__init__()
            self.pieces = pieces

        def read(self, size: int | None = -1) -> bytes | None:  # type: ignore[override]
            if isinstance(piece := self.pieces.pop(0), OSError):
                raise piece
            return piece

    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(UsageError, match=r"^standard input is not open; name a file$"):
        resolve(["-"])
    closed = Stream(b"")
    closed.buffer.close()
    monkeypatch.setattr("sys.stdin", closed)
    with pytest.raises(UsageError, match=r"^standard input is not open; name a file$"):
        resolve(["-"])
    with pytest.raises(KeyboardInterrupt):
        keep(Broken(), cache)
    assert list(cache.iterdir()) == []
    for end, says in {
        OSError(5, "Input/output error"): "standard input can't be read: Input/output error",
        None: "standard input was not read to its end: it is set not to wait; save the text to a file first",
    }.items():
        monkeypatch.setattr("sys.stdin", Stream(b""))
        monkeypatch.setattr(sys.stdin, "buffer", Pieces([b"some text", end]))
        with pytest.raises(UsageError) as error:
            resolve(["-"])
        assert str(error.value) == says
        assert list(cache.iterdir()) == []
    cache.rmdir()
    cache.parent.rmdir()
    cache.parent.write_bytes(b"a file where the folder should be")
    monkeypatch.setattr("sys.stdin", Stream(b"a"))
    with pytest.raises(UsageError) as error:
        resolve(["-"])
    assert str(error.value).startswith(f"standard input can't be kept in {cache}: ")
    assert str(error.value).endswith("; HORNBOOK_CACHE can name another folder")


def test_a_source_is_called_after_what_was_named(write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("poems/b.txt", "poems/header.txt", "a.b.txt.gz", "c.jsonl.gz"):
        write(name, b"x")
    named = {word: resolve([word]).label for word in ("poems", "poems/", "./poems/b.txt", "a.b.txt.gz", "c.jsonl.gz")}
    assert list(named.values()) == ["poems", "poems", "b", "a.b", "c"]
    assert resolve(["poems/*"]).label == "b"
    assert resolve(["."]).label == tmp_path.name
    write("poems/header.json", b"{}")
    assert resolve(["poems"]).paths == (Path("poems"),)  # a text that is prepared already
