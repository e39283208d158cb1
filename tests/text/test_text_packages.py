import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from hornbook.text import packages
from hornbook.text.packages import WHEELS, Package, PackageError, downloaded

ONE, TWO = Package("some.Words", "1.2", "a" * 64), Package("others", "3", "b" * 64)
MISMATCH = """\
ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. If you have updated them, say so.
    others==3 from https://example.org/others-3-py3-none-any.whl (from -r requirements.txt (line 2)):
        Expected sha256 bbbb
             Got        cccc

"""


@pytest.fixture
def pip(monkeypatch):
    """A pip that does what a test says, and a list of what it was asked: the command, requirements and environment."""
    asked = []

    def install(does):
        def run(command, *, check, env, stdin, stdout, stderr, timeout):
            wanted = Path(command[command.index("-r") + 1])
            asked.append((command, wanted.read_text(encoding="utf-8"), env, timeout))
            does(Path(command[command.index("-d") + 1]), stderr)

        monkeypatch.setattr(subprocess, "run", run)
        return asked

    return install


def fails(said: str):
    def does(folder, stderr):
        stderr.write(said.encode("utf-8"))
        stderr.flush()
        raise subprocess.CalledProcessError(1, "pip")

    return does


def reason(*wanted: Package) -> str:
    with pytest.raises(PackageError) as error, downloaded(wanted):
        pytest.fail("nothing was downloaded")
    return str(error.value)


def test_pip_is_asked_once_for_all_by_their_hashes(pip):
    def brings(folder, stderr):
        for name in ("some_words-1.2-py3-none-any.whl", "others-3.tar.gz"):
            (folder / name).write_bytes(b"x")

    asked = pip(brings)
    with downloaded([ONE, TWO], WHEELS, held="setuptools==1", patience=7) as folder:
        assert sorted(path.name for path in folder.iterdir()) == ["others-3.tar.gz", "some_words-1.2-py3-none-any.whl"]
        assert ONE.file(folder).name == "some_words-1.2-py3-none-any.whl"
        assert TWO.file(folder).name == "others-3.tar.gz"
        (command, wanted, environment, timeout), *rest = asked
        held = folder.parent / "constraints.txt"
        assert held.read_text(encoding="utf-8") == "setuptools==1\n"
        assert environment["PIP_CONSTRAINT"] == environment["PIP_BUILD_CONSTRAINT"] == held.as_uri()
    assert rest == []
    assert timeout == 7
    assert command[:3] == [sys.executable, "-m", "pip"]
    assert command[command.index("--only-binary") + 1] == ":all:"
    assert {"--require-hashes", "--no-deps", "--no-input"} < set(command)
    assert wanted == f"some.Words==1.2 --hash=sha256:{'a' * 64}\nothers==3 --hash=sha256:{'b' * 64}\n"
    assert not folder.parent.exists()


def test_a_package_that_did_not_come_is_named(pip, tmp_path):
    pip(lambda folder, stderr: (folder / "others-30.whl").write_bytes(b""))
    with downloaded([ONE, TWO]) as folder, pytest.raises(PackageError, match=r"^pip did not bring others==3$"):
        TWO.file(folder)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("ERROR: No matching distribution found for others==3\n", "No matching distribution found for others==3"),
        (MISMATCH, "others==3: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. If you have "),
        ("WARNING: Retrying\nERROR: one\nERROR: two ü\nNote: something\n", "two ü"),
        ("Killed\n", "pip failed"),
    ],
)
def test_the_reason_is_pips_own_and_names_the_package(pip, said, why):
    pip(fails(said))
    assert reason(ONE, TWO).startswith(why)
    assert "\n" not in reason(ONE, TWO)


def test_pip_that_takes_too_long(pip):
    def hangs(folder, stderr):
        raise subprocess.TimeoutExpired("pip", 60)

    asked = pip(hangs)
    assert reason(ONE) == "pip took longer than 60 s"
    assert not Path(asked[0][0][-1]).exists()


def test_a_python_that_has_no_pip(monkeypatch, pip):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(packages, "distribution", missing)
    asked = pip(lambda folder, stderr: None)
    assert reason(ONE) == "it comes by pip, which this Python does not have"
    assert asked == []


def test_what_goes_wrong_in_the_block_leaves_nothing_behind(pip):
    asked = pip(lambda folder, stderr: (folder / "others-3.whl").write_bytes(b"x"))
    with pytest.raises(PackageError), downloaded([ONE, TWO]) as folder:
        ONE.file(folder)
    assert not Path(asked[0][0][-1]).parent.exists()
