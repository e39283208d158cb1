"""Where a unit stands: attention by itself sees a set of units, not a row of them, so the place is added in.

Shapes: B batch, T time, C channels.
"""

import math

import torch
from torch import Tensor, nn

from hornbook.errors import UsageError
from hornbook.model.config import ModelConfig


def check_room(end: int, block_size: int) -> None:
    """Raise `UsageError` for a text that goes on beyond the last place there is."""
    if end > block_size:
        raise UsageError(f"a text of {end} units is longer than block_size={block_size}: give the model its last ones.")


class Learned(nn.Module):
    """Add a vector that is learned for each place (Radford 2018). No place beyond block_size has one."""

    def __init__(self, config: ModelConfig, site: str) -> None:
        super().__init__()
        self.table = nn.Embedding(config.block_size, config.n_embd)

    def forward(self, x: Tensor, start: int) -> Tensor:
        """x (B, T, C), whose first unit stands at place `start` -> (B, T, C)."""
        check_room(start + x.shape[1], self.table.num_embeddings)
        return x + self.table(torch.arange(start, start + x.shape[1], device=x.device))  # (T, C), for every row


class Sinusoidal(nn.Module):
    """Add waves of many lengths: channel 2i holds sin(t / 10000^(2i/C)), channel 2i+1 the cosine.

    As in the source, the embedding is multiplied by √C first (Vaswani 2017, sections 3.4 and 3.5).
    """

    table: Tensor

    def __init__(self, config: ModelConfig, site: str) -> None:
        super().__init__()
        T, C = config.block_size, config.n_embd
        channels = torch.arange(C)
        lengths = 10000 ** ((channels - channels % 2) / C)  # (C,)
        angles = torch.arange(T)[:, None] / lengths  # (T, C)
        self.register_buffer("table", torch.where(channels % 2 == 0, angles.sin(), angles.cos()), persistent=False)

    def forward(self, x: Tensor, start: int) -> Tensor:
        """x (B, T, C), whose first unit stands at place `start` -> (B, T, C)."""
        check_room(start + x.shape[1], len(self.table))
        return x * math.sqrt(x.shape[2]) + self.table[start : start + x.shape[1]]


class Rotary(nn.Module):
    """Turn queries and keys by an angle that grows with their place: a product of two knows how far apart they are.

    Channels i and i + D/2 are the two coordinates of a point, which turns by 1 / 10000^(2i/D) a place (Su 2021).
    """

    turns: Tensor

    def __init__(self, config: ModelConfig, site: str) -> None:
        super().__init__()
        T, D = config.block_size, config.head_size
        angles = torch.arange(T)[:, None] / 10000 ** (torch.arange(0, D, 2) / D)  # (T, D/2)
        self.register_buffer("turns", torch.stack([angles.cos(), angles.sin()]), persistent=False)  # (2, T, D/2)

    def forward(self, x: Tensor, start: int) -> Tensor:
        """x (…, T, D), whose first unit stands at place `start` -> (…, T, D)."""
        end = start + x.shape[-2]
        check_room(end, self.turns.shape[1])
        cos, sin = self.turns[:, start:end].type_as(x)  # (T, D/2)
        a, b = x.chunk(2, dim=-1)  # (…, T, D/2)
        return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)
