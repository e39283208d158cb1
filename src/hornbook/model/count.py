"""How many parameters a model has, and where they are."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

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
    with on_paper():
        return count(build(config, parts=parts))


@contextmanager
def on_paper() -> Iterator[None]:
    """Make every tensor without its numbers, which take neither memory nor time."""
    with torch.device("meta"), _Unfilled():
        yield


class _Unfilled(TorchFunctionMode):
    """Leaves a new tensor unfilled: to fill one without numbers, torch would import its compiler first (1 s)."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(function, "__module__", "") == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return function(*args, **kwargs)
