"""All heads at once: the same attention as `multihead.py`, with the heads as one more dimension.

H small products become one batched product. What happens between queries, keys and values is a core, and there are
two of one shape: one of plain matrix products, where every intermediate can be seen, and PyTorch's fused one.
Shapes: B batch, T time (Tq of the queries, Tk of the keys), C channels, H heads in G groups, D head size.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hornbook.model.block import absent
from hornbook.model.cache import NO_CACHE, Cache
from hornbook.model.config import Find, ModelConfig
from hornbook.model.dropout import Dropout


@dataclass(frozen=True)
class Causal:
    """Query i may look at the keys 0 to i + offset; the offset is how many keys stand before the first query."""

    offset: int = 0


Mask = Causal | Tensor | None
"""Where queries may look: causal, a boolean (Tq, Tk) with True for yes, or everywhere (None)."""


def allowed_keys(mask: Mask, Tq: int, Tk: int, device: torch.device) -> Tensor:
    """Write a mask out as a boolean (Tq, Tk)."""
    if isinstance(mask, Causal):
        return torch.ones(Tq, Tk, dtype=torch.bool, device=device).tril(diagonal=mask.offset)
    return torch.ones(Tq, Tk, dtype=torch.bool, device=device) if mask is None else mask


class MatmulCore(nn.Module):
    """softmax(Q·Kᵀ / √D)·V as two matrix products."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Identity()  # does nothing: a place to look at the weights from (FusedCore never has them)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, mask: Mask, dropout: Dropout) -> Tensor:
        """Attend: q (B, H, Tq, D), k and v (B, H, Tk, D) -> (B, H, Tq, D)."""
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])  # (B, H, Tq, Tk)
        scores = scores.masked_fill(~allowed_keys(mask, q.shape[-2], k.shape[-2], q.device), float("-inf"))
        weights = self.weights(scores.softmax(dim=-1))  # (B, H, Tq, Tk)
        return dropout(weights) @ v  # (B, H, Tq, D)


class FusedCore(MatmulCore):
    """The same from PyTorch's fused kernel: the weights (B, H, Tq, Tk) are never written to memory.

    That kernel draws its own dropout, so while units do drop out the matrix products do the work.
    """

    def forward(self, q: Tensor, k: Tensor, v: Tensor, mask: Mask, dropout: Dropout) -> Tensor:
        """Attend: q (B, H, Tq, D), k and v (B, H, Tk, D) -> (B, H, Tq, D)."""
        if dropout.training and dropout.p > 0:
            return super().forward(q, k, v, mask, dropout)
        if mask == Causal(0):  # is_causal aligns to the first key: only then does it mean what we mean
            return F.scaled_dot_product_attention(q, k, v, is_causal=True)
        if isinstance(mask, Causal):
            sees_all = mask.offset >= k.shape[-2] - 1
            mask = None if sees_all else allowed_keys(mask, q.shape[-2], k.shape[-2], q.device)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


class Shared(nn.Module):
    """Give each key and value head to a group of query heads, so that fewer have to be kept (Ainslie 2023)."""

    def __init__(self, group: int) -> None:
        super().__init__()
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        """(B, G, T, D) -> (B, H, T, D)."""
        return x.repeat_interleave(self.group, dim=1)


class Values(nn.Module):
    """Add to the values a vector that is learned for the unit itself, whatever the blocks below made of it.

    So what a unit is can always be told, not only what it has become (after Zhou 2024; Jordan 2024, modded-nanogpt).
    """

    def __init__(self, config: ModelConfig, site: str) -> None:
        super().__init__()
        self.table = nn.Embedding(config.vocab_size, config.groups * config.head_size)

    def forward(self, v: Tensor, ids: Tensor, number: int = 0) -> Tensor:
        """v (B, T, G*D) of units ids (B, T) -> (B, T, G*D); or (B, T, D), of the head with that number, alone."""
        return v + self.table(ids).unflatten(2, (-1, v.shape[2]))[:, :, number]


class Attention(nn.Module):
    """Causal self-attention of H heads: three matrices, a core, a projection."""

    def __init__(self, config: ModelConfig, site: str, find: Find = absent, core: type[nn.Module] = MatmulCore) -> None:
        super().__init__()
        C, D, H, G = config.n_embd, config.head_size, config.n_head, config.groups
        # in all three, the rows of head h are h*D to (h+1)*D - 1
        self.query, self.key, self.value = (nn.Linear(C, n * D, config.bias_qkv) for n in (H, G, G))
        self.norm, self.turn = find("qk_norm")(config, site), find("turn")(config, site)
        self.recall = find("values")(config, site)
        self.share = nn.Identity() if H == G else Shared(H // G)
        self.core = core()
        self.dropout = Dropout(config.attention_rate, f"{site}.weights")
        self.head_size = D
        self.project = nn.Linear(C, C, bias=config.bias_projection)

    def split(self, x: Tensor) -> Tensor:
        """Give each head its channels: (B, T, C) -> (B, H, T, D)."""
        return x.unflatten(2, (-1, self.head_size)).transpose(1, 2)

    def forward(self, x: Tensor, cache: Cache = NO_CACHE) -> Tensor:
        """Let every place gather from those before it: (B, T, C) -> (B, T, C)."""
        q, k, v = map(self.split, (self.query(x), self.key(x), self.recall(self.value(x), cache.ids)))  # (B, H, Tq, D)
        q, k = self.turn(self.norm(q), cache.length), self.turn(self.norm(k), cache.length)  # (B, H, Tq, D)
        k, v = cache.extend(self, k, v)  # (B, H, Tk, D)
        y = self.core(q, self.share(k), self.share(v), Causal(cache.length), self.dropout)  # (B, H, Tq, D)
        return self.project(y.transpose(1, 2).flatten(2))  # (B, T, C)
