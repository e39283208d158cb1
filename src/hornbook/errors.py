"""The one kind of error that is the user's to mend, and the words that help with it."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

ODD = re.compile(
    "[\\x00-\\x1f\\x7f-\\x9f\\u061c\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff\\ud800-\\udfff]"
)

LONGEST = 1_000  # characters of a message
NO_MEMORY = ("out of memory", "not enough memory", "can't allocate memory", "bad_alloc")  # torch's own words


class UsageError(ValueError):
    """Something asked for cannot be had.

    The message is one line for the person at the keyboard: what was wrong, where, and what to do. The command
    line prints it without a traceback and exits with 2; from Python it is a `ValueError`.
    """

    def __str__(self) -> str:
        return one_line(super().__str__())


class DivergedError(UsageError):
    """A training whose figures are no numbers any more."""


def one_line(message: str) -> str:
    """Return a message as it is shown: printable, and a long one without its middle."""
    line = printable(message)
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 300]} … {line[-297:]}"


def printable(line: str) -> str:
    """Return a line that shows what is in it: what would break, hide or turn around the rest is an escape.

    Such are control characters, marks of direction, and halves of surrogate pairs; joiners belong to letters, and stay.
    """
    return ODD.sub(lambda found: ascii(found[0])[1:-1], line)


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a hint for a name that does not exist: the nearest known one, or all of them."""
    names = sorted(known)
    close = get_close_matches(word[:80], names, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}."


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error, which may be one of torch's, is about memory that there is not."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in NO_MEMORY)
