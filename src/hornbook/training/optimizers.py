"""The optimizer, and its memory by the names of the weights."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from hornbook.errors import UsageError
from hornbook.training.recipe import Recipe

MEMORY = ("step", "exp_avg", "exp_avg_sq")  # what AdamW remembers of a weight


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Make AdamW (Loshchilov, Hutter 2019) for a model; only matrices are decayed, not biases and gains."""
    weights = list(model.parameters())
    matrices = {"params": [w for w in weights if w.dim() >= 2], "weight_decay": recipe.weight_decay}
    others = {"params": [w for w in weights if w.dim() < 2], "weight_decay": 0.0}
    fused = all(w.device.type in ("cpu", "cuda") for w in weights)  # one pass over memory in place of many
    return torch.optim.AdamW(
        [matrices, others], lr=recipe.learning_rate, betas=(recipe.beta1, recipe.beta2), fused=fused
    )


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
    own = not isinstance(optimizer, torch.optim.AdamW) or optimizer.defaults["amsgrad"]  # a learner's: not known here
    for key in () if own else sorted(memory.keys() ^ {f"{name}/{what}" for name in names for what in MEMORY}):
        raise UsageError(
            f"{key[:80]!r} is {'nothing' if key in memory else 'missing of what'} the optimizer remembers."
        )
    for key, value in memory.items():
        name, _, what = key.rpartition("/")
        shape = () if what == "step" else weights[name].shape
        dtype = value.dtype if what == "step" and value.is_floating_point() else weights[name].dtype
        fits = (value.shape, value.dtype) == (shape, dtype) and (what == "exp_avg" or not (value < 0).any())
        if not (own or fits):
            raise UsageError(f"what the optimizer remembers as {key!r} is not of that weight.")
        # a copy in the weight's own place: what is read may be a view of a file
        where = "cpu" if what == "step" and weights[name].device.type == "cpu" else weights[name].device
        optimizer.state[weights[name]][what] = value.to(where, copy=True)
