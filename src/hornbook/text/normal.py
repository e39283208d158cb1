"""Normal forms: one spelling where Unicode has several for the same text (UAX #15), if it is asked for."""

import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import accumulate
from typing import Literal, cast, get_args

import regex

from hornbook.errors import UsageError

Form = Literal["NFC", "NFD"]
MANY_MARKS = regex.compile(r"\p{M}{64,}")


def check_form(form: str) -> None:
    """Raise UsageError unless this is "", "NFC" or "NFD"."""
    if form not in ("", *get_args(Form)):
        raise UsageError(f"no normal form is called {form[:40]!r}; there are NFC and NFD, and '' for text as it is")


def normalised(chunks: Iterable[str], form: str) -> Iterator[str]:
    """Return the text of the chunks in a normal form, or as it is if the form is "".

    Joined, the pieces are what the whole text would become: what may still join or change places with what comes is
    held back. That is a letter and its marks, however many. Raises UsageError for a form that there is not.
    """
    check_form(form)
    return _normalised(chunks, cast(Form, form)) if form else iter(chunks)


def _normalised(chunks: Iterable[str], form: Form) -> Iterator[str]:
    held: list[str] = []
    for chunk in chunks:
        cut = next((i for i in range(len(chunk) - 1, -1, -1) if _stands_alone(chunk[i])), -1)
        if cut >= 0:
            yield _whole("".join([*held, chunk[:cut]]), form)
            held.clear()
        held.append(chunk[max(cut, 0) :])
    yield _whole("".join(held), form)


def _whole(text: str, form: Form) -> str:
    return unicodedata.normalize(form, MANY_MARKS.sub(_in_order, text))


def _in_order(run: regex.Match[str]) -> str:
    """Put marks in the order of their classes, as `normalize` would, which takes time by the square of their number."""
    marks = [mark for each in run[0] for mark in unicodedata.normalize("NFD", each)]
    classes = [unicodedata.combining(mark) for mark in marks]
    stays = accumulate(not each for each in classes)  # what has class 0 keeps its place, and what follows stays behind
    return "".join(mark for _, _, mark in sorted(zip(stays, classes, marks, strict=True), key=lambda each: each[:2]))


@cache
def _stands_alone(character: str) -> bool:
    """Say whether a character neither joins what stands before it nor changes places with that, in either form."""
    first = unicodedata.normalize("NFD", character)[0]
    return not unicodedata.combining(first) and first not in _joining()


@cache
def _joining() -> frozenset[str]:
    """What can join what stands before it: the second characters of all pairs, and Hangul's vowels and finals."""
    pairs = (unicodedata.decomposition(chr(i)).split() for i in range(0x110000))
    seconds = (chr(int(pair[1], 16)) for pair in pairs if len(pair) == 2 and pair[0][0] != "<")
    return frozenset({*seconds, *map(chr, range(0x1161, 0x1176)), *map(chr, range(0x11A8, 0x11C3))})
