"""A disk that fails on demand, to be put under the code that writes.

`with disk(fail_at=3) as state:` lets the third operation fail, as on a full disk; with `dies=True` all that follow
too, as when the process is killed, and what was not synced has lost its end. The failure stops at the `with`;
`state.failed` tells whether it came.
"""

import errno
import io
import os
from contextlib import contextmanager
from pathlib import Path

import pytest


class Crash(BaseException):
    """The process dies here: nothing that comes after has an effect."""


class Disk:
    """Counts the operations that change a disk, and fails at the `fail_at`th: once, or for good if it `dies`."""

    def __init__(self, fail_at=None, dies=False):
        self.fail_at, self.dies = fail_at, dies
        self.log = []
        self.opened = []  # names of the files written to, in order
        self.failed = False
        self.unsynced = {}  # descriptor -> path of a file that the disk may not have yet
        self.folders = set()

    def step(self, name):
        self.log.append(name)
        if self.fail_at is None or len(self.log) < self.fail_at:
            return
        self.failed = True
        if self.dies:
            raise Crash
        if len(self.log) == self.fail_at:
            raise OSError(errno.ENOSPC, "No space left on device")

    def lose_power(self):
        for path in self.unsynced.values():
            if path.exists():
                path.write_bytes(path.read_bytes()[:-1])


class File:
    def __init__(self, disk, path, real):
        self.disk, self.real = disk, real
        disk.unsynced[real.fileno()] = path

    def __getattr__(self, name):
        return getattr(self.real, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.real.close()

    def write(self, data):
        self.real.write(data[: len(data) // 2])
        self.disk.step("write")
        self.real.write(data[len(data) // 2 :])


@pytest.fixture
def disk():
    real = {name: getattr(os, name) for name in ("open", "fsync", "replace", "mkdir", "rmdir", "unlink")}
    real_open = io.open

    @contextmanager
    def under(fail_at=None, dies=False):
        state = Disk(fail_at, dies)

        def open_file(path, mode="r", *args, **options):
            if mode[0] == "r":
                return real_open(path, mode, *args, **options)
            state.step("open")
            state.opened.append(Path(path).name)
            return File(state, Path(path), real_open(path, mode, *args, **options))

        def open_descriptor(path, *args, **options):
            descriptor = real["open"](path, *args, **options)
            if not options and Path(path).is_dir():  # rmtree's own are relative to a descriptor
                state.folders.add(descriptor)
                try:
                    state.step("open folder")
                except BaseException:
                    os.close(descriptor)
                    raise
            return descriptor

        def fsync(descriptor):
            state.step("fsync folder" if descriptor in state.folders else "fsync")
            real["fsync"](descriptor)
            state.unsynced.pop(descriptor, None)
            state.folders.discard(descriptor)

        def replace(old, new):
            assert not state.unsynced, "renamed before the disk has it"
            state.step("replace")
            real["replace"](old, new)

        def other(name):
            def operation(*args, **options):
                state.step(name)
                return real[name](*args, **options)

            return operation

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(io, "open", open_file)
            patch.setattr(os, "open", open_descriptor)
            patch.setattr(os, "fsync", fsync)
            patch.setattr(os, "replace", replace)
            for name in ("mkdir", "rmdir", "unlink"):
                patch.setattr(os, name, other(name))
            try:
                yield state
            except (Crash, OSError):
                assert state.failed
        if state.failed and dies:
            state.lose_power()

    return under
