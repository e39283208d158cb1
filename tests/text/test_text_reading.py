import hashlib
import os
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hornbook.errors import UsageError
from hornbook.text.reading import Identity, Meter, expand, read_chunks

BOM = b"\xef\xbb\xbf"


@pytest.fixture
def write(tmp_path):
    def write(name: str, data: bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    return write


def read(*paths: Path, size: int = 1 << 20) -> str:
    return "".join(read_chunks(paths, size))


def refusal(*paths: Path, size: int = 1 << 20) -> str:
    with pytest.raises(UsageError) as error:
        read(*paths, size=size)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    "text", ["", "a", "a\r\nb", "a\rb", "\r", "\n\r\n\n", "no end", "\x0b\x0c\x1c\x85\u2028\u2029", "ಕ್ಷ\u200d\ufeff"]
)
def test_text_comes_as_it_is(write, text):
    assert read(write("a.txt", text.encode("utf-8"))) == text


def test_a_chunk_may_end_inside_a_character(write):
    text = "a\u00e9\u0c95\U0001f600\u0ccd\r\n\U0010fffd"
    data = text.encode("utf-8")
    path, marked = write("a.txt", data), write("b.txt", BOM + data)
    for size in range(1, len(data) + 5):
        assert read(path, size=size) == text
        assert read(marked, size=size) == text
        assert read(marked, path, size=size) == text * 2


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(texts=st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8"))), size=st.integers(1, 9))
def test_files_are_joined_with_nothing_between(write, texts, size):
    paths = [write(f"{i}.txt", BOM + text.encode("utf-8")) for i, text in enumerate(texts)]
    meter = Meter()
    assert "".join(meter.through(read_chunks(paths, size))) == "".join(texts)
    data = "".join(texts).encode("utf-8")
    assert meter.identity == Identity(hashlib.sha256(data).hexdigest(), len("".join(texts)), len(data))


def test_only_one_byte_order_mark_is_dropped_and_only_at_the_start(write):
    assert read(write("a.txt", BOM + BOM + b"a" + BOM)) == "\ufeffa\ufeff"
    assert read(write("a.txt", BOM)) == ""


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
    assert refusal(path, size=size) == f"{path} is not UTF-8: {says}; save it as UTF-8"


def test_a_bad_byte_far_into_a_file_is_counted_right(write):
    path = write("a.txt", ("ಕನ್ನಡ\n" * 200_000).encode() + b"\xc0")
    assert "byte 0xc0 at offset 3200000, line 200001" in refusal(path)


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
def test_utf16_is_recognised(write, codec):
    path = write("a.txt", "\ufeffhello".encode(codec))
    assert "is UTF-16, not UTF-8" in refusal(path)
    assert "save it as UTF-8" in refusal(path, size=1)
    bare = write("b.txt", "ahello".encode(codec))
    assert f"NUL character at byte {1 if codec.endswith('le') else 0}" in refusal(bare)


@pytest.mark.parametrize("size", [1, 4, 100])
def test_a_nul_is_refused_with_its_place(write, size):
    assert "NUL character at byte 8: it is a binary file" in refusal(write("a", BOM + "ಕ\n\r\0".encode()), size=size)


def test_a_file_that_vanishes_is_a_usage_error(write):
    path = write("a.txt", b"abc")
    path.unlink()
    assert "a.txt can't be read: No such file" in refusal(path)


def test_progress_counts_the_bytes_of_all_files(write):
    seen = []
    paths = [write("a.txt", BOM + b"abcde"), write("b.txt", b""), write("c.txt", b"xyz")]
    assert "".join(read_chunks(paths, 2, lambda done, total: seen.append((done, total)))) == "abcdexyz"
    assert {total for _, total in seen} == {11}
    done = [done for done, _ in seen]
    assert done == sorted(done)
    assert done[-1] == 11


def test_memory_does_not_grow_with_one_long_line(write):
    path = write("a.txt", "ಕ".encode() * 8_000_000)
    tracemalloc.start()
    count = sum(map(len, read_chunks([path], 1 << 16)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 8_000_000
    assert peak < 2_000_000


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


def test_a_name_that_looks_like_a_glob_may_be_a_files_own(write):
    write("song1.txt", b"x")
    path = write("song[1].txt", b"x")
    assert expand([str(path)]) == [path]


def test_what_can_not_be_opened_is_refused_in_one_line(write, tmp_path, monkeypatch):
    path = write("a.txt", b"x")
    cases = {
        str(tmp_path / "b.txt"): f"no such file: {tmp_path / 'b.txt'}",
        str(tmp_path / "*.md"): f"no file matches {tmp_path / '*.md'}",
        str(tmp_path): f"{tmp_path} is a folder; name its files, for example '{tmp_path / '*.txt'}'",
        "": "no such file: ''",
        "To be, or not to be?\n"
        * 100: "no file matches 'To be, or not to be?\\nTo be, or not to be?\\nTo be, or not to b…'",
        "a\0b": "no such file: 'a\\x00b'",
    }
    for pattern, message in cases.items():
        with pytest.raises(UsageError) as error:
            expand([str(path), pattern])
        assert str(error.value) == message

    def closed(self, *args, **keywords):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", closed)
    with pytest.raises(UsageError, match=r"a\.txt can't be read: Permission denied$"):
        expand([str(path)])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_refused_without_waiting_for_it(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="not a regular file; save the text to one first"):
        expand([str(tmp_path / "pipe")])
