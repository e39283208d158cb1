"""The command line, called in this process where it can be and in one of its own where it must be."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hornbook.cli.app import run

WORDS = "to be or not to be that is the question whether tis nobler in the mind to suffer\n"
KANNADA = "ಕನ್ನಡ ಭಾಷೆಯ ಅಕ್ಷರಗಳು ಸುಂದರವಾಗಿವೆ. ನಮ್ಮ ನಾಡು ನಮ್ಮ ನುಡಿ, ಎಲ್ಲರೂ ಓದಲಿ.\n"
TINY = (
    *("--set", "model.n_embd=16", "model.n_layer=1", "model.n_head=2", "model.block_size=16"),
    *("recipe.sample_length=20", "recipe.evaluate_on=500", "recipe.batch_size=4", "recipe.dtype=float32"),
)
TRAIN = ("--steps", "20", *TINY)


class Answer:
    """What a call gave: its exit code, its standard output and its standard error."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def __repr__(self):
        return f"exit code {self.code}\n--- out ---\n{self.out}\n--- err ---\n{self.err}"

    @property
    def json(self):
        """Standard output as the one JSON object that it has to be."""
        value = json.loads(self.out)
        assert isinstance(value, dict), self
        return value


def tree(folder):
    """All that a folder holds: names, and bytes of files."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture(scope="session")
def shelf(tmp_path_factory):
    """A folder with texts and with runs trained on them, made once; nobody changes it."""
    folder = tmp_path_factory.mktemp("shelf")
    (folder / "my.txt").write_text(WORDS * 50, encoding="utf-8")
    (folder / "kn.txt").write_text(KANNADA * 60, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("HORNBOOK_CACHE", str(folder / "cache"))
        assert run(["train", "my.txt", "--out", "run", *TRAIN]) == 0
        assert run(["train", "kn.txt", "--out", "kn", *TRAIN]) == 0
    return folder


@pytest.fixture
def desk(shelf, tmp_path, monkeypatch):
    """A fresh working folder: my.txt, kn.txt, copies of the runs trained on them in `run` and `kn`, an empty `runs`."""
    desk = tmp_path / "desk"
    desk.mkdir()
    for name in ("my.txt", "kn.txt"):
        shutil.copy(shelf / name, desk)
    for name in ("run", "kn"):
        shutil.copytree(shelf / name, desk / name)
    shutil.copytree(shelf / "cache", tmp_path / "cache")
    (desk / "runs").mkdir()
    monkeypatch.chdir(desk)
    monkeypatch.setenv("HORNBOOK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "80")
    return desk


@pytest.fixture
def hornbook(desk, capsys):
    """Call `hornbook WORD …` in this process."""

    def call(*words):
        capsys.readouterr()
        code = run([str(word) for word in words])
        return Answer(code, *capsys.readouterr())

    return call


@pytest.fixture
def refuses(hornbook, desk):
    """Call what can't be done: one line that begins "hornbook: ", exit code 2, and the folder is as it was."""

    def call(*words, says=()):
        before = tree(desk)
        answer = hornbook(*words)
        assert answer.code == 2, answer
        assert answer.err.startswith("hornbook: "), answer
        assert answer.err.endswith("\n"), answer
        assert len(answer.err.splitlines()) == 1, answer
        assert answer.err.isprintable() or answer.err[:-1].isprintable(), answer
        assert "Traceback" not in answer.out + answer.err, answer
        for part in [says] if isinstance(says, str) else says:
            assert part in answer.err, answer
        after = tree(desk)
        assert after.keys() - before.keys() == set(), "left behind"
        assert after == before
        return answer

    return call


def environment(**more):
    """The environment of a process that a user starts: nothing of ours but threads and cache."""
    named = ("PYTHONIOENCODING", "PYTHONUTF8", "PYTHONCOERCECLOCALE", "LC_ALL", "FORCE_COLOR", "NO_COLOR", "PYTHONPATH")
    kept = {name: value for name, value in os.environ.items() if name not in named}
    return {**kept, "OMP_NUM_THREADS": "1", "TERM": "xterm-256color", "LANG": "C.UTF-8", **more}


COMMAND = (sys.executable, "-W", "error", "-m", "hornbook.cli")


@pytest.fixture
def process(desk):
    """Call `hornbook WORD …` in a process of its own, with pipes; the output is bytes."""

    def call(*words, **more):
        done = subprocess.run(
            [*COMMAND, *map(str, words)],
            env=environment(**more),
            capture_output=True,
            timeout=120,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture(scope="session")
def terminal():
    """Call `hornbook WORD …` on a pseudo terminal of 80 columns; the output is the bytes that it was sent."""
    pty = pytest.importorskip("pty", reason="this system has no pseudo terminals")
    import fcntl
    import struct
    import termios

    def call(*words, cwd=None, **more):
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        child = subprocess.Popen(
            [*COMMAND, *map(str, words)],
            env=environment(COLUMNS="80", **more),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=cwd,
        )
        os.close(theirs)
        pieces = []
        try:
            while piece := os.read(ours, 1 << 16):
                pieces.append(piece)
        except OSError:  # how Linux says that the other side has closed
            pass
        finally:
            os.close(ours)
        return Answer(child.wait(60), b"".join(pieces), b"")

    return call


@pytest.fixture
def weights_of():
    """The file with the weights of a run's checkpoint, by step."""

    def find(run_folder, step):
        return Path(run_folder) / "checkpoints" / f"step-{step:08d}" / "weights.safetensors"

    return find
