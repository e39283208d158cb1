"""(seed, step) -> which windows of the ids a training step sees; and which an evaluation sees.

Legend: B rows of a batch, T block_size. A window that starts at s covers T + 1 ids: T inputs, and as targets the
same moved on by one.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from hornbook import chance
from hornbook.errors import UsageError

Int64 = npt.NDArray[np.int64]


def starts(n_ids: int, block_size: int, seed: int, step: int, rows: range, purpose: str = "batch") -> Int64:
    """Return where the windows of these rows of the whole batch at `step` start (len(rows),).

    A row's window depends on (seed, purpose, step, row) alone, so that it stays when the batch is cut up
    differently. Every window that fits is as likely as any other. Raises UsageError if none fits.
    """
    if n_ids <= block_size:
        shorter = f"--set model.block_size={n_ids - 1} or " if n_ids > 1 else ""
        raise UsageError(
            f"the text has {n_ids} ids here, and a window of block_size {block_size} needs {block_size + 1}; "
            f"use {shorter}a longer text"
        )
    key = chance.key(seed, purpose, step)
    return np.array([chance.below(n_ids - block_size, key, row) for row in rows], np.int64)


def batch(ids: npt.NDArray[np.integer[Any]], starts: Int64, block_size: int) -> tuple[Int64, Int64]:
    """Return inputs (B, T) and targets (B, T): the windows of `ids` that start at `starts` (B,)."""
    windows = ids[starts[:, None] + np.arange(block_size + 1)].astype(np.int64)  # (B, T + 1)
    return np.ascontiguousarray(windows[:, :-1]), np.ascontiguousarray(windows[:, 1:])


def evaluation_windows(n_ids: int, block_size: int, at_most: int | None = None) -> Int64:
    """Return where the non-overlapping windows start that predict each id but the first exactly once.

    The window that starts at s has the inputs ids[s:e] and the targets ids[s + 1:e + 1], where
    e = min(s + block_size, n_ids - 1): the last one may be shorter. If `at_most` is fewer ids than there are to
    predict, only evenly spaced whole windows, always the same ones: as many as predict `at_most` ids or fewer
    between them, but at least one.
    """
    if n_ids < 2:
        raise UsageError(f"the text has {n_ids} ids here, and an evaluation needs 2; use a longer text")
    whole = (n_ids - 1) // block_size
    if at_most is None or at_most >= n_ids - 1 or not whole:
        return np.arange(0, n_ids - 1, block_size, dtype=np.int64)
    count = max(1, min(whole, at_most // block_size))
    return np.arange(count, dtype=np.int64) * whole // count * block_size
