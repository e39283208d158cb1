"""The one kind of error that is the user's to mend, and the words that help with it."""

from collections.abc import Iterable
from difflib import get_close_matches


class UsageError(ValueError):
    """Something asked for cannot be had.

    The message is one line for the person at the keyboard: what was wrong, where, and what to do. The command
    line prints it without a traceback and exits with 2; from Python it is a `ValueError`.
    """


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a hint for a name that does not exist: the nearest known one, or all of them."""
    names = sorted(known)
    close = get_close_matches(word, names, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}."
