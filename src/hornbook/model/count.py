"""How many parameters a model has, and where they are."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from hornbook.model.build import PARTS, Parts, build
from hornbook.model.config import ModelConfig
from hornbook.model.weights import get_parameters


@dataclass(frozen=True)
class Share:
    """One line of the count: `times` weights of one name and shape, and what they sum to."""

    name: str
    shape: tuple[int, ...]
    times: int

    @property
    def parameters(self) -> int:
        """The parameters of this line."""
        return self.times * torch.Size(self.shape).numel()

    def __str__(self) -> str:
        times = f"{self.times} × " if self.times > 1 else ""
        return f"{self.name:<36} {times + ' × '.join(map(str, self.shape)):>18} {self.parameters:>12,}"


def count(model: nn.Module) -> list[Share]:
    """List a model's weights, one line a weight; what each block has is counted once, times the blocks.

    The lines sum to exactly the parameters that the model trains.
    """
    shares: dict[tuple[str, tuple[int, ...]], int] = {}
    for name, weight in get_parameters(model).items():
        place = ".".join("*" if part.isdigit() else part for part in name.split("."))
        shares[place, tuple(weight.shape)] = shares.get((place, tuple(weight.shape)), 0) + 1
    return [Share(name, shape, times) for (name, shape), times in shares.items()]


def total(shares: Iterable[Share]) -> int:
    """Return how many parameters there are in all."""
    return sum(share.parameters for share in shares)


def count_config(config: ModelConfig, parts: Parts = PARTS) -> list[Share]:
    """List the weights that a config would make, without making them."""
    with torch.device("meta"):
        return count(build(config, parts=parts))
