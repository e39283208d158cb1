"""How good a model is: its surprise at text that it was not trained on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hornbook.errors import UsageError
from hornbook.generation.generator import evaluating
from hornbook.text import batches
from hornbook.text.tokenizer import Tokenizer
from hornbook.training.step import number_format

UNITS_AT_ONCE = 16_384  # a batch of an evaluation: enough to be quick, not enough to need much memory


@dataclass(frozen=True)
class Score:
    """What an evaluation found."""

    loss: float
    """nats for each predicted unit"""
    units: int
    """how many units were predicted"""
    characters: int
    """the characters in them"""
    bytes: int
    """the bytes of those in UTF-8"""
    unknown: int = 0
    """how many of the units are the one for all that the vocabulary lacks, which counts as one character"""

    @property
    def nats_per_character(self) -> float:
        """What tokenizers can be compared by; the same as the loss where each unit is a character."""
        return self.loss * self.units / self.characters

    @property
    def bits_per_character(self) -> float:
        """The same in bits."""
        return self.nats_per_character / math.log(2)

    @property
    def bits_per_byte(self) -> float:
        """Bits for each byte of UTF-8: what scripts can be compared by."""
        return self.loss * self.units / self.bytes / math.log(2)

    def to_json(self) -> dict[str, Any]:
        """Return the figures under the names that `hornbook evaluate --json` uses."""
        return {
            "val_loss": self.nats_per_character,
            "nats_per_unit": self.loss,
            "bits_per_character": self.bits_per_character,
            "bits_per_byte": self.bits_per_byte,
            "units": self.units,
            "characters": self.characters,
            "bytes": self.bytes,
            "unknown": self.unknown,
        }


def _loss(model: nn.Module, inputs: np.ndarray, targets: np.ndarray, dtype: str) -> float:
    """Return the mean loss of one batch, inputs and targets (B, T), the model in evaluation."""
    device = next(model.parameters()).device
    x, y = torch.from_numpy(inputs).to(device), torch.from_numpy(targets).to(device)
    with evaluating(model), number_format(dtype, device)():
        loss: Tensor = model.loss(model.hidden(x), model.head, y)  # type: ignore[operator]
    return loss.item()


def evaluate(
    model: nn.Module,
    ids: np.ndarray,
    block_size: int,
    tokenizer: Tokenizer,
    *,
    at_most: int | None = None,
    dtype: str = "float32",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Score:
    """Score a text exactly: in windows that don't overlap, every unit but the first predicted once.

    With `at_most`, only evenly spaced windows of that many units in all: a fixed slice, the same each time.
    Nothing in it is by chance.
    """
    windows = batches.evaluation_windows(len(ids), block_size, at_most)

    def rows() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        whole = windows[windows + block_size < len(ids)]
        for group in np.array_split(whole, math.ceil(len(whole) * block_size / UNITS_AT_ONCE) or 1):
            if len(group):
                yield batches.batch(ids, group, block_size)
        for start in windows[len(whole) :]:  # the last window, where it is shorter
            yield batches.batch(ids, np.array([start]), len(ids) - 1 - int(start))

    total, units, characters, size, unknown = 0.0, 0, 0, 0, 0
    expected = min(len(ids) - 1, len(windows) * block_size)
    for inputs, targets in rows():
        total += _loss(model, inputs, targets, dtype) * targets.size
        units += targets.size
        characters += int(tokenizer.unit_characters[targets].sum())
        size += int(tokenizer.unit_bytes[targets].sum())
        unknown += int((targets == tokenizer.own).sum()) if tokenizer.rare == "unknown" else 0
        progress(units, expected)
    if not characters:
        raise UsageError("the text has no whole character to predict here; use a longer text.")
    return Score(total / units, units, characters, size, unknown)


def check_comparable(tokenizer: Tokenizer) -> None:
    """Raise `UsageError` unless a loss a unit is a loss a character: of other units it compares with nothing."""
    if tokenizer.name != "characters":
        raise UsageError(
            f"the mean of random batches is a loss a unit, and a unit here is one of the {tokenizer.name}: it can't be "
            "compared with others' losses a character; leave it out (recipe.random_batches=0), and compare by bits a "
            "character or a byte."
        )


def random_batches(
    model: nn.Module, ids: np.ndarray, block_size: int, batch_size: int, n: int, seed: int, dtype: str = "float32"
) -> float:
    """Return the mean loss of n random batches, the field's usual estimate: noisy, and some text counts twice."""
    total = 0.0
    for i in range(n):
        starts = batches.starts(len(ids), block_size, seed, i, range(batch_size), purpose="random batches")
        total += _loss(model, *batches.batch(ids, starts, block_size), dtype)
    return total / n
