"""1. The bigram: a table of what follows what.

Row i of the table holds a score for every unit that may come after unit i. That is a whole language model: it
looks one unit back. Shapes: B batch, T time, V vocabulary, R rank.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hornbook.model.cache import NO_CACHE, Cache


class NextUnit(nn.Module):
    """The loss: how surprised the model is, on average, by the unit that came next. In nats."""

    def forward(self, hidden: Tensor, head: nn.Module, targets: Tensor) -> Tensor:
        """Return the mean of -log(the probability given to the target); `targets` (B, T) -> ()."""
        logits = head(hidden)  # (B, T, V)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))  # bfloat16 is too coarse for a sum
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


class ThinTable(nn.Module):
    """V × V scores out of two tables of V × R: for a vocabulary of thousands, whose square is too much to learn.

    A unit's score after another is the product of their two rows: a table of rank R (Eckart, Young 1936).
    """

    def __init__(self, vocab_size: int, rank: int = 64) -> None:
        super().__init__()
        self.before, self.after = (nn.Embedding(vocab_size, rank) for _ in range(2))

    def forward(self, ids: Tensor) -> Tensor:
        """Score what may follow each unit: ids (B, T) -> (B, T, V)."""
        before = self.before(ids)  # (B, T, R)
        return before @ self.after.weight.T / math.sqrt(before.shape[-1])  # of R products, kept as large as one


class Bigram(nn.Module):
    """Predict the next unit from the one before it, with one table of V × V scores.

    Three parts that stand by themselves, as in every model here: `hidden(ids)`, `head(hidden)` and
    `loss(hidden, head, targets)`; `model(ids)` is the first two.
    """

    def __init__(self, table: nn.Module, loss: nn.Module) -> None:
        super().__init__()
        self.table, self.loss = table, loss
        self.head = nn.Identity()  # the table's rows are logits already

    def hidden(self, ids: Tensor, cache: Cache = NO_CACHE) -> Tensor:
        """Look each unit's row up: ids (B, T) -> (B, T, V).

        A cache keeps what was computed before, for generating (`cache.py`); this model needs nothing from it.
        """
        cache.advance(ids)
        return self.table(ids)

    def forward(self, ids: Tensor, cache: Cache = NO_CACHE) -> Tensor:
        """Return the logits of the unit after each: ids (B, T) -> (B, T, V)."""
        return self.head(self.hidden(ids, cache))
