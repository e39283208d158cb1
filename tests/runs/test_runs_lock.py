"""One process at a time in a run's folder, however the one before it ended."""

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hornbook.errors import UsageError
from hornbook.runs import lock
from hornbook.runs.folder import RunFolder

TAKER = """
import sys
from pathlib import Path
from hornbook.errors import UsageError
from hornbook.runs.folder import RunFolder
for line in sys.stdin:
    try:
        with RunFolder.claim(Path(line.strip()), "a"):
            print("won", flush=True)
            sys.stdin.readline()
    except UsageError as error:
        print(error, flush=True)
        sys.stdin.readline()
"""
HOLDER = """
import os, sys
from pathlib import Path
from hornbook.runs import lock
with lock.hold(Path(sys.argv[1])), lock.at_work(Path(sys.argv[1])):
    print(os.getpid(), flush=True)
    sys.stdin.readline()
"""


def start(code, *words):
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUTF8": "1"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "encoding": "utf-8", "env": env, "bufsize": 1}
    return subprocess.Popen([sys.executable, "-c", code, *map(str, words)], **pipes)


@pytest.mark.parametrize(("processes", "rounds"), [(4, 10), pytest.param(8, 100, marks=pytest.mark.slow)])
def test_of_many_that_ask_at_once_one_gets_the_folder(tmp_path, processes, rounds):
    takers = [start(TAKER) for _ in range(processes)]
    for n in range(rounds):
        for taker in takers:
            print(tmp_path / f"run{n}", file=taker.stdin)
        answers = [taker.stdout.readline().strip() for taker in takers]
        assert answers.count("won") == 1, answers
        assert all("is being trained by" in answer for answer in answers if answer != "won"), answers
        for taker in takers:
            print("go on", file=taker.stdin)
    for taker in takers:
        taker.communicate()


def test_who_holds_a_folder_is_named(tmp_path):
    holder = start(HOLDER, tmp_path)
    number = int(holder.stdout.readline())
    assert lock.is_held(tmp_path)
    said = rf"is being trained by process {number} on '.*': wait for it, or stop it"
    with pytest.raises(UsageError, match=said), lock.hold(tmp_path):
        pass
    holder.communicate("\n")
    assert not lock.is_held(tmp_path)
    assert not lock.was_killed(tmp_path)
    with lock.hold(tmp_path):
        pass


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no such signal")
def test_the_lock_of_a_killed_process_is_taken_over(tmp_path):
    holder = start(HOLDER, tmp_path)
    assert int(holder.stdout.readline()) == holder.pid
    holder.kill()
    holder.communicate()
    assert not lock.is_held(tmp_path)
    assert lock.was_killed(tmp_path)
    with lock.hold(tmp_path), lock.at_work(tmp_path):
        assert lock.is_held(tmp_path)
    assert not lock.was_killed(tmp_path)


@pytest.mark.parametrize("said", [b"", b"{", b'{"pid": "x"}', json.dumps({"pid": 1, "host": "elsewhere"}).encode()])
def test_what_a_power_cut_left_is_taken_over(tmp_path, said):
    """After a reboot the files are there, and nobody holds the lock: the number may by now be another process's."""
    (tmp_path / lock.LOCK).touch()
    (tmp_path / lock.AT_WORK).write_bytes(said)
    assert lock.was_killed(tmp_path)
    with lock.hold(tmp_path), lock.at_work(tmp_path):
        assert json.loads((tmp_path / lock.AT_WORK).read_text(encoding="utf-8"))["pid"] == os.getpid()
        with pytest.raises(UsageError, match="is being trained by process"), lock.hold(tmp_path):
            pass
    assert [path.name for path in tmp_path.iterdir()] in ([lock.LOCK], [])


def test_a_damaged_word_of_who_holds_it_still_refuses(tmp_path):
    with lock.hold(tmp_path), lock.at_work(tmp_path):
        (tmp_path / lock.AT_WORK).write_bytes(b"\0")
        with pytest.raises(UsageError, match="is being trained by another process: wait"), lock.hold(tmp_path):
            pass


def test_a_folder_that_can_not_be_written_is_told_of(tmp_path):
    file = tmp_path / "file"
    file.touch()
    said = r"file can't be written: .*; give yourself the right to, or copy it"
    with pytest.raises(UsageError, match=said), lock.hold(file):
        pass


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOTSUP], ids=errno.errorcode.get)
def test_a_disk_that_knows_no_locks_is_told_of(tmp_path, monkeypatch, code):
    fcntl = pytest.importorskip("fcntl", reason="Windows has locks of another kind")

    def flock(file, how):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(UsageError) as caught, lock.hold(tmp_path):
        pass
    assert str(caught.value) == (
        f"{tmp_path} can't be locked, {os.strerror(code)}: the disk there knows no locks; "
        "name an --out on another, or copy the run to one"
    )


def test_a_claim_ends_with_its_context(tmp_path):
    with RunFolder.claim(tmp_path / "run", "a") as folder:
        folder.begin({}, {}, {})
        assert lock.is_held(folder.path)
    assert not lock.is_held(Path(folder.path))
    assert not lock.was_killed(folder.path)
