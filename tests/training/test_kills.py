"""A run that is killed, at whatever moment, and resumed ends in the same bytes: weights, optimizer, log and samples.

The moments are all there are: each call of the loop's functions, and of those that save beside it, and each change to a
file, half done. Every killed process is a real one, and dies by SIGKILL where the system has it.
"""

import shutil
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from threading import Lock

import pytest
from tests.faults import CHANGES, KILLED, VARIANTS, WORDS, call, ending, work_on, work_to_config, work_until

LOOP = ("loop.py", "saving.py", "stopping.py", "step.py")  # whose calls are moments
MOMENTS = {*CHANGES, "fsync", "call"}
AT_ONCE = 2  # processes


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    """Make one more folder with a text, for a run."""
    root, numbers = tmp_path_factory.mktemp("killed"), count()

    def make(like=None):
        path = root / f"{next(numbers)}"
        if like:
            shutil.copytree(like, path)
        else:
            path.mkdir()
            (path / "text.txt").write_bytes((WORDS * 20).encode("utf-8"))
        return path

    return make


@pytest.fixture(scope="session")
def known(place):
    """Return a run of a variant that has begun, and done nothing yet; and what it ends in if nothing happens."""
    of, lock = {}, Lock()

    def get(variant):
        with lock:
            if variant not in of:
                begun = place()
                assert call(work_to_config, begun, VARIANTS[variant]) == 0
                whole = place(begun)
                assert call(work_on, whole, VARIANTS[variant]) == 0
                of[variant] = begun, ending(whole / "run")
        return of[variant]

    return get


@pytest.fixture
def survives(place, known):
    """Kill a run at a moment, once for each number given, and go on; return False where it ended before it."""

    def check(variant, *moments, save_every=-1.0, kinds=MOMENTS, new=False):
        begun, expected = known(variant)
        path = place(None if new else begun)
        for at in moments:
            code = call(work_until, path, VARIANTS[variant], save_every, (at, kinds), LOOP if "call" in kinds else ())
            assert code in (0, KILLED), (variant, at)
        assert call(work_on, path, VARIANTS[variant], save_every) == 0, (variant, moments)
        found = ending(path / "run")
        different = [name for name in expected if found.get(name) != expected[name]]
        assert not different, (variant, moments)
        assert all(name.startswith("checkpoints/") for name in found.keys() - expected.keys())  # older ones may be left
        shutil.rmtree(path)
        return code == KILLED

    return check


def everywhere(survives, variant, first=1, step=1, **how):
    """Kill at moments number `first`, `first` + `step`, … until a run comes to its end; return how many there were."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for n in count(first, step * AT_ONCE):
            killed = list(pool.map(lambda at: survives(variant, at, **how), range(n, n + step * AT_ONCE, step)))
            if not all(killed):
                return n + step * sum(killed)
    raise AssertionError("counting never ends")


@pytest.mark.parametrize("variant", VARIANTS)
def test_killed_now_and_then_a_run_ends_in_the_same_bytes(survives, variant):
    with ThreadPoolExecutor(AT_ONCE) as pool:
        assert all(pool.map(lambda at: survives(variant, at), (40, 90)))


@pytest.mark.slow
def test_killed_at_every_moment_a_run_ends_in_the_same_bytes(survives):
    assert everywhere(survives, "accumulation and dropout") > 300


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "accumulation and dropout"])
def test_killed_at_every_change_to_a_file(survives, variant):
    """A process that is killed leaves files, and nothing else: between two changes to them all moments are alike."""
    assert everywhere(survives, variant, kinds=CHANGES, save_every=60.0) > 50


def test_killed_while_it_begins_it_is_begun_again(survives):
    """Before config.json there is no run: the same command begins it, in the same folder."""
    for at in (2, 20):
        assert survives("bpe", at, kinds=CHANGES, new=True)


@pytest.mark.slow
def test_killed_at_every_change_while_it_begins(survives):
    with ThreadPoolExecutor(AT_ONCE) as pool:
        assert all(pool.map(lambda at: survives("bpe", at, kinds=CHANGES, new=True), range(1, 40)))


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_killed_again_and_again(survives, variant):
    """A machine that never stays up for long: also while a run resumes, and while it takes back what was begun."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda at: survives(variant, *range(at, at + 120, 30)), range(5, 30, 6)))
