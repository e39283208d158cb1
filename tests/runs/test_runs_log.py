"""The log: what was flushed is there, what was torn is not, and a cut is exact."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hornbook.errors import UsageError
from hornbook.runs import log
from hornbook.runs.log import Log

RECORDS = [
    {"step": 1, "batch_loss": 4.1},
    {"step": 2, "batch_loss": 0.1 + 0.2},
    {"step": 2, "sample": "two\nlines\r\n\u2028\x85ಕನ್ನಡ\ud800"},
    {"step": 3, "val_loss": 1.5, "train_loss": 1},
]


def written(path, records=RECORDS):
    with Log(path) as lines:
        for record in records:
            lines.append(record)
    return path


def test_what_is_appended_is_read(tmp_path):
    path = tmp_path / "log.jsonl"
    assert log.read(path) == []
    assert log.read(written(path)) == RECORDS
    assert log.read(written(path)) == RECORDS * 2


def test_lines_wait_until_flushed(tmp_path, disk):
    path = tmp_path / "log.jsonl"
    with Log(path) as lines:
        lines.append(RECORDS[0])
        assert log.read(path) == []
        lines.flush()
        assert log.read(path) == RECORDS[:1]
    with disk() as state, Log(path) as lines:
        lines.append(RECORDS[1])
        lines.flush()
        lines.sync()
        assert state.log[-1] == "fsync"
        assert not state.unsynced


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_json_lacks_are_refused(tmp_path, value):
    with Log(tmp_path / "log.jsonl") as lines:
        with pytest.raises(ValueError, match="not JSON compliant"):
            lines.append({"step": 1, "batch_loss": value})
        with pytest.raises(ValueError, match="a line of a log needs its step"):
            lines.append({"batch_loss": 1.0})
    assert log.read(tmp_path / "log.jsonl") == []


def test_a_torn_last_line_is_dropped_wherever_it_tore(tmp_path):
    path = written(tmp_path / "log.jsonl")
    whole = path.read_bytes()
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        count = whole[:size].count(b"\n")
        assert log.read(path) == RECORDS[:count]
        written(path, RECORDS[:1])  # the next line does not stick to the torn one
        assert log.read(path) == RECORDS[:count] + RECORDS[:1]


def test_a_damaged_line_is_named(tmp_path):
    path = written(tmp_path / "log.jsonl")
    lines = path.read_bytes().split(b"\n")
    for bad, reason in ((b'{"step": 1,', "cannot be read as JSON: "), (b'{"a": 1}', "is damaged: it names no step")):
        path.write_bytes(b"\n".join([lines[0], bad, *lines[2:]]))
        for action in (log.read, lambda path: log.truncate_after(path, 99)):
            with pytest.raises(UsageError) as error:
                action(path)
            assert str(error.value).startswith(f"{path}, line 2, {reason}")


def test_what_a_power_cut_left_behind_the_last_line_that_is_kept_is_nobodys_loss(tmp_path):
    path = written(tmp_path / "log.jsonl")
    whole = path.read_bytes()
    log.truncate_after(path, 1)
    kept = path.read_bytes()
    for torn in (b'{"step": 2,\n', b"\0" * 40 + b"\n", b"\xff\n\n{}"):
        path.write_bytes(kept + torn)
        log.truncate_after(path, 1)
        assert path.read_bytes() == kept
    assert whole.startswith(kept)


@pytest.mark.parametrize(("step", "count"), [(0, 0), (1, 1), (2, 3), (3, 4), (99, 4)])
@pytest.mark.parametrize("torn", [b"", b'{"step": 1, "x'])
def test_a_cut_keeps_the_bytes_before_it(tmp_path, step, count, torn):
    path = written(tmp_path / "log.jsonl")
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    log.truncate_after(path, step)
    assert path.read_bytes() == b"".join(line + b"\n" for line in whole.split(b"\n")[:count])
    assert [left.name for left in tmp_path.iterdir()] == ["log.jsonl"]


def test_a_cut_keeps_odd_spelling(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{ "step":1,  "x": 1.50e0 }\r\n{"step": 2}\n')
    log.truncate_after(path, 1)
    assert path.read_bytes() == b'{ "step":1,  "x": 1.50e0 }\r\n'


def test_a_cut_of_nothing_makes_nothing(tmp_path):
    log.truncate_after(tmp_path / "log.jsonl", 5)
    assert not list(tmp_path.iterdir())


def test_a_crash_while_cutting_leaves_the_old_log_or_the_new(tmp_path, disk):
    path = written(tmp_path / "log.jsonl")
    whole = path.read_bytes()
    for k in range(1, 100):
        path.write_bytes(whole)
        with disk(fail_at=k, dies=True) as state:
            log.truncate_after(path, 1)
        if not state.failed:
            break
        assert log.read(path) in (RECORDS, RECORDS[:1])
    assert log.read(path) == RECORDS[:1]
    assert k > 4


@given(st.dictionaries(st.text(), st.text() | st.none() | st.integers()))
def test_any_text_stays_on_its_line(record):
    from hornbook.runs.files import from_json, to_json

    line = to_json({**record, "step": 1})
    assert b"\n" not in line
    assert from_json(line, "") == {**record, "step": 1}
