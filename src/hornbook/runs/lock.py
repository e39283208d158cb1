"""Who trains in a folder: one process at a time; and whether it left as it should.

The system lets go of a lock when its process ends, in whatever way: none is ever left behind. The file that says who is
at work is taken away at every end but a kill or a power cut, and so tells of those.
"""

import errno
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hornbook.errors import UsageError
from hornbook.runs.files import read_json, write_json

LOCK, AT_WORK = ".lock", "training.json"
NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP}  # some network folders


@contextmanager
def hold(path: Path) -> Iterator[None]:
    """Keep every other process out of this folder; UsageError when one is in it, or it can't be written."""
    from filelock import FileLock, Timeout

    lock = FileLock(path / LOCK, timeout=0.2)  # `is_held` takes it for a moment
    try:
        lock.acquire()
    except Timeout:
        raise UsageError(f"{path} is being trained{_by(path)}: wait for it, or stop it there with Ctrl-C") from None
    except OSError as error:
        if error.errno in NO_LOCKS:
            what = "the disk there knows no locks; name an --out on another, or copy the run to one"
            raise UsageError(f"{path} can't be locked, {error.strerror}: {what}") from None
        raise UsageError(f"{path} can't be written: {error.strerror}; give yourself the right to, or copy it") from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def at_work(path: Path) -> Iterator[None]:
    """Say in this folder, which is held, who is at work in it, until the end."""
    now = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    write_json(path / AT_WORK, {"pid": os.getpid(), "host": platform.node(), "since": now})
    try:
        yield
    finally:
        with suppress(OSError):
            (path / AT_WORK).unlink()


def is_held(path: Path) -> bool:
    """Say whether a process is at work in this folder."""
    from filelock import FileLock, Timeout

    if not (path / AT_WORK).exists():
        return False
    try:
        with FileLock(path / LOCK, blocking=False):
            return False
    except Timeout:
        return True
    except OSError:  # it can't be written: it may be another user's, who trains in it
        return _is_held_by_another(path)


def _is_held_by_another(path: Path) -> bool:
    with suppress(ImportError, OSError):  # Windows has no such module
        import fcntl

        with (path / LOCK).open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
    return False


def was_killed(path: Path) -> bool:
    """Say whether the last process at work in this folder ended without a word; of one that nobody holds."""
    return (path / AT_WORK).exists()


def _by(path: Path) -> str:
    try:
        said = read_json(path / AT_WORK)
        return f" by process {int(said['pid'])} on {str(said['host'])[:80]!a}"
    except (UsageError, KeyError, TypeError, ValueError):
        return " by another process"
