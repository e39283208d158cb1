"""Kannada out of well-kept packages: names, what programs say to people, and one declaration.

Packages hold little of it. What they hold is read in memory out of wheels that pip has checked by their hashes, and
nothing in them is run. A line is taken as it stands, or not at all.
"""

import hashlib
import pickletools
import re
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from hornbook.text.packages import WHEELS, Package, PackageError, downloaded

SCRIPT = "\u0c80-\u0ce5"  # letters and signs; its digits come after
LETTERS = f"{SCRIPT}\u200c\u200d"  # with the two joiners, which say how letters meet
CLEAN = re.compile(rf"['\"(]?[\u0c85-\u0cb9][{LETTERS} .,:!?'\"()/-]+")  # begins with a letter, not with a sign
PATIENCE = 300.0  # seconds for all the wheels, 48 MB

Reader = Callable[[bytes], Iterable[str]]


@dataclass(frozen=True)
class Origin:
    """Where some Kannada is: the package, its licence, which members (a glob) hold it, and what reads them."""

    package: Package
    licence: str
    members: str
    read: Reader


def pickled(data: bytes) -> list[str]:
    """Return the strings in a pickle: its opcodes are listed, none is carried out."""
    try:
        return [argument for _, argument, _ in pickletools.genops(data) if isinstance(argument, str)]
    except ValueError as error:
        raise PackageError(f"a member is no pickle ({error})") from error


def compiled_messages(data: bytes) -> list[str]:
    """Return the strings in a gettext .mo file, each of which ends in a NUL; its tables come out as nonsense."""
    return data.decode("utf-8", errors="replace").split("\0")


def messages(data: bytes) -> list[str]:
    """Return the translations in a gettext .po file."""
    found = re.findall(r'^msgstr(?:\[\d+\])? "(.*(?:"\n".*)*)"$', data.decode("utf-8", errors="replace"), re.MULTILINE)
    return [text.replace('"\n"', "").replace("\\n", "\n").replace('\\"', '"') for text in found]


def prose(data: bytes) -> list[str]:
    """Return what is Kannada in a text of many languages, a paragraph each: where no space comes after its end."""
    runs = re.findall(f"[{SCRIPT}][{LETTERS} .,;:()-]*", data.decode("utf-8", errors="replace"))
    return [paragraph for run in runs for paragraph in re.split(f"(?<=[.:;])(?=[{SCRIPT}])", run)]


ORIGINS = (
    Origin(
        Package("gftools", "0.10.4", "94d43608b3b21bdeed6a4777079792ce0b914bf41fb1b7b9ea152cf51e509889"),
        "Apache-2.0",
        "gftools/udhr_all.txt",  # the Universal Declaration of Human Rights in many languages
        prose,
    ),
    Origin(
        Package("babel", "2.18.0", "e2b422b277c2b9a9630c1d7903c2a00d0830c409c59ac8cae9081c92f1aeba35"),
        "BSD-3-Clause (CLDR's names: Unicode-3.0)",
        "babel/locale-data/kn.dat",
        pickled,
    ),
    Origin(
        Package("pycountry", "26.2.16", "115c4baf7cceaa30f59a4694d79483c9167dbce7a9de4d3d571c5f3ea77c305a"),
        "LGPL-2.1-only",
        "pycountry/locales/kn/*.mo",
        compiled_messages,
    ),
    Origin(
        Package("holidays", "0.108", "5a08fdccd0b8737093d483ba0d0d9696560396d99d3fa6ef9264fd2ac48749c7"),
        "MIT",
        "holidays/locale/kn/*.mo",
        compiled_messages,
    ),
    Origin(
        Package("horizon", "27.0.0", "8a981dae4fb6626e71553aa185f6e429b0b1efb86b04b0a72c3b18ee04f1f990"),
        "Apache-2.0",
        "openstack_dashboard/locale/kn/*.po",
        messages,
    ),
    Origin(
        Package("plone.app.locales", "7.0.4", "de96a5d0dc1fe5ab540fa6f993805c09da80a9518aa7a309e8cd1f433e3ae6aa"),
        "GPL-2.0-only",
        "plone/app/locales/locales/kn/*.mo",
        compiled_messages,
    ),
    Origin(
        Package("django", "5.2.19", "5965d974a5218a2b68a11dd1276434707f23886525c23f0598eccedaf4f4ca00"),
        "BSD-3-Clause",
        "django/*/locale/kn/*.mo",
        compiled_messages,
    ),
)


def lines(origin: Origin, folder: Path) -> set[str]:
    """Return the lines of an origin that are Kannada throughout: its letters and signs, spaces, plain punctuation.

    What has a placeholder, a tag, a digit or a Latin letter in it is left out.
    """
    try:
        with zipfile.ZipFile(origin.package.file(folder)) as wheel:
            held = [origin.read(wheel.read(name)) for name in wheel.namelist() if fnmatchcase(name, origin.members)]
    except zipfile.BadZipFile as error:
        raise PackageError(f"{origin.package} is damaged ({error})") from error
    found = {line.strip() for strings in held for string in strings for line in string.split("\n")}
    return {line for line in found if CLEAN.fullmatch(line)}


def join(found: Iterable[str]) -> bytes:
    """Return lines as one text, each once, in the order of their hashes: so its end is of the same kind as the rest."""
    whole = {f"{line}\n".encode() for line in found}
    return b"".join(sorted(whole, key=lambda line: hashlib.sha256(line).digest()))


def text() -> bytes:
    """Download the packages and return the Kannada in them. Raises PackageError: all of them, or nothing."""
    with downloaded([origin.package for origin in ORIGINS], WHEELS, patience=PATIENCE) as folder:
        return join(line for origin in ORIGINS for line in lines(origin, folder))
