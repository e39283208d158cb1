"""Faults on demand, for the proofs that nothing is lost: a shim under all that changes a folder, which fails or kills
at the operation that it is told; a model of what a disk may hold after a power cut; and processes to be killed.

What stands at the top level here is imported by those processes too, each anew: little, and no pytest.
"""

from __future__ import annotations

import builtins
import errno
import io
import multiprocessing.connection
import os
import signal
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock

ROOT = Path(__file__).parents[1]
PRELOADED = [  # all that a training imports, also on its way: a process that is forked from there begins at once
    "hornbook.api",
    "hornbook.cli.app",
    "torch._dynamo",
    "safetensors.torch",
    "filelock",
    "matplotlib.figure",
    "matplotlib.style",
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_svg",
]
KILLED = -signal.SIGKILL if hasattr(signal, "SIGKILL") else 9  # what a process that died is said to have returned
CREATES = {"create", "mkdir"}
CHANGES = {*CREATES, "write", "truncate", "rename", "unlink", "rmdir"}
FAILING = {  # what stays impossible once it was
    errno.ENOSPC: {*CREATES, "write"},
    errno.EDQUOT: {*CREATES, "write"},
    errno.EFBIG: {"write"},
    errno.EROFS: {*CHANGES, "open"},
    errno.EACCES: {*CREATES, "open", "rename", "unlink", "rmdir"},
    errno.EIO: {*CHANGES, "open", "read", "fsync", "close"},
}

Fault = Callable[[str], Callable[[str], None] | None]
"""an operation, such as "write log.jsonl" -> what is to happen in its place, if anything: it raises, or ends all"""


def never(what: str) -> None:
    """Let all operations through."""


def failing(at: int, code: int, lasting: bool = False) -> Fault:
    """Let operation number `at` fail with this errno; if it is lasting, also those after it that then can't succeed."""
    numbers = count(1)

    def fail(path: str) -> None:
        raise OSError(code, os.strerror(code), path)

    def fault(what: str) -> Callable[[str], None] | None:
        number = next(numbers)
        return fail if number == at or (lasting and number > at and what.split()[0] in FAILING[code]) else None

    return fault


def killing(at: int, kinds: Collection[str]) -> Fault:
    """End this process, as the system would, when operation number `at` of these kinds is half done."""
    numbers = count(1)

    def fault(what: str) -> Callable[[str], None] | None:
        return die if what.split()[0] in kinds and next(numbers) == at else None

    return fault


def die(path: str = "") -> None:
    """End this process as the system would: nothing that waits in memory is written."""
    if hasattr(signal, "SIGKILL"):
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(KILLED)


class Shim:
    """Counts what the code does to the files and folders below `root`, and lets `fault` happen to it.

    `passed` are the operations so far. A write that fails is half done, and a file that fails to close is closed.
    `disk` knows what was written and synced.
    """

    def __init__(self, root: Path, fault: Fault = never) -> None:
        self.root, self.fault = os.path.abspath(root), fault  # noqa: PTH100  (the paths that come are strings too)
        self.passed: list[str] = []
        self.struck = ""  # by the fault: the operation, the first
        self.disk = Disk(root)
        self.open: dict[int, str] = {}  # descriptor -> path
        self._lock, self._active = threading.RLock(), True

    def follow(self, files: Collection[str]) -> None:
        """Count also each call, from now on and in threads begun from now on, of a function from one of these files."""

        def watch(frame: FrameType, event: str, argument: object) -> None:
            if event == "call" and os.path.basename(frame.f_code.co_filename) in files:  # noqa: PTH119
                self.tick("call", frame.f_code.co_name)

        threading.setprofile(watch)
        sys.setprofile(watch)

    def tick(self, kind: str, path: Any = "", half: Callable[[], object] = lambda: None) -> None:
        """Count one more, and let it fail if it is its turn."""
        with self._lock:
            if not self._active:
                return
            self.passed.append(what := f"{kind} {os.path.basename(path)}")  # noqa: PTH119
            if end := self.fault(what):
                self.struck = self.struck or what
                half()
                end(path)

    def inside(self, path: Any, folder: int | None = None) -> str | None:
        """Return the absolute path if it lies below the root; `folder` is a descriptor that it is relative to."""
        if isinstance(path, int):
            return self.open.get(path)
        path = os.fsdecode(path)
        if folder is not None:
            path = os.path.join(self.open.get(folder, os.sep), path)  # noqa: PTH118
        path = os.path.abspath(path)  # noqa: PTH100
        return path if path == self.root or path.startswith(self.root + os.sep) else None

    @contextmanager
    def __call__(self) -> Iterator[Shim]:
        """Be under all that this process does, in all its threads."""
        opening = self._open_file(io.open)
        with (
            mock.patch.multiple(os, **self._patches()),
            mock.patch.object(io, "open", opening),
            mock.patch.object(builtins, "open", opening),
        ):
            try:
                yield self
            finally:
                self._active = False

    def _patches(self) -> dict[str, Any]:
        real = {name: getattr(os, name) for name in KINDS if hasattr(os, name)}
        return {name: partial(getattr(self, f"_{KINDS[name]}"), function) for name, function in real.items()}

    def _open_file(self, real: Any) -> Any:
        def open_file(
            file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, closefd=True, opener=None
        ):
            path = None if isinstance(file, int) or not self._active else self.inside(file)
            if path is None or not set(mode) & set("wax+"):
                if path:
                    self.tick("read", path)
                return real(file, mode, buffering, encoding, errors, newline, closefd, opener)
            raw = File(self, path, mode.translate({ord("b"): None, ord("t"): None}))
            if buffering == 0:
                return raw
            buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
            return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding, errors, newline)

        return open_file

    def _open(self, real: Any, path: Any, flags: int, *args: Any, dir_fd: int | None = None, **options: Any) -> int:
        place = self.inside(path, dir_fd)
        with self._lock:
            if place:
                new = flags & os.O_CREAT and not os.path.exists(place)  # noqa: PTH110
                self.tick("create" if new else "open" if flags & (os.O_WRONLY | os.O_RDWR) else "read", place)
            descriptor = real(path, flags, *args, dir_fd=dir_fd, **options)
            if place:
                self.open[descriptor] = place
                if flags & (os.O_CREAT | os.O_TRUNC):
                    self.disk.opened(place, truncated=bool(flags & os.O_TRUNC))
        return descriptor

    def _close(self, real: Any, descriptor: int) -> None:
        with self._lock:
            self.open.pop(descriptor, None)  # a folder, or a lock: nothing waits to be written
            real(descriptor)

    def _fsync(self, real: Any, descriptor: int) -> None:
        with self._lock:
            if path := self.open.get(descriptor):
                self.tick("fsync", path)
            real(descriptor)
            if path:
                self.disk.synced(path)

    def _write(self, real: Any, descriptor: int, data: Any) -> int:
        assert descriptor not in self.open, "written past the shim: teach it this"
        return real(descriptor, data)

    _truncate = _write

    def _entry(self, kind: str, change: Callable[[Disk, str], None], real: Any, path: Any, *args: Any, **options: Any):
        place = self.inside(path, options.get("dir_fd"))
        with self._lock:
            if place:
                self.tick(kind, place)
            real(path, *args, **options)
            if place:
                change(self.disk, place)

    def _mkdir(self, real: Any, path: Any, *args: Any, **options: Any) -> None:
        self._entry("mkdir", Disk.made, real, path, *args, **options)

    def _unlink(self, real: Any, path: Any, **options: Any) -> None:
        self._entry("unlink", Disk.removed, real, path, **options)

    def _rmdir(self, real: Any, path: Any, **options: Any) -> None:
        self._entry("rmdir", Disk.removed, real, path, **options)

    def _rename(self, real: Any, old: Any, new: Any) -> None:
        to = self.inside(new)
        self._entry("rename", lambda disk, place: disk.renamed(place, to), real, old, new)

    def _list(self, real: Any, path: Any = ".") -> Any:
        if place := self.inside(path):
            self.tick("read", place)
        return real(path)


KINDS = {"open": "open", "close": "close", "fsync": "fsync", "fdatasync": "fsync", "write": "write"}
KINDS |= {"mkdir": "mkdir", "rmdir": "rmdir", "unlink": "unlink", "remove": "unlink", "scandir": "list"}
KINDS |= {"rename": "rename", "replace": "rename", "listdir": "list", "truncate": "truncate", "ftruncate": "truncate"}


class File(io.FileIO):
    """A file that is being written, below what buffers: what arrives here has left the process."""

    def __init__(self, shim: Shim, path: str, mode: str) -> None:
        self._shim, self._path, self._owed = shim, path, None
        with shim._lock:
            shim.tick("open" if os.path.exists(path) else "create", path)  # noqa: PTH110
            super().__init__(path, mode)
            shim.open[self.fileno()] = path
            self._node = shim.disk.opened(path, truncated="w" in mode)

    def write(self, data: Any) -> int:
        data = bytes(data)

        def put(piece: bytes) -> int:
            at = os.fstat(self.fileno()).st_size if "a" in self.mode else self.tell()
            written = io.FileIO.write(self, piece)
            self._shim.disk.written(self._node, at, piece[:written])
            return written

        with self._shim._lock:
            if self._owed:
                error, self._owed = self._owed, None
                raise error
            try:
                self._shim.tick("write", self._path, half=lambda: put(data[: len(data) // 2]))
            except OSError as error:
                if len(data) < 2:
                    raise
                self._owed = error  # as the system does: a short write first, and the error when the rest is tried
                return len(data) // 2
            return put(data)

    def truncate(self, size: int | None = None) -> int:
        with self._shim._lock:
            self._shim.tick("truncate", self._path)
            size = super().truncate(size)
            self._shim.disk.cut(self._node, size)
        return size

    def close(self) -> None:
        if self.closed:
            return
        with self._shim._lock:
            self._shim.open.pop(self.fileno(), None)
            try:
                self._shim.tick("close", self._path)
            finally:
                super().close()


Tree = dict[str, Any]
"""name -> bytes of a file, or the tree of a folder"""


class Disk:
    """A model of a disk below a folder: what was done to it, in order, and what of that a power cut cannot undo.

    A change to a file lasts once the file was synced, and one to the names in a folder once the folder was: nothing
    else is promised (POSIX, fsync). Of all others any may be there and any may be not.
    """

    def __init__(self, root: Path) -> None:
        self.root = os.path.abspath(root)  # noqa: PTH100
        self.names: list[dict[str, int] | None] = []  # of each node, if it is a folder: what is in it now
        self.first: list[tuple[Any, ...]] = []  # the changes that make what was there at the start
        self.changes: list[tuple[Any, ...]] = []
        self._new({})
        for place, folders, files in os.walk(self.root):
            for name in (*folders, *files):
                path = os.path.join(place, name)  # noqa: PTH118
                node = self._enter(path, {} if name in folders else None)
                if name in files:
                    self.written(node, 0, Path(path).read_bytes())
        self.first, self.changes = self.changes, []

    def _new(self, names: dict[str, int] | None) -> int:
        self.names.append(names)
        return len(self.names) - 1

    def node(self, path: str) -> int:
        """Return what is at a path now."""
        node = 0
        for name in Path(path).relative_to(self.root).parts:
            node = self.names[node][name]
        return node

    def _place(self, path: str) -> tuple[int, str]:
        folder, name = os.path.split(path)
        return self.node(folder), name

    def _set(self, *entries: tuple[int, str, int | None]) -> None:
        self.changes.append(("names", *entries))
        for folder, name, node in entries:
            if node is None:
                self.names[folder].pop(name, None)
            else:
                self.names[folder][name] = node

    def _enter(self, path: str, names: dict[str, int] | None) -> int:
        node = self._new(names)
        self._set((*self._place(path), node))
        return node

    def opened(self, path: str, truncated: bool) -> int:
        """Note that a file was opened for writing, and made if it was not there."""
        folder, name = self._place(path)
        if name not in self.names[folder]:
            return self._enter(path, None)
        node = self.names[folder][name]
        if truncated:
            self.cut(node, 0)
        return node

    def written(self, node: int, at: int, data: bytes) -> None:
        """Note bytes that were written to a file."""
        self.changes.append(("write", node, at, data))

    def cut(self, node: int, size: int) -> None:
        """Note that a file has another length now."""
        self.changes.append(("cut", node, size))

    def made(self, path: str) -> None:
        """Note a new folder."""
        self._enter(path, {})

    def removed(self, path: str) -> None:
        """Note that a name is gone."""
        self._set((*self._place(path), None))

    def renamed(self, old: str, new: str) -> None:
        """Note another name for the same."""
        node = self.node(old)
        self._set((*self._place(old), None), (*self._place(new), node))

    def synced(self, path: str) -> None:
        """Note that the system promised to have all of a file, or all the names in a folder."""
        self.changes.append(("sync", self.node(path)))

    def after_power_cuts(self) -> Iterator[tuple[str, Tree]]:
        """Yield what the disk may hold if the power goes at any moment, each state once, with what led there.

        At each moment: with all that was not synced, or none of it; only files, only names; each single change, and
        all but each single change; of the last write, half.
        """
        seen = set()
        for n in range(len(self.changes) + 1):
            done = self.changes[:n]
            if done and done[-1][0] == "sync":
                continue  # the power went before it: nothing more may be there than a moment ago
            lost = self._unsynced(done)
            names = {i for i in lost if done[i][0] == "names"}
            cases = {"all": set(), "none": lost, "only names": lost - names, "only files": names}
            cases |= {f"change {i} alone": lost - {i} for i in lost} | {f"all but {i}": {i} for i in lost}
            for what, without in cases.items():
                kept = [change for i, change in enumerate(done) if i not in without]
                torn = (
                    [[*kept[:-1], (*kept[-1][:3], kept[-1][3][: len(kept[-1][3]) // 2])]]
                    if (kept and kept[-1][0] == "write" and what == "all")
                    else []
                )
                for each in (kept, *torn):
                    tree = self._tree(each)
                    if (key := repr(tree)) not in seen:
                        seen.add(key)
                        yield f"after {n} changes {describe(done)}, of what was not synced: {what}", tree

    def at_end(self) -> tuple[Tree, Tree]:
        """Return what a power cut now leaves at least, and what is there now."""
        lost = self._unsynced(self.changes)
        return self._tree([each for i, each in enumerate(self.changes) if i not in lost]), self._tree(self.changes)

    @staticmethod
    def _unsynced(changes: list[tuple[Any, ...]]) -> set[int]:
        """Return the places of the changes that may be lost."""
        lost, synced = set(), set()
        for i in range(len(changes) - 1, -1, -1):
            kind, *rest = changes[i]
            if kind == "sync":
                synced.add(rest[0])
            elif not ({folder for folder, _, _ in rest} if kind == "names" else {rest[0]}) <= synced:
                lost.add(i)
        return lost

    def _tree(self, changes: list[tuple[Any, ...]]) -> Tree:
        files: dict[int, bytearray] = {}
        folders: dict[int, dict[str, int]] = {}
        for kind, *rest in (*self.first, *changes):
            if kind == "names":
                for folder, name, node in rest:
                    names = folders.setdefault(folder, {})
                    names.pop(name, None)
                    if node is not None:
                        names[name] = node
            elif kind == "write":
                node, at, data = rest
                content = files.setdefault(node, bytearray())
                content.extend(bytes(max(0, at - len(content))))
                content[at : at + len(data)] = data
            elif kind == "cut":
                node, size = rest
                content = files.setdefault(node, bytearray())
                content.extend(bytes(max(0, size - len(content))))
                del content[size:]

        def grown(node: int) -> Any:
            if self.names[node] is None:
                return bytes(files.get(node, b""))
            return {name: grown(below) for name, below in sorted(folders.get(node, {}).items())}

        return grown(0)


def describe(changes: list[tuple[Any, ...]]) -> str:
    """Say what the last change was."""
    if not changes:
        return ""
    kind, *rest = changes[-1]
    return f"({kind} {' '.join(name for _, name, _ in rest) if kind == 'names' else rest[0]})"


def tree_of(path: Path) -> Tree:
    """Return all that is in a folder."""
    return {each.name: tree_of(each) if each.is_dir() else each.read_bytes() for each in sorted(path.iterdir())}


def lay(tree: Tree, path: Path) -> Path:
    """Write a tree to where nothing is yet; return the path."""
    path.mkdir(parents=True)
    for name, content in tree.items():
        if isinstance(content, bytes):
            (path / name).write_bytes(content)
        else:
            lay(content, path / name)
    return path


_starting = threading.Lock()  # multiprocessing asks for the end of a process once: not from two threads at a time


def start(work: Callable[..., None], *args: Any) -> multiprocessing.process.BaseProcess:
    """Begin some work in a process of its own: forked from one that has imported all, where there is such a thing."""
    if str(ROOT) not in sys.path:
        sys.path.append(str(ROOT))  # there the new process looks for `work`
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload(["__main__", *PRELOADED, *(["pytest"] if "pytest" in sys.modules else [])])
    process = context.Process(target=_do, args=(work, *args), daemon=True)
    with _starting, mock.patch.dict(os.environ, {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}):
        process.start()
    return process


def wait(process: multiprocessing.process.BaseProcess, seconds: float = 120) -> int | None:
    """Return what a process ended with: 0, KILLED, or what else; None if it goes on after so many seconds."""
    if not multiprocessing.connection.wait([process.sentinel], seconds):
        return None
    with _starting:
        process.join()
        return process.exitcode


def call(work: Callable[..., None], *args: Any, seconds: float = 120) -> int:
    """Do some work in a process of its own; return what it ended with."""
    code = wait(process := start(work, *args), seconds)
    if code is None:
        process.kill()
        wait(process)
        raise TimeoutError(f"{work.__name__} was not done after {seconds} seconds")
    return code


def _do(work: Callable[..., None], *args: Any) -> None:
    import torch

    torch.set_num_threads(1)
    work(*args)


# Small runs, to be killed. Each lasts some tenths of a second.

WORDS = "the old reed hums low and no one hears ನದಿ ದಡದ ಹಕ್ಕಿ ಹಾಡು "
_MODEL = {"model.n_layer": 1, "model.n_embd": 8, "model.n_head": 2, "model.block_size": 8, "model.dropout": 0.1}
_RECIPE = {"recipe.batch_size": 4, "recipe.accumulate": 2, "recipe.learning_rate": 0.01, "recipe.schedule": "cosine"}
_SMALL = _MODEL | _RECIPE | {"recipe.evaluate_on": 64, "recipe.sample_length": 5}
_HASTY = {"recipe.learning_rate": 3.0, "recipe.schedule": "constant", "recipe.early_stop": 2}
_TRAINED = {"recipe.optimizer": "muon", "recipe.average": 0.9, "recipe.weight_decay": 0.1, "recipe.hold": 0.4}
_TRAINED |= {"recipe.decay_schedule": "linear", "recipe.length_warmup": 0.7}
VARIANTS: dict[str, dict[str, Any]] = {
    "accumulation and dropout": _SMALL | {"recipe.steps": 4, "recipe.evaluate_every": 2},
    "early stop": _SMALL | _HASTY | {"recipe.steps": 9, "recipe.evaluate_every": 1},
    "minutes": _SMALL | {"recipe.minutes": 0.01},
    "Muon, average, short windows": _SMALL | _TRAINED | {"recipe.steps": 6, "recipe.evaluate_every": 3},
    "bpe": _SMALL | {"recipe.steps": 3, "recipe.evaluate_every": 2, "text.tokenizer": "bpe", "text.vocab_size": 300},
}


def hasten(patch: Callable[[object, str, object], object] = setattr) -> None:
    """Leave out what takes time and is not what is to be proved.

    Nobody waits for the disk: a process that is killed leaves all that it wrote. The pictures are written as ever, with
    nothing in them. Minutes are some steps, however many would fit.
    """
    from matplotlib.figure import Figure

    from hornbook import api
    from hornbook.runs import picture

    patch(os, "fsync", lambda descriptor: None)
    patch(picture, "_paint", lambda figure, *lines: None)
    patch(Figure, "savefig", lambda figure, file, **options: file.write(b"a picture"))
    patch(api, "fit_steps", lambda task, minutes: 6)


def work_on(place: Path, settings: dict[str, Any], save_every: float = 60.0, hasty: bool = True) -> None:
    """Do what a user does until the run is done: begin it, or go on with it where it has begun.

    All that is read and written lies in `place`: the text, the cache, the run. `save_every` is in seconds.
    """
    from hornbook import api
    from hornbook.training import loop

    loop.SAVE_EVERY = save_every
    if hasty:
        hasten()
    os.environ["HORNBOOK_CACHE"] = str(place / "cache")
    if (place / "run" / "config.json").exists():
        api.resume(place / "run", progress=None)
    else:
        api.train(place / "text.txt", "small", out=place / "run", settings=settings, progress=None)


def work_to_config(place: Path, settings: dict[str, Any]) -> None:
    """Begin a run, and leave it when it has begun: when all is written that it is a function of."""
    from hornbook import api

    def leave(task: object, folder: object, progress: object) -> None:
        raise KeyboardInterrupt

    with mock.patch.object(api, "fit", leave), suppress(KeyboardInterrupt):
        work_on(place, settings)


def work_until(
    place: Path, settings: dict[str, Any], save_every: float, fault: tuple[Any, ...], files: Collection[str]
) -> None:
    """Do the same under a shim that kills at an operation: `fault` are the arguments of `killing`."""
    hasten()
    shim = Shim(place, killing(*fault))
    with shim():
        shim.follow(files)
        work_on(place, settings, save_every, hasty=False)


def ending(run: Path) -> dict[str, bytes]:
    """Return what must not depend on whether a run was killed: the log, the samples, losses and checkpoints."""
    files = [run / "log.jsonl", run / "samples.txt", run / "loss.csv", *run.glob("checkpoints/step-*/*")]
    return {file.relative_to(run).as_posix(): file.read_bytes() for file in files}
