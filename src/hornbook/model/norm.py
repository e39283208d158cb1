"""Norms: bring each place's vector to one size, whatever was added to it before. Shapes: C channels."""

from torch import nn

from hornbook.model.config import ModelConfig


class LayerNorm(nn.LayerNorm):
    """Subtract the mean, divide by the standard deviation, times a gain, plus a bias (Ba 2016): (…, C) -> (…, C)."""

    def __init__(self, config: ModelConfig, site: str, bias: bool = True) -> None:
        super().__init__(config.n_embd, bias=bias)
