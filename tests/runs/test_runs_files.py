"""Durable writing, and JSON that is read with suspicion."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hornbook.errors import UsageError
from hornbook.runs import files

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), values))
def test_what_is_written_is_read(value):
    for indent in (None, 2):
        data = files.to_json(value, indent)
        assert files.from_json(data, "here") == value
        assert indent or b"\n" not in data


def test_json_is_for_people(tmp_path):
    files.write_json(tmp_path / "a.json", {"text": "ಕನ್ನಡ", "n": [1]})
    text = (tmp_path / "a.json").read_bytes().decode("utf-8")
    assert text == '{\n  "text": "ಕನ್ನಡ",\n  "n": [\n    1\n  ]\n}\n'
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_half_a_surrogate_pair_survives():
    assert files.to_json({"a": "x\ud83d"}) == b'{"a": "x\\ud83d"}'
    assert files.from_json(files.to_json({"a": "x\ud83d"}), "") == {"a": "x\ud83d"}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_json_does_not_know_is_not_written(tmp_path, value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "a.json", {"a": value})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "cannot be read as JSON: Expecting value"),
        (b'{"a": 1', "cannot be read as JSON: Expecting"),
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b'{"a": 1, "b": 2, "a": 1}', "the key 'a' stands twice"),
        (b'{"a": {"b": 1, "b": 2}}', "the key 'b' stands twice"),
        (b'{"a": "\xff"}', "can't decode byte 0xff"),
        (b"[1]", "should hold a JSON object"),
        (b"[" * 100_000, "cannot be read as JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "cannot be read as JSON"),
    ],
)
def test_bad_json_is_named_in_one_line(tmp_path, data, reason):
    path = tmp_path / "a.json"
    path.write_bytes(data)
    with pytest.raises(UsageError) as error:
        files.read_json(path)
    assert str(error.value).startswith(f"{path} cannot be read")
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_and_unreadable_files_are_named(tmp_path):
    with pytest.raises(UsageError) as error:
        files.read_json(tmp_path / "a.json")
    assert str(error.value) == f"{tmp_path / 'a.json'} is missing"
    with pytest.raises(UsageError, match="cannot be read: "):
        files.read_bytes(tmp_path)  # a folder


def test_the_hash_of_a_file(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert files.sha256_of(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_failed_write_keeps_the_old_file(tmp_path, disk):
    path = tmp_path / "a.json"
    files.write_json(path, {"old": 1})
    old = path.read_bytes()
    for k in range(1, 100):
        with disk(fail_at=k) as state:
            files.write_json(path, {"new": 2})
        if not state.failed:
            break
        assert path.read_bytes() == old or "open folder" in state.log
        assert [left.name for left in tmp_path.iterdir()] == ["a.json"]
        files.write_json(path, {"old": 1})
    expected = ["open", "write", "fsync", "replace"] + ["open folder", "fsync folder"] * (os.name != "nt")
    assert state.log == expected
    assert files.read_json(path) == {"new": 2}


def test_a_derived_file_that_is_held_open_stays(tmp_path, monkeypatch):
    path = tmp_path / "loss.csv"
    path.write_bytes(b"old")
    asked = []

    def held(old, new):
        asked.append(new)
        raise PermissionError("another program uses it")

    monkeypatch.setattr(os, "replace", held)
    monkeypatch.setattr(files, "PATIENCE", 2)
    monkeypatch.setattr(files, "HELD", (PermissionError,))  # as it is on Windows
    files.write_again(path, b"new")
    assert path.read_bytes() == b"old"
    assert len(asked) == 3
    with pytest.raises(PermissionError):
        files.write_durably(path, b"new")
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_cannot_be_synced(tmp_path, monkeypatch):
    if os.name == "nt":
        pytest.skip("Windows has no fsync of a folder")
    for number, passes in ((22, True), (5, False)):  # EINVAL: not supported; EIO: the disk failed

        def fails(descriptor, number=number):
            raise OSError(number, "no")

        monkeypatch.setattr(os, "fsync", fails)
        if passes:
            files.sync_folder(tmp_path)
        else:
            with pytest.raises(OSError, match="no"):
                files.sync_folder(tmp_path)


def test_numbers_come_back_to_the_last_bit():
    value = {"loss": 0.1 + 0.2, "tiny": 5e-324, "large": 2**63}
    assert json.loads(files.to_json(value)) == value


def test_more_than_can_be_read_is_not_written(tmp_path):
    path = tmp_path / "a.json"
    for value, reason in (([0] * 600_000, "more than 524,288 values"), ("x" * (9 << 20), "could not be read")):
        with pytest.raises(UsageError, match=reason):
            files.write_json(path, {"a": value})
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", [',[{:"\\', "\\" * 7, '"' * 7, '\\"', '"\\'])
def test_only_what_stands_outside_of_strings_counts_as_values(text):
    value = {"a": text * 300_000, "b": [text] * 1000}
    assert files.from_json(files.to_json(value), "") == value
    with pytest.raises(UsageError, match="cannot be read"):
        files.from_json(files.to_json(value)[:-9], "")


@pytest.mark.skipif(os.name == "nt", reason="Windows gives links to few")
def test_what_is_no_file_is_not_opened(tmp_path):
    (tmp_path / "file").write_bytes(b"{}")
    for name, make, reason in (
        ("link", lambda path: path.symlink_to("file"), "is a link: put what it leads to in its place"),
        ("pipe", lambda path: os.mkfifo(path), "is neither a file nor a folder"),
    ):
        make(tmp_path / name)
        with pytest.raises(UsageError, match=f"{name} {reason}"):
            files.read_json(tmp_path / name)
        with pytest.raises(UsageError, match=f"{name} {reason}"):
            files.check_plain(tmp_path)
        (tmp_path / name).unlink()
    files.check_plain(tmp_path)


def test_no_more_is_read_than_was_said(tmp_path):
    (tmp_path / "a").write_bytes(b"1234")
    assert files.read_bytes(tmp_path / "a", most=4) == b"1234"
    with pytest.raises(UsageError, match="a is damaged: it has 4 bytes, and should have 3 at most"):
        files.read_bytes(tmp_path / "a", most=3)
