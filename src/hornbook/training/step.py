"""One training step: forward, backward, clip, update."""

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from hornbook.model.dropout import Clock
from hornbook.training.averaging import Average
from hornbook.training.devices import can_compile
from hornbook.training.recipe import Recipe
from hornbook.training.schedule import learning_rate, weight_decay_at


def number_format(dtype: str, device: torch.device) -> Callable[[], contextlib.AbstractContextManager[Any]]:
    """Return what to compute in: a context in which matrix products are in bfloat16, or one that changes nothing."""
    if dtype == "bfloat16":
        return lambda: torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext


class TrainStep:
    """Update a model once with one batch. Calling it is a pure function of (weights, memory, batch, seed, step)."""

    def __init__(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, recipe: Recipe, steps: int, seed: int, dtype: str
    ) -> None:
        self.model, self.optimizer, self.recipe, self.steps = model, optimizer, recipe, steps
        self.weights = list(model.parameters())
        self.average = Average(self.weights if recipe.average else [], recipe.average)
        device = self.weights[0].device
        self.format = number_format(dtype, device)
        if can_compile(device):
            self.loss_of = torch.compile(self.loss_of)  # type: ignore[method-assign]
        self.clock = Clock(model.modules(), seed)

    def loss_of(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of inputs and targets (B, T); on a GPU, compiled."""
        return self.model.loss(self.model.hidden(inputs), self.model.head, targets)  # type: ignore[operator]

    def __call__(self, step: int, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Make update `step` (from 1 on) with inputs and targets (B, T); return the loss and the gradient's norm."""
        n = self.recipe.accumulate
        total = torch.zeros((), device=inputs.device)
        for i, (x, y) in enumerate(zip(inputs.chunk(n), targets.chunk(n), strict=True)):
            self.clock.set(step, row=i * len(x))
            with self.format():
                loss = self.loss_of(x, y) / n
            loss.backward()
            total += loss.detach()
        norm = torch.nn.utils.clip_grad_norm_(self.weights, self.recipe.clip or float("inf"))
        for group in self.optimizer.param_groups:
            rate = learning_rate(step, self.steps, self.recipe)
            group["lr"] = rate * group["times"] if self.recipe.optimizer == "muon" else rate
            if self.recipe.decay_schedule != "constant" and group["weight_decay"]:
                group["weight_decay"] = weight_decay_at(step, self.steps, self.recipe)
        self.optimizer.step()
        if self.recipe.average:
            self.average.update(step)
        self.optimizer.zero_grad()
        return total, norm
