"""One unit after another: read what there is, predict the next, draw it, and hand it over at once.

A model looks at most block_size units back. When that many have been read, the older half is forgotten, and the
newer half is read again as if a text began there. That is the same for every kind of position: the learned ones
have no vector beyond block_size; sinusoids and turns could go on, but the model was never trained there; without
any, it still never saw so many units at once. A bigram looks one unit back and sees no difference.
Shapes: B batch (one row a sample), T time, V vocabulary.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from hornbook import chance
from hornbook.errors import UsageError
from hornbook.generation.sampling import Sampling, check_whole, draw, probabilities
from hornbook.model.cache import Cache

MOST_SAMPLES = 1 << 16


def window_start(n: int, block_size: int) -> int:
    """Return the first unit that the prediction of unit n sees; it sees that one to unit n - 1, at most block_size.

    The start moves by half a block at a time, so that each unit is read about twice in all, not n times.
    """
    half = (block_size + 1) // 2
    return -(-max(0, n - block_size) // half) * half  # rounded up


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Compute as when evaluating, without dropout or gradients; each part is put back in the mode that it was in."""
    training = [part for part in model.modules() if part.training]
    for part in training:
        part.training = False
    try:
        with torch.inference_mode():
            yield
    finally:
        for part in training:
            part.training = True


def quicken(model: nn.Module) -> None:
    """Lay every linear's matrix out by columns in memory: the same numbers, read faster by one row times a matrix.

    For a model that will only generate, on a CPU: saving it, training it and twins of its parts want rows.
    """
    for part in model.modules():
        if isinstance(part, nn.Linear):
            part.weight.data = part.weight.data.t().contiguous().t()


def predict(model: Any, ids: Tensor, block_size: int) -> Tensor:
    """Return the logits of the unit after ids (B, n): (B, V), from the window that `window_start` leaves."""
    window = ids[:, window_start(ids.shape[1], block_size) :]
    return model.head(model.hidden(window)[:, -1])  # (B, V)


class PlainReader:
    """Reads a text as it grows, its window anew for each unit: what `Reader` is held to."""

    def __init__(self, model: Any, block_size: int) -> None:
        self.model = model
        self.block_size = block_size
        self._ids: Tensor | None = None  # (B, n)

    def read(self, ids: Tensor) -> Tensor:
        """Read the next units, ids (B, T) with T at least 1; return the logits of the one after them (B, V)."""
        self._ids = ids if self._ids is None else torch.cat([self._ids, ids], dim=1)
        with evaluating(self.model):
            return predict(self.model, self._ids, self.block_size)

    @property
    def window(self) -> Tensor | None:
        """What the newest logits were computed from (B, T)."""
        return None if self._ids is None else self._ids[:, window_start(self._ids.shape[1], self.block_size) :]


class Reader:
    """Reads a text as it grows: the same as `PlainReader`, but a unit's keys and values are computed once a window."""

    def __init__(self, model: Any, block_size: int) -> None:
        self.model = model
        self.block_size = block_size
        self.start = self.end = 0
        self.window: Tensor | None = None  # what the newest logits were computed from (B, end - start)
        self._cache = Cache(block_size)

    def read(self, ids: Tensor) -> Tensor:
        """Read the next units, ids (B, T) with T at least 1; return the logits of the one after them (B, V)."""
        window = ids if self.window is None else torch.cat([self.window, ids], dim=1)
        self.end += ids.shape[1]
        if (start := window_start(self.end, self.block_size)) > self.start:
            window = window[:, start - self.start :]
            self.start = start
            self._cache = Cache(self.block_size)
        self.window = window
        with evaluating(self.model):
            hidden = self.model.hidden(window[:, self._cache.length :], self._cache)  # (B, T, C)
            return self.model.head(hidden[:, -1])  # (B, V)


def generate(
    model: Any,
    ids: ArrayLike,
    *,
    block_size: int,
    sampling: Sampling = Sampling(),  # noqa: B008  (frozen)
    seed: int = 0,
    samples: int = 1,
    tokens: int | None = None,
    cache: bool = True,
) -> Iterator[NDArray[np.int64]]:
    """Continue `ids` (T,), T at least 1: yield the next unit of each sample, ids (samples,), `tokens` times.

    Without `tokens` it goes on until the caller stops. Sample s draws with numbers of its own, from (seed, s, step):
    it is the same alone as among others, as far as logits of one row and of several are. The model is in evaluation
    only while it computes; between two units it is in the caller's mode. Raises `UsageError`.
    """
    start = np.asarray(ids, dtype=np.int64)
    if start.ndim != 1 or start.size == 0:
        raise UsageError(f"a text to go on from is one row of at least one unit; this has the shape {start.shape}.")
    check_whole("samples", samples, 1, "say how many texts you want")
    if samples > MOST_SAMPLES:
        raise UsageError(f"samples is {samples}; it has to be at most {MOST_SAMPLES:,}: they are drawn side by side.")
    if tokens is not None:
        check_whole("tokens", tokens, 0, "say how many units you want")
    check_whole("seed", seed, 0, "0 is as good as any")
    if seed >= 1 << 64:
        raise UsageError(f"seed is {seed}; it has to be at most 2**64 - 1.")
    reader = (Reader if cache else PlainReader)(model, block_size)
    keys = [chance.key(int(seed), "sample", s) for s in range(samples)]
    return _units(reader, torch.tensor(start).repeat(samples, 1), sampling, keys, tokens)


def _units(
    reader: Reader | PlainReader, ids: Tensor, sampling: Sampling, keys: list[int], tokens: int | None
) -> Iterator[NDArray[np.int64]]:
    device = next(reader.model.parameters()).device
    for step in count() if tokens is None else range(tokens):
        numbers = torch.tensor([chance.uniform(key, step) for key in keys], dtype=torch.float64)  # (B,)
        logits = reader.read(ids.to(device))  # (B, V)
        chosen = draw(probabilities(logits, sampling, reader.window), numbers)  # (B,)
        yield chosen.numpy()
        ids = chosen[:, None]  # (B, 1)
