"""Ctrl-C and SIGTERM: the run finishes its step, saves and leaves, whenever they come; a second Ctrl-C leaves now.

The runs are processes of their own, begun on the command line, and the signals real ones.
"""

import os
import random
import shutil
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count, cycle
from pathlib import Path

import pytest
from tests.faults import VARIANTS, WORDS, call, ending, hasten, start, wait

from hornbook import cli
from hornbook.runs import checkpoints, log
from hornbook.runs.checkpoints import latest
from hornbook.runs.folder import RunFolder
from hornbook.training import loop
from hornbook.training.stopping import StopSignals
from hornbook.training.task import Task

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows sends no Ctrl-C to one process alone")

STOPPED, INTERRUPTED = 0, 130  # what the guide says of the exit code after one Ctrl-C, and after two
SETTINGS = VARIANTS["accumulation and dropout"] | {"recipe.steps": 30, "recipe.evaluate_every": 6}
SIGNALS = (signal.SIGINT, signal.SIGTERM)


PLACES = {  # and the how-manieth time that it is come to them: the first checkpoint is there by then
    "evaluation": (Task, "look", 3),
    "write": (checkpoints, "write_new", 10),
    "rename": (checkpoints, "move", 3),
    "log": (log.Log, "flush", 5),
    "prune": (checkpoints, "prune", 3),
}


def hornbook(place, at=None, then=None):
    """Begin the run, or go on with it. When it comes to one of PLACES, do `then` first.

    Files named `in` and `out` say whether it began to train, and left off.
    """
    hasten()
    loop.SAVE_EVERY = 0.02
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ["HORNBOOK_CACHE"] = str(place / "cache")
    sys.stdout = sys.stderr = (place / "said").open("w", encoding="utf-8", buffering=1)
    enter, leave = StopSignals.__enter__, StopSignals.__exit__

    def entering(self):
        enter(self)
        (place / "in").touch()
        return self

    def leaving(self, *error):
        (place / "out").touch()
        leave(self, *error)

    StopSignals.__enter__, StopSignals.__exit__ = entering, leaving
    if at:
        owner, name, number = PLACES[at]
        real, numbers = getattr(owner, name), count(1)

        def here(*args, **options):
            if next(numbers) == number:
                then()
            return real(*args, **options)

        setattr(owner, name, here)
    words = ["train", place / "text.txt", "--preset", "small", "--out", place / "run", "--set"]
    words += [f"{name}={value}" for name, value in SETTINGS.items()]
    if (place / "run" / "config.json").exists():
        words = ["resume", place / "run"]
    sys.argv = ["hornbook", *map(str, words)]
    cli.main()


def send_int():
    os.kill(os.getpid(), signal.SIGINT)


def send_term():
    os.kill(os.getpid(), signal.SIGTERM)


def hang():
    """As on a disk that does not answer, or in an evaluation that takes hours."""
    (Path(os.environ["HORNBOOK_CACHE"]).parent / "hanging").touch()
    time.sleep(100)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Make one more folder with a text, for a run."""
    root, numbers = tmp_path_factory.mktemp("signals"), count()

    def make():
        path = root / f"{next(numbers)}"
        path.mkdir()
        (path / "text.txt").write_bytes((WORDS * 20).encode("utf-8"))
        return path

    return make


@pytest.fixture(scope="module")
def whole(place):
    """Return what the run ends in if no signal comes, and how many seconds it takes."""
    path = place()
    assert call(hornbook, path) == 0
    shutil.rmtree(path / "run")
    before = time.monotonic()
    assert call(hornbook, path) == 0
    return ending(path / "run"), time.monotonic() - before


def is_whole(place):
    """Assert that the newest checkpoint is whole and the log's end is its step; or that nothing had begun."""
    folder = RunFolder(place / "run")
    if steps := [line["step"] for line in log.read(folder.log_path)]:
        assert max(steps) == latest(folder, pytest.fail).step
    else:
        assert checkpoints.all_checkpoints(folder) == []
    assert not (folder.path / "training.json").exists()


def ends_the_same(place, whole):
    assert call(hornbook, place) == 0
    found, expected = ending(place / "run"), whole[0]
    assert [name for name in expected if found.get(name) != expected[name]] == []
    shutil.rmtree(place)


def stopped_at_random(place, whole, seed):
    """Send a signal at some time of a run; return whether it came while it trained."""
    path, chance = place(), random.Random(seed)
    number = chance.choice(SIGNALS)
    process = start(hornbook, path)
    delay = chance.uniform(0.1, 1) * whole[1]
    if wait(process, delay) is None:
        os.kill(process.pid, number)
    code = wait(process)
    said = (path / "said").read_text(encoding="utf-8") if (path / "said").exists() else ""  # it came sooner than that
    trained = (path / "in").exists() and not (path / "out").exists()
    stopped = "stopped; everything is saved. Go on with: hornbook resume" in said
    if code == 0:
        is_whole(path)
        assert stopped or "next: hornbook generate" in said
    else:  # before it began to train, or after
        assert not trained, (seed, said)
        assert code == (INTERRUPTED if number == signal.SIGINT else -number), (seed, said)
    assert "Traceback" not in said
    for name in ("in", "out"):
        (path / name).unlink(missing_ok=True)
    ends_the_same(path, whole)
    return stopped


def test_a_signal_at_some_times(place, whole):
    with ThreadPoolExecutor(2) as pool:
        assert any(pool.map(lambda seed: stopped_at_random(place, whole, seed), range(6)))


@pytest.mark.slow
def test_a_hundred_signals(place, whole):
    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(lambda seed: stopped_at_random(place, whole, seed), range(1000, 1100))) > 25


@pytest.mark.parametrize(("at", "send"), list(zip(PLACES, cycle([send_int, send_term]), strict=False)))
def test_a_signal_inside_an_evaluation_or_a_save(place, whole, at, send):
    path = place()
    assert call(hornbook, path, at, send) == STOPPED
    is_whole(path)
    assert "stopped; everything is saved" in (path / "said").read_text(encoding="utf-8")
    ends_the_same(path, whole)


@pytest.mark.parametrize("at", ["evaluation", "write"])
def test_a_second_ctrl_c_leaves_now(place, whole, at):
    """Also where the first can't be heard: it hangs in an evaluation, or in a save that does not end."""
    path = place()
    process = start(hornbook, path, at, hang)
    while not (path / "hanging").exists():
        assert wait(process, 0.01) is None
    os.kill(process.pid, signal.SIGINT)
    assert wait(process, 0.5) is None  # it would finish first
    before = time.monotonic()
    os.kill(process.pid, signal.SIGINT)
    assert wait(process, 10) == INTERRUPTED
    assert time.monotonic() - before < 2  # one, and something for a busy machine
    assert (path / "said").read_text(encoding="utf-8").endswith("hornbook: interrupted.\n")
    latest(RunFolder(path / "run"), pytest.fail)
    ends_the_same(path, whole)
