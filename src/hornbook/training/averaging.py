"""The weights averaged over the steps: the mean of the last ones is better than the very last."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor


class Average:
    """A moving average of weights, in which each step counts `decay` times what the next one does.

    It smooths out what single batches did (Polyak, Juditsky 1992). Of no weights, it does nothing.
    """

    def __init__(self, weights: Sequence[Tensor], decay: float) -> None:
        self.weights, self.decay = weights, decay
        self.means = [weight.detach().clone() for weight in weights]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after update `step`, counted from 1: more of them at first, to forget the first ones."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for mean, weight in zip(self.means, self.weights, strict=True):
            mean.lerp_(weight, 1 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Let the weights and their averages change places."""
        for mean, weight in zip(self.means, self.weights, strict=True):
            trained = weight.clone()
            weight.copy_(mean)
            mean.copy_(trained)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Have the averages in the place of the weights for a while: the model computes with them."""
        self.swap()
        try:
            yield
        finally:
            self.swap()
