"""A training, ready to go: its model, its text, its recipe; its batches, and how it is looked at."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from hornbook import chance
from hornbook.errors import DivergedError
from hornbook.generation.sampling import Sampling
from hornbook.generation.streaming import complete
from hornbook.text import batches
from hornbook.text.shards import Shards
from hornbook.training.evaluate import evaluate, random_batches
from hornbook.training.recipe import Recipe
from hornbook.training.schedule import batch_shape


def check_finite(value: float, what: str, step: int) -> None:
    """Raise `DivergedError` for a figure that is no number any more."""
    if not math.isfinite(value):
        raise DivergedError(
            f"the {what} became {value} at step {step}; the newest checkpoint is from before. Try a lower "
            "recipe.learning_rate or more recipe.warmup in a new run."
        )


@dataclass(frozen=True)
class Task:
    """All that a training is a function of, and the model that it changes."""

    model: nn.Module
    block_size: int
    shards: Shards
    recipe: Recipe
    steps: int
    seed: int
    dtype: str
    landmarks: Mapping[str, float] = field(default_factory=dict)
    """losses to compare with, by name; they are only shown"""

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Return inputs and targets of update `step`, (B, T) each."""
        ids, (B, T) = self.shards.train, batch_shape(step, self.steps, self.block_size, self.recipe)
        starts = batches.starts(len(ids), T, self.seed, step, range(B))
        inputs, targets = (torch.from_numpy(x) for x in batches.batch(ids, starts, T))
        if self.device.type == "cuda":  # from pinned memory the copy runs beside the computation
            inputs, targets = inputs.pin_memory(), targets.pin_memory()
        return inputs.to(self.device, non_blocking=True), targets.to(self.device, non_blocking=True)

    def look(self, step: int) -> list[dict[str, Any]]:
        """Evaluate and draw a sample: the lines that go into the log."""
        recipe, tokenizer = self.recipe, self.shards.tokenizer
        record: dict[str, Any] = {"step": step}
        as_much = min(recipe.evaluate_on, len(self.shards.val) - 1)  # of both, so that the gap means something
        for name, ids in (("train", self.shards.train), ("val", self.shards.val)):
            score = evaluate(self.model, ids, self.block_size, tokenizer, at_most=as_much, dtype=self.dtype)
            check_finite(score.loss, f"{name} loss", step)
            record |= {f"{name}_loss": score.nats_per_character, f"{name}_slice": score.units}
            if recipe.random_batches:
                n, rows = recipe.random_batches, recipe.batch_size
                loss = random_batches(self.model, ids, self.block_size, rows, n, self.seed, self.dtype)
                record[f"{name}_loss_random_batches"] = loss
        return [record, {"step": step, "sample": self.sample(step)}]

    def sample(self, step: int) -> str:
        """Draw the sample of an evaluation."""
        (text,) = complete(
            self.model,
            self.shards.tokenizer,
            "",
            block_size=self.block_size,
            tokens=self.recipe.sample_length,
            sampling=Sampling(temperature=0.8),
            seed=chance.key(self.seed, "sample", step),
        )
        return text
