"""What of a text is to train on, and what is held back to validate on, where lines or documents decide.

Each line or document goes to one side by a number from (seed, its own number): the sides don't depend on what else the
text holds. (By position, the end of the text validates: see `shards.py`.)
"""

import re
from collections.abc import Iterable, Iterator
from typing import Literal

import numpy as np

from hornbook import chance
from hornbook.errors import UsageError

By = Literal["position", "lines", "documents"]
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
