"""2. One head of self-attention: each place asks, and the places before it answer.

Unlike the bigram, what comes next may now depend on everything before. Every place sends out a query, a key and a
value; it looks for keys that fit its query, and takes a mean of their values, weighted by how well they fit
(Vaswani 2017, section 3.2.1). Shapes: B batch, T time (Tq of the queries, Tk of the keys), C channels, D head size.
"""

import math

import torch
from torch import Tensor, nn

from hornbook.model.block import absent
from hornbook.model.cache import NO_CACHE, Cache
from hornbook.model.config import Find, ModelConfig
from hornbook.model.dropout import Dropout


def lower_triangle(Tq: int, Tk: int, device: torch.device) -> Tensor:
    """Say which keys each query may look at: its own place and those before. Bool (Tq, Tk).

    The last query stands at the place of the last key: with kept keys Tk is larger than Tq.
    """
    return torch.ones(Tq, Tk, dtype=torch.bool, device=device).tril(diagonal=Tk - Tq)


class Head(nn.Module):
    """One head: softmax(Q·Kᵀ / √D)·V, where no place may look ahead.

    `site` is this attention's name in the model, `number` the head's among its heads: they say which units drop out.
    """

    def __init__(self, config: ModelConfig, site: str, find: Find = absent, number: int = 0) -> None:
        super().__init__()
        C, D = config.n_embd, config.head_size
        self.query = nn.Linear(C, D, bias=config.bias_qkv)
        self.key = nn.Linear(C, D, bias=config.bias_qkv)
        self.value = nn.Linear(C, D, bias=config.bias_qkv)
        self.norm, self.turn = find("qk_norm")(config, site), find("turn")(config, site)
        self.recall = find("values")(config, site)
        self.weights = nn.Identity()  # does nothing: a place to look at the attention weights from
        self.dropout = Dropout(config.attention_rate, f"{site}.weights")
        self.number, self.group = number, number * config.groups // config.n_head  # the group whose values it shares

    def forward(self, x: Tensor, cache: Cache = NO_CACHE) -> Tensor:
        """Let every place gather from those before it: (B, T, C) -> (B, T, D)."""
        q, k, v = self.query(x), self.key(x), self.value(x)  # (B, Tq, D)  what do I look for? what do I hold, and tell?
        q, k = self.turn(self.norm(q), cache.length), self.turn(self.norm(k), cache.length)  # (B, Tq, D)
        k, v = cache.extend(self, k, self.recall(v, cache.ids, self.group))  # (B, Tk, D)
        scores = q @ k.transpose(1, 2) / math.sqrt(k.shape[-1])  # (B, Tq, Tk)
        allowed = lower_triangle(q.shape[1], k.shape[1], x.device)
        scores = scores.masked_fill(~allowed, float("-inf"))
        weights = self.weights(scores.softmax(dim=-1))  # (B, Tq, Tk)  each row sums to 1
        return self.dropout(weights, self.number) @ v  # (B, Tq, D)
