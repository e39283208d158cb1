"""What of a text is to train on, and what is held back to validate on.

By position the end of the text validates. Else each line or document goes to one side by a number from (seed, its own
number): the sides don't depend on what else the text holds. What a unit is has no part in it: every tokenizer is
trained, and tested, on the same text.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Literal

import numpy as np
import regex

from hornbook import chance
from hornbook.errors import UsageError
from hornbook.text.aksharas import Aksharas

By = Literal["position", "lines", "documents"]
DEPENDENT = regex.compile(r"[\p{M}\p{Cf}\p{Regional_Indicator}]")  # how they stand depends on more than their neighbour
LINE = re.compile(r"[^\n]*\n|[^\n]+")
Pieces = Iterable[tuple[bool, str]]  # (whether a document begins here, a piece of text)


def check_split(split: float) -> None:
    """Raise UsageError for a share of the text that leaves nothing to train on, or nothing to validate on."""
    if not 0 < split < 1:
        raise UsageError(f"split is {split}, and must lie between 0 and 1: the part of the text to train on")


def ended(pieces: Pieces) -> Iterator[tuple[bool, str]]:
    """Give each document a line end where it has none: else a letter could go on from one to the next."""
    last = "\n"
    for begins, piece in pieces:
        if begins and not last.endswith("\n"):
            yield False, "\n"
        yield begins, piece
        last = piece or last
    if not last.endswith("\n"):
        yield False, "\n"


def cut(pieces: Pieces, at: int) -> tuple[Iterator[str], Iterator[str]]:
    """Return a text that comes in pieces up to its character `at`, and from there: the first is to be read first.

    It is cut a few characters later where a letter, in anybody's sense of it, would come to be in two.
    """
    texts, rest = (text for _, text in pieces), list[str]()

    def first() -> Iterator[str]:
        left, before = at, ""
        for text in texts:
            if len(text) <= left:
                yield text
                left, before = left - len(text), text[-1:]
                continue
            while not (end := _edge(before + text, len(before) + left)) and (more := next(texts, "")):
                text += more
            end = end - len(before) if end else len(text)
            rest.append(text[end:])
            yield text[:end]
            return

    def second() -> Iterator[str]:
        yield from rest
        yield from texts

    return first(), second()


def _edge(text: str, at: int) -> int:
    """Return the first place from `at` on between two characters that never belong together; 0 where there is none."""
    for i in range(max(1, at), len(text)):
        pair = text[i - 1 : i + 1]
        if not DEPENDENT.search(pair) and len(Aksharas.split(pair)) == 2:
            return i
    return 0


def side(pieces: Pieces, by: str, share: float, seed: int, train: bool) -> Iterator[str]:
    """Yield those lines or documents of a text that comes in pieces that are to train on, or those that are not."""
    key, number = chance.signed(chance.key(seed, "split")), -1 if by == "documents" else 0
    for begins, piece in pieces:
        units = LINE.findall(piece) if by == "lines" else [piece]  # the first may go on from the last piece
        number += begins and by == "documents"
        numbers = np.arange(number, number + len(units), dtype=np.int64).astype(np.int32)
        mine = (chance.bits_array(key, numbers).view(np.uint32) < share * (1 << 32)) == train
        yield "".join([unit for unit, is_mine in zip(units, mine.tolist(), strict=True) if is_mine])
        if by == "lines":
            number += piece.count("\n")
