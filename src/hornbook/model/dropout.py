"""Dropout: while training, a share of the units is silent, so that none is relied on alone (Srivastava 2014).

Which ones is a function of (seed, step, site, row, place in the row), by the hash in `chance.py`. So the same units
drop out when heads are computed one by one or all at once, and when a batch is cut into smaller ones.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from hornbook import chance
from hornbook.errors import UsageError


class Dropout(nn.Module):
    """Set a share `p` of the units to zero and scale the rest by 1 / (1 - p); in evaluation, nothing.

    `site` names the place in the model that this dropout belongs to. `Clock` says which step it is: in a tensor, not in
    two numbers, so that a compiled step stays compiled.
    """

    clock: Tensor

    def __init__(self, p: float, site: str) -> None:
        super().__init__()
        self.p, self.site, self.key = p, site, chance.key(site)
        self.register_buffer("clock", torch.zeros(2, dtype=torch.int32), persistent=False)  # [key, first row]
        self.told = False  # whether a `Clock` ever said what step it is

    def dropped(self, x: Tensor, head: int) -> Tensor:
        """Say which units of x (B, …) are silent: bool (B, …)."""
        key, first_row = self.clock
        rows = torch.arange(len(x), dtype=torch.int32, device=x.device) + first_row
        size = x[0].numel()
        places = torch.arange(head * size, (head + 1) * size, dtype=torch.int32, device=x.device)
        bits = chance.bits_array(chance.bits_array(key, rows)[:, None], places).view(x.shape)
        return bits < min(round(self.p * 2**32), 2**32 - 1) - 2**31  # the bits are signed: the smallest is -2**31

    def forward(self, x: Tensor, head: int = 0) -> Tensor:
        """Drop units of x (B, …). Where x is one head of a layer's, `head` says which: all share one site."""
        if not (self.training and self.p > 0):
            return x
        if not self.told:
            raise UsageError(
                f"the dropout at {self.site!r} was never told what step it is: before each step of training, call "
                "clock.set(step) of a clock = Clock(model.modules(), seed)."
            )
        return x.masked_fill(self.dropped(x, head), 0) / (1 - self.p)

    def extra_repr(self) -> str:
        """Show the rate and the site."""
        return f"p={self.p}, site={self.site!r}"


class Clock:
    """Tells all the dropouts of a model what step it is, and which row of the whole batch comes first."""

    def __init__(self, parts: Iterable[nn.Module], seed: int) -> None:
        self.seed = seed
        self.dropouts = [part for part in parts if isinstance(part, Dropout) and part.p > 0]
        if self.dropouts:  # one tensor, of which each dropout has a row: a step is told in one copy
            self.times = torch.zeros(len(self.dropouts), 2, dtype=torch.int32, device=self.dropouts[0].clock.device)
            for dropout, time in zip(self.dropouts, self.times, strict=True):
                dropout.clock = time

    def set(self, step: int, row: int = 0) -> None:
        """Turn to `step`, for a batch whose first row is number `row` of the whole batch.

        A GPU is told so few numbers that nothing has to wait for it.
        """
        if self.dropouts:
            key = chance.key(self.seed, "dropout", step)
            numbers = [[chance.signed(chance.mix(key ^ each.key)), row] for each in self.dropouts]
            self.times.copy_(torch.tensor(numbers, dtype=torch.int32), non_blocking=self.times.is_cuda)
            for dropout in self.dropouts:
                dropout.told = True
