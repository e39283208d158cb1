"""5. The whole GPT: embed, add the position, go through the blocks, norm, and score every unit.

Unlike one block, many of them stand on one another, between an embedding that turns units into vectors and a head
that turns vectors into scores (Radford 2018 and 2019). Shapes: B batch, T time, C channels, V vocabulary.
"""

from collections.abc import Iterable

from torch import Tensor, nn

from hornbook.model.cache import NO_CACHE, Cache


class GPT(nn.Module):
    """A decoder-only transformer, put together from ready parts (`build.py` makes them from a config)."""

    def __init__(
        self,
        tokens: nn.Embedding,
        pairs: nn.Module,
        positions: nn.Module,
        dropout: nn.Module,
        blocks: Iterable[nn.Module],
        norm: nn.Module,
        head: nn.Linear,
        loss: nn.Module,
    ) -> None:
        super().__init__()
        self.tokens, self.pairs, self.positions, self.dropout = tokens, pairs, positions, dropout
        self.blocks = nn.ModuleList(blocks)
        self.norm, self.head, self.loss = norm, head, loss

    def hidden(self, ids: Tensor, cache: Cache = NO_CACHE) -> Tensor:
        """Turn each unit into a vector that knows what came before it: ids (B, T) -> (B, T, C).

        With a cache, `ids` are the units that come after those already in it.
        """
        x = self.pairs(self.tokens(ids), ids, cache)  # (B, T, C)
        x = self.dropout(self.positions(x, cache.length))  # (B, T, C)
        for block in self.blocks:
            x = block(x, cache.reading(ids))  # (B, T, C)
        cache.advance(ids)
        return self.norm(x)  # (B, T, C)

    def forward(self, ids: Tensor, cache: Cache = NO_CACHE) -> Tensor:
        """Return the logits of the unit after each: ids (B, T) -> (B, T, V)."""
        return self.head(self.hidden(ids, cache))  # (B, T, V)


class CappedLinear(nn.Linear):
    """A head whose scores stay between -15 and 15: none can run away from the others (Bello 2016; Gemma 2, 2024)."""

    cap = 15.0

    def forward(self, x: Tensor) -> Tensor:
        """(…, C) -> (…, V)."""
        return self.cap * (super().forward(x) / self.cap).tanh()
