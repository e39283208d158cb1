"""The optimizer, and its memory by the names of the weights."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from hornbook.errors import UsageError
from hornbook.training.recipe import Recipe

MEMORY: dict[type, set[str]] = {  # what is remembered of a weight
    torch.optim.AdamW: {"step", "exp_avg", "exp_avg_sq"},
    torch.optim.Muon: {"momentum_buffer"},
}
SIGNED = {"exp_avg", "momentum_buffer"}  # of these, what may be below 0
FOR_MUON = re.compile(r"blocks\.(?!.*table)")  # matrices inside a block, but for a table of a row a unit


class Together(torch.optim.Optimizer):
    """Optimizers that are used as one, each with weights of its own; what they remember is in one place.

    A group's `times` is how many times the first one's rate its own is.
    """

    def __init__(self, *optimizers: torch.optim.Optimizer) -> None:
        super().__init__([group for each in optimizers for group in each.param_groups], {"times": 1.0})
        self.optimizers = optimizers
        for each in optimizers:
            each.state = self.state

    def step(self, closure: Any = None) -> Any:
        """Update all weights."""
        for each in self.optimizers:
            each.step()


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Make the optimizer that a recipe names, for all weights of a model."""
    return OPTIMIZERS[recipe.optimizer](dict(model.named_parameters()), recipe)


def adamw(weights: Mapping[str, Tensor], recipe: Recipe) -> torch.optim.Optimizer:
    """Make AdamW (Loshchilov, Hutter 2019) for weights; only matrices are decayed, not biases and gains."""
    matrices = {"params": [w for w in weights.values() if w.dim() >= 2], "weight_decay": recipe.weight_decay}
    others = {"params": [w for w in weights.values() if w.dim() < 2], "weight_decay": 0.0}
    fused = all(w.device.type in ("cpu", "cuda") for w in weights.values())  # one pass over memory in place of many
    return torch.optim.AdamW(
        [matrices, others], lr=recipe.learning_rate, betas=(recipe.beta1, recipe.beta2), fused=fused
    )


def muon(weights: Mapping[str, Tensor], recipe: Recipe) -> torch.optim.Optimizer:
    """Make Muon (Jordan 2024) for the matrices inside the blocks, and AdamW for all other weights.

    Muon makes all directions of a matrix's update about equally long. That is for what maps vectors to vectors: a row
    of an embedding (in a block, that is one named `table`) or of the head is moved for its own unit.
    """
    inside = {name: w for name, w in weights.items() if FOR_MUON.match(name) and w.dim() == 2}
    others = {name: w for name, w in weights.items() if name not in inside}
    group = {"params": list(inside.values()), "times": recipe.muon_rate / recipe.learning_rate}
    return Together(
        adamw(others, recipe),
        torch.optim.Muon([group], weight_decay=recipe.weight_decay, momentum=recipe.muon_momentum),
    )


OPTIMIZERS = {"adamw": adamw, "muon": muon}


def get_memory(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return what the optimizer remembers of each weight, as "weight name/what"."""
    return {
        f"{name}/{what}": value
        for name, weight in model.named_parameters()
        for what, value in optimizer.state.get(weight, {}).items()
    }


def load_memory(model: nn.Module, optimizer: torch.optim.Optimizer, memory: Mapping[str, Tensor]) -> None:
    """Put back what `get_memory` returned. Raises `UsageError` for what can't be remembered of the model's weights."""
    weights = dict(model.named_parameters())
    names = {key.rpartition("/")[0] for key in memory}
    for name in sorted(names - weights.keys()):
        raise UsageError(f"the optimizer remembers {name[:80]!r}, which is not a weight of this model.")
    parts = optimizer.optimizers if isinstance(optimizer, Together) else (optimizer,)
    kinds = {w: type(each) for each in parts for group in each.param_groups for w in group["params"]}
    own = set(kinds.values()) - MEMORY.keys() or optimizer.defaults.get("amsgrad")  # a learner's: not known here
    expected = {f"{name}/{what}" for name in names if not own for what in MEMORY[kinds[weights[name]]]}
    for key in () if own else sorted(memory.keys() ^ expected):
        raise UsageError(
            f"{key[:80]!r} is {'nothing' if key in memory else 'missing of what'} the optimizer remembers."
        )
    for key, value in memory.items():
        name, _, what = key.rpartition("/")
        shape = () if what == "step" else weights[name].shape
        dtype = value.dtype if what == "step" and value.is_floating_point() else weights[name].dtype
        fits = (value.shape, value.dtype) == (shape, dtype) and (what in SIGNED or not (value < 0).any())
        if not (own or fits):
            raise UsageError(f"what the optimizer remembers as {key!r} is not of that weight.")
        # a copy in the weight's own place: what is read may be a view of a file
        where = "cpu" if what == "step" and weights[name].device.type == "cpu" else weights[name].device
        optimizer.state[weights[name]][what] = value.to(where, copy=True)
