"""Norms: bring each place's vector to one size, whatever was added to it before. Shapes: C channels, D head size."""

from torch import Tensor, nn

from hornbook.model.config import ModelConfig

EPSILON = 1e-6  # below the square of any size that matters; added so that nothing is divided by zero


class LayerNorm(nn.LayerNorm):
    """Subtract the mean, divide by the standard deviation, times a gain, plus a bias (Ba 2016): (…, C) -> (…, C)."""

    def __init__(self, config: ModelConfig, site: str, bias: bool = True) -> None:
        super().__init__(config.n_embd, bias=bias)


class RMSNorm(nn.RMSNorm):
    """Divide by the root of the mean square, times a gain (Zhang, Sennrich 2019): (…, C) -> (…, C)."""

    def __init__(self, config: ModelConfig, site: str, gain: bool = True) -> None:
        super().__init__(config.n_embd, EPSILON, gain)


class HeadNorm(nn.RMSNorm):
    """The same for the queries, and the keys, of each head: no product of two can grow large (Henry 2020)."""

    def __init__(self, config: ModelConfig, site: str) -> None:
        super().__init__(config.head_size, EPSILON, False)


class Unscaled(nn.Module):
    """Queries and keys, each times D^¼: that undoes the attention's division by √D, to see what it is for."""

    def forward(self, x: Tensor) -> Tensor:
        """(…, T, D) -> (…, T, D)."""
        return x * x.shape[-1] ** 0.25
