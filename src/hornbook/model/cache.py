"""Keys and values, kept while generating: what was computed for the units so far is not computed again.

Shapes: B batch, T time, H heads, D head size; k and v are (B, H, T, D), or (B, T, D) for one head.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Cache:
    """Room for the keys and values of up to `block_size` units, for each attention that asks.

    It writes in place: for generating, without gradients.
    """

    length = 0  # how many units were read before
    ids = torch.zeros(1, 0, dtype=torch.int64)  # the units that are being read (B, T)

    def __init__(self, block_size: int) -> None:
        self.block_size = block_size
        self._kept: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def reading(self, ids: Tensor) -> "Cache":
        """Return what the parts are told that now read the units (B, T)."""
        self.ids = ids
        return self

    def extend(self, owner: nn.Module, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Keep the keys and values of the newest units; return those of all units so far (…, Tk, D)."""
        start, end = self.length, self.length + k.shape[-2]
        assert end <= self.block_size, f"a cache for {self.block_size} units is asked to hold {end}"
        if owner not in self._kept:
            room = (*k.shape[:-2], self.block_size, k.shape[-1])
            self._kept[owner] = k.new_empty(room), v.new_empty(room)
        keys, values = self._kept[owner]
        keys[..., start:end, :] = k
        values[..., start:end, :] = v
        return keys[..., :end, :], values[..., :end, :]

    def before(self, ids: Tensor) -> Tensor:
        """Return the unit before each of the newest (B, T); -1 where there is none."""
        return F.pad(ids[:, :-1], (1, 0), value=-1) if self.length == 0 else torch.cat([self.last, ids[:, :-1]], 1)

    def advance(self, ids: Tensor) -> None:
        """Count units (B, T) as read, once every part has kept what it needs of them."""
        self.length += ids.shape[1]
        self.last = ids[:, -1:]  # (B, 1)


class _NoCache(Cache):
    """Keeps nothing: each call is the whole story. What training uses."""

    def __init__(self, ids: Tensor) -> None:
        self.ids = ids

    def reading(self, ids: Tensor) -> Cache:
        """Return another: this one is everybody's."""
        return _NoCache(ids)

    def extend(self, owner: nn.Module, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Return the keys and values as they came."""
        return k, v

    def advance(self, ids: Tensor) -> None:
        """Stay at the beginning."""


NO_CACHE = _NoCache(Cache.ids)
