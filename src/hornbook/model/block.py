"""4. The block: talk, then think.

Unlike bare attention, a block only adds: it reads the residual stream, lets the places talk (attention), lets each
think for itself (the MLP), and adds what comes out to the stream, so that what was there before is never lost and
gradients flow straight through (He 2015). A norm keeps the sizes in hand; it has stood in three places.
Shapes: B batch, T time, C channels.
"""

import torch
from torch import Tensor, nn

from hornbook.model.cache import NO_CACHE, Cache


class Block(nn.Module):
    """The parts of a block. Each order of norm below puts them together in its own way.

    `attention(x, cache)`, `mlp(x)`, the norms and the dropouts all map (B, T, C) to (B, T, C).
    """

    ends_in_norm = False

    def __init__(
        self,
        attention: nn.Module,
        mlp: nn.Module,
        attention_norm: nn.Module,
        mlp_norm: nn.Module,
        attention_dropout: nn.Module,
        mlp_dropout: nn.Module,
    ) -> None:
        super().__init__()
        self.attention, self.mlp = attention, mlp
        self.attention_norm, self.mlp_norm = attention_norm, mlp_norm
        self.attention_dropout, self.mlp_dropout = attention_dropout, mlp_dropout


class PreNorm(Block):
    """x + f(LN(x)): norm what a branch reads; the stream itself is never touched (GPT-2, section 2.3)."""

    def forward(self, x: Tensor, cache: Cache = NO_CACHE) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        x = x + self.attention_dropout(self.attention(self.attention_norm(x), cache))
        return x + self.mlp_dropout(self.mlp(self.mlp_norm(x)))


class BranchNorm(Block):
    """x + LN(f(x)): norm what a branch adds, so that each adds in the same measure."""

    def forward(self, x: Tensor, cache: Cache = NO_CACHE) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        x = x + self.attention_norm(self.attention_dropout(self.attention(x, cache)))
        return x + self.mlp_norm(self.mlp_dropout(self.mlp(x)))


class PostNorm(Block):
    """LN(x + f(x)): norm the stream after each addition (Vaswani 2017, section 3.1)."""

    ends_in_norm = True

    def forward(self, x: Tensor, cache: Cache = NO_CACHE) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        x = self.attention_norm(x + self.attention_dropout(self.attention(x, cache)))
        return self.mlp_norm(x + self.mlp_dropout(self.mlp(x)))


class Plain(Block):
    """f(LN(x)): no stream; each part hands on only what it made. What the first rungs use, and what goes wrong deep."""

    def forward(self, x: Tensor, cache: Cache = NO_CACHE) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        x = self.attention_dropout(self.attention(self.attention_norm(x), cache))
        return self.mlp_dropout(self.mlp(self.mlp_norm(x)))


class Unchanged(nn.Identity):
    """An absent part, whatever it is told beside x: it hands x on."""

    def forward(self, x: Tensor, *_: object) -> Tensor:
        """Return x as it is."""
        return x


def absent(kind: str) -> type[nn.Module]:
    """Find no part of any kind: what an attention that stands by itself is made with."""
    return Unchanged


class Nothing(nn.Module):
    """An absent branch: it adds zero to the stream."""

    def forward(self, x: Tensor, cache: Cache = NO_CACHE) -> Tensor:
        """(B, T, C) -> zeros (B, T, C)."""
        return torch.zeros_like(x)
