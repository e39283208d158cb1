"""Pairs of neighbours: what a bigram table knows, put into the embedding, so that the blocks need not learn it.

Shapes: B batch, T time, C channels, V vocabulary.
"""

import torch
from torch import Tensor, nn

from hornbook import chance
from hornbook.model.cache import Cache
from hornbook.model.config import MOST_ROWS, ModelConfig


class Pairs(nn.Module):
    """Add a vector that is learned for each unit and the one before it, V × V of them; row 0 is for the first unit."""

    def __init__(self, config: ModelConfig, rows: int) -> None:
        super().__init__()
        self.V, self.rows = config.vocab_size, rows
        self.table = nn.Embedding(1 + rows, config.n_embd)

    def row(self, before: Tensor, ids: Tensor) -> Tensor:
        """Number the pairs: (B, T) and (B, T) -> (B, T), from 0."""
        return before * self.V + ids

    def forward(self, x: Tensor, ids: Tensor, cache: Cache) -> Tensor:
        """x (B, T, C), the embedding of ids (B, T) -> (B, T, C)."""
        before = cache.before(ids)  # (B, T), -1 where nothing stands before
        return x + self.table(torch.where(before < 0, 0, 1 + self.row(before, ids)))


class HashedPairs(Pairs):
    """The same for a larger vocabulary: pairs share the rows, by a hash (Svenstrup 2017)."""

    def row(self, before: Tensor, ids: Tensor) -> Tensor:
        """Number the pairs: (B, T) and (B, T) -> (B, T), from 0."""
        return chance.bits_array(before.int(), ids.int()) % self.rows


def make_pairs(config: ModelConfig, site: str) -> Pairs:
    """Give each pair a row of its own while there is room for all."""
    return HashedPairs(config, MOST_ROWS - 1) if config.shares_pairs else Pairs(config, config.vocab_size**2)
