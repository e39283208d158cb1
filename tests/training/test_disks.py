"""A disk that is full, over quota, read-only or broken, at any operation of a whole run: it goes on, or stops with one
clear line; nothing that was there is damaged; and once the disk is mended, the run ends in the same bytes.
"""

import contextlib
import io
import os
import shutil
from itertools import count, cycle

import pytest
from tests.faults import FAILING, VARIANTS, WORDS, Shim, call, ending, failing, hasten, lay, tree_of

from hornbook.cli.app import run
from hornbook.runs.checkpoints import all_checkpoints
from hornbook.runs.folder import RunFolder
from hornbook.training import loop

VARIANT = "accumulation and dropout"
SETTINGS = [f"{name}={value}" for name, value in VARIANTS[VARIANT].items()]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Save after each step, and don't wait."""
    monkeypatch.setattr(loop, "SAVE_EVERY", -1.0)
    hasten(monkeypatch.setattr)


def go_on(place):
    """Do what a user does, on the command line; return the exit code and what it said of an error."""
    os.environ["HORNBOOK_CACHE"] = str(place / "cache")
    out, errors = place / "run", io.StringIO()
    words = ["train", str(place / "text.txt"), "--preset", "small", "--out", str(out), "--set", *SETTINGS]
    if (out / "config.json").exists():
        words = ["resume", str(out)]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
        code = run(words)
    return code, errors.getvalue()


@pytest.fixture
def place(tmp_path):
    """Make one more folder with a text, for a run."""
    numbers = count()

    def make():
        path = tmp_path / f"{next(numbers)}"
        path.mkdir()
        (path / "text.txt").write_bytes((WORDS * 20).encode("utf-8"))
        return path

    return make


@pytest.fixture
def whole(place):
    """Return what the run ends in if nothing fails, and how many operations it takes."""
    path = place()
    shim = Shim(path)
    with shim():
        assert go_on(path) == (0, "")
    assert shim.disk.at_end()[1] == tree_of(path)  # the shim has seen all
    return ending(path / "run"), len(shim.passed)


def is_one_line(code, said):
    assert code in (0, 2)
    if code == 2:
        assert said.startswith("hornbook: ")
        assert said.endswith("\n")
        assert said[:-1].isprintable(), said
        assert len(said) < 500
    else:
        assert said == ""


def is_mended(path, expected):
    """Assert that nothing there is damaged, and that the run comes to its end; remove it."""
    if (path / "run" / "config.json").exists():
        for checkpoint in all_checkpoints(RunFolder(path / "run")):
            checkpoint.verify()
    assert go_on(path) == (0, "")
    found = ending(path / "run")
    assert [name for name in expected if found.get(name) != expected[name]] == []
    shutil.rmtree(path)


@pytest.fixture
def fails_at(place, whole):
    """Let an operation of a run fail, and mend it; return whether there was an operation of that number."""
    expected, _ = whole

    def check(at, code, lasting):
        path = place()
        shim = Shim(path, failing(at, code, lasting))
        try:
            with shim():
                ended, said = go_on(path)
            is_one_line(ended, said)
            is_mended(path, expected)
        except BaseException as error:
            error.add_note(f"at operation {at}, {shim.struck}: {os.strerror(code)}{' for good' if lasting else ''}")
            raise
        return bool(shim.struck)

    return check


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "for-good"])
def test_some_operations_of_a_run_fail(fails_at, whole, lasting):
    _, operations = whole
    for at, code in zip(range(9, operations, operations // 6), cycle(FAILING), strict=False):
        assert fails_at(at, code, lasting)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "for-good"])
def test_each_operation_of_a_run_fails(fails_at, lasting):
    """Each, with one of the errors each; all errors at each operation of a save: in runs/test_crash_in_save.py."""
    for at, code in zip(count(1), cycle(FAILING), strict=False):
        if not fails_at(at, code, lasting):
            break
    assert at > 200


def limited(place, size):
    """Go on where no file may become longer than so many bytes."""
    import resource

    hasten()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    code, said = go_on(place)
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    (place / "said").write_text(said, encoding="utf-8")
    os._exit(code)


def test_no_file_may_be_long(place, whole):
    """The limit that a user or a shared computer sets (ulimit -f): here the system itself refuses the writes."""
    pytest.importorskip("resource", reason="this system has no such limit")
    for size in (0, 1_000, 12_000):
        path = place()
        code = call(limited, path, size)
        is_one_line(code, (path / "said").read_text(encoding="utf-8"))
        assert code == 2
        is_mended(path, whole[0])


def after_power_cuts(place, expected, every, first=0):
    """Let the power go at moments of a run, take from the disk what was not synced, and go on; return how often."""
    path, tried = place(), 0
    shim = Shim(path)
    with shim():
        assert go_on(path) == (0, "")
    for n, (what, tree) in enumerate(shim.disk.after_power_cuts()):
        if n % every == first:
            after = lay(tree, path.with_name("after"))
            try:
                is_mended(after, expected)
            except BaseException as error:
                error.add_note(f"state {n}: {what}")
                raise
            tried += 1
    return tried


def test_no_power_cut_costs_a_run(place, whole):
    assert after_power_cuts(place, whole[0], 400, 77) >= 3


@pytest.mark.slow
@pytest.mark.long
def test_no_power_cut_at_any_moment_costs_a_run(place, whole):
    """At each change to the disk, of what was not synced: all there, nothing, only files, only names, and so on."""
    assert after_power_cuts(place, whole[0], 4) > 200
