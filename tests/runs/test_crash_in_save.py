"""A save that fails or dies at any of its operations costs no checkpoint, and nor does a power cut.

What is done here under the shim (`tests/faults.py`) is a save, and the pruning after it, in a folder of two
checkpoints, of which the older is the best one: at operation 1, 2, 3, … until one run is clean.
"""

import errno
import os
import shutil
from contextlib import suppress
from itertools import count

import pytest
import torch
from tests.faults import CHANGES, FAILING, KILLED, Shim, call, failing, killing, lay, tree_of

from hornbook.errors import UsageError
from hornbook.runs.checkpoints import all_checkpoints, latest, prune, save
from hornbook.runs.folder import RunFolder

BEST, OLD, NEW, NEXT = 1, 2, 3, 4
SLOW = dict.fromkeys((errno.EDQUOT, errno.EFBIG, errno.EROFS), pytest.mark.slow)  # they take the others' ways
CODES = [pytest.param(code, marks=SLOW.get(code, ()), id=errno.errorcode[code]) for code in FAILING]


def saved(folder, step):
    weights = {"head.weight": torch.arange(600.0).reshape(20, 30) + step, "norm": torch.ones(2)}
    return save(folder, step, weights, {"head.weight.exp_avg": torch.tensor(0.5)}, {"step": step})


def save_and_prune(path, step=NEW):
    folder = RunFolder(path)
    saved(folder, step)
    prune(folder, {BEST, step}.__contains__)


def save_until(path, fault):
    """Do that in a process of its own, which dies."""
    shim = Shim(path, killing(*fault))
    with shim():
        save_and_prune(path)


def steps(folder):
    return [checkpoint.step for checkpoint in all_checkpoints(folder)]


def unexpected(line):
    raise AssertionError(line)


@pytest.fixture(autouse=True, scope="module")
def no_waiting():
    """Don't wait for the disk: what was synced, and when, the shim knows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    """Return a folder as it is before the save; what its checkpoints hold, and what the new ones will."""
    folder = RunFolder.create(tmp_path_factory.mktemp("before") / "run", "")
    for step in (BEST, OLD):
        saved(folder, step)
    after = RunFolder.create(tmp_path_factory.mktemp("after") / "run", "")
    expected = {step: tree_of(saved(after, step).path) for step in (BEST, OLD, NEW, NEXT)}
    return folder.path, expected


@pytest.fixture
def new_path(tmp_path):
    """Name one more place where nothing is."""
    numbers = count()
    return lambda: tmp_path / f"{next(numbers)}"


@pytest.fixture
def is_whole(before):
    """Assert that a folder has lost nothing, and that nothing in it stands in the way of what comes next."""
    _, expected = before

    def check(path, done=False):
        folder = RunFolder(path)
        there = steps(folder)
        newest = latest(folder, unexpected)
        assert newest.step == (NEW if done or NEW in there else OLD)
        assert {BEST, newest.step} <= set(there)
        for checkpoint in all_checkpoints(folder):
            checkpoint.verify()
            assert tree_of(checkpoint.path) == expected[checkpoint.step]
        assert newest.weights()["head.weight"][0, 1] == 1 + newest.step
        for step in (NEW, NEXT):  # as it would go on
            save_and_prune(path, step)
            assert steps(folder) == [BEST, step]
            assert [each.name for each in sorted(folder.checkpoints_path.iterdir())] == [
                f"step-{each:08d}" for each in (BEST, step)
            ]
            assert tree_of(latest(folder, unexpected).path) == expected[step]
        shutil.rmtree(path)

    return check


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "for-good"])
@pytest.mark.parametrize("code", CODES)
def test_no_failing_operation_costs_a_checkpoint(before, new_path, is_whole, code, lasting):
    path, struck = new_path(), set()
    for at in count(1):
        shutil.copytree(before[0], path)
        shim, told = Shim(path, failing(at, code, lasting)), None
        with shim():
            try:
                save_and_prune(path)
            except (OSError, UsageError) as error:
                told = error
        if not shim.struck:
            assert told is None
            break
        struck.add(shim.struck.split()[0])
        if isinstance(told, OSError):
            assert told.errno == code
        if not lasting:
            assert not list(path.glob("checkpoints/.writing-*"))
        is_whole(path, done=told is None)
    assert at > 30
    assert struck >= {"mkdir", "create", "write", "fsync", "close", "rename", "unlink", "rmdir", "read"}


def killed_at(path, before, at):
    shutil.copytree(before, path)
    return call(save_until, path, (at, {*CHANGES, "fsync"}))


def test_killed_in_a_save(before, new_path, is_whole):
    """A few of the moments; all of them, and in processes that only seem to die, are in the tests around."""
    for at in (1, 4, 12, 20):
        path = new_path()
        assert killed_at(path, before[0], at) == KILLED
        is_whole(path)


@pytest.mark.slow
def test_killed_at_every_operation_of_a_save(before, new_path, is_whole):
    for at in count(1):
        path = new_path()
        code = killed_at(path, before[0], at)
        is_whole(path, done=code == 0)
        if code == 0:
            break
        assert code == KILLED
    assert at > 20


class Dead(BaseException):
    """The process has ended: nothing that comes after has an effect."""


def test_dead_at_every_operation_of_a_save(before, new_path, is_whole):
    """As if killed, but quicker: in this process, with all that comes after an operation left undone."""

    def end(path):
        raise Dead

    path = new_path()
    for at in count(1):
        shutil.copytree(before[0], path)
        numbers = count(1)
        shim = Shim(path, lambda what, at=at, numbers=numbers: end if next(numbers) >= at else None)
        with shim(), suppress(Dead):
            save_and_prune(path)
        is_whole(path, done=not shim.struck)
        if not shim.struck:
            break
    assert at > 30


def test_no_power_cut_costs_a_checkpoint(before, new_path, is_whole):
    """At each moment, whatever of that which was not synced the disk may hold; and what was saved stays saved."""
    path = new_path()
    shutil.copytree(before[0], path)
    shim = Shim(path)
    with shim():
        save_and_prune(path)
    assert shim.disk.at_end()[1] == tree_of(path)  # the shim has seen all
    states = 0
    for what, tree in shim.disk.after_power_cuts():
        states += 1
        after = lay(tree, new_path())
        try:
            is_whole(after)
        except BaseException as error:
            error.add_note(what)
            raise
    assert states > 40
    is_whole(lay(shim.disk.at_end()[0], new_path()), done=True)


def test_a_damaged_checkpoint_in_the_way_is_moved_aside_whatever_fails(before, new_path):
    """A run that resumed before a damaged checkpoint comes to its step again, and fails to save it again."""
    path = new_path()
    for at in count(1):
        shutil.copytree(before[0], path)
        folder = RunFolder(path)
        damaged = saved(folder, NEW).path / "weights.safetensors"
        damaged.write_bytes(damaged.read_bytes()[:-1])
        shim = Shim(path, failing(at, errno.EIO))
        with shim(), suppress(OSError, UsageError):
            save_and_prune(path)
        assert latest(folder, lambda line: None).step in (OLD, NEW)
        save_and_prune(path)
        assert latest(folder, unexpected).step == NEW
        assert {BEST, NEW} <= set(steps(folder))
        if not shim.struck:
            break
        shutil.rmtree(path)
    assert at > 40
