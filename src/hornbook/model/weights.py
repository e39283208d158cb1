"""A model's weights by name: their first values, and all of them out and in again.

The names are those of the batched form: heads one by one are stacked on the way out and split on the way in, so a
name means the same in every form. Tied weights are there once.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from hornbook import chance
from hornbook.errors import UsageError
from hornbook.model.config import ModelConfig


def normal(key: int, n: int) -> Tensor:
    """Draw n values from N(0, 1): float64 (n,), value i from numbers 2i and 2i+1 of the stream (Box, Muller 1958)."""
    bits = chance.bits_array(chance.signed(key), torch.arange(2 * n, dtype=torch.int32))
    uniform = ((bits.to(torch.int64) & chance.WORD).to(torch.float64) + 0.5) / 2**32  # never 0
    return (-2 * uniform[0::2].log()).sqrt() * (2 * math.pi * uniform[1::2]).cos()


def first_value(name: str, tensor: Tensor, config: ModelConfig, seed: int) -> Tensor:
    """Return what a weight starts with: matrices from N(0, init_std), biases 0, gains as their part made them.

    The vectors of pairs start at 0: those that the text does not have stay there.
    """
    if tensor.dim() < 2:
        return torch.zeros_like(tensor) if name.endswith("bias") else tensor
    if (config.init_zero and name.endswith("project.weight")) or (config.pairs != "nothing" and name[:6] == "pairs."):
        return torch.zeros_like(tensor)
    is_scaled = config.init_scaled and not config.init_zero and name.endswith("project.weight")
    std = config.init_std / math.sqrt(2 * config.n_layer) if is_scaled else config.init_std
    return (std * normal(chance.key(seed, name), tensor.numel())).to(tensor.dtype).view(tensor.shape)


def initialise(model: nn.Module, config: ModelConfig, seed: int) -> None:
    """Give every weight its first value, from (seed, name, place): changing one part leaves all others as they were.

    It is not strict: without buffers, and of tied weights one name is absent.
    """
    firsts = {name: first_value(name, w, config, seed) for name, w in get_parameters(model).items()}
    model.load_state_dict(firsts, strict=False)


def get_weights(model: nn.Module) -> dict[str, Tensor]:
    """Return every weight by its name, tied ones once. The tensors may share the model's memory."""
    names: dict[Tensor, str] = {}
    for name, weight in model.state_dict(keep_vars=True).items():
        names.setdefault(weight, name)  # tied: the first
    return {name: weight.detach() for weight, name in names.items()}


def get_parameters(model: nn.Module) -> dict[str, Tensor]:
    """Return the weights that are learned: all but the buffers that a learner's part may keep."""
    buffers = {name for name, _ in model.named_buffers()}
    return {name: weight for name, weight in get_weights(model).items() if name not in buffers}


def check_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Raise `UsageError` for names, shapes and types that are not those of the model's weights."""
    own = get_weights(model)
    for name in sorted(own.keys() ^ weights.keys()):
        raise UsageError(f"the weight {name[:80]!r} is {'missing' if name in own else 'not one of this model'}.")
    for name, weight in weights.items():
        if weight.shape != own[name].shape:
            raise UsageError(f"the weight {name!r} is {tuple(weight.shape)}; the model's is {tuple(own[name].shape)}.")
        if weight.dtype != own[name].dtype:
            raise UsageError(f"the weight {name!r} is of {weight.dtype}; the model's is of {own[name].dtype}.")


def load_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy weights into a model. Raises `UsageError` for weights that are not the model's."""
    check_weights(model, weights)
    model.load_state_dict(dict(weights), strict=False)  # not strict: of tied weights one name is absent


def stack_heads(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """On saving: heads.0.query.weight, heads.1.query.weight, … (D, C) become query.weight (C, C)."""
    stacks: dict[str, dict[int, Tensor]] = {}
    for name in [name for name in state if name.startswith(f"{prefix}heads.")]:
        weight, short = state.pop(name), name.removeprefix(f"{prefix}heads.").partition(".")[2]
        stacks.setdefault(short, {})[weight.data_ptr() or id(weight)] = weight  # once, where heads share
    state.update({prefix + name: torch.cat(list(parts.values())) for name, parts in stacks.items()})


def split_heads(module: Any, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """On loading: query.weight (C, C) becomes heads.0.query.weight, heads.1.query.weight, … (D, C)."""
    for name, weight in module.heads[0].named_parameters():
        if (whole := state.pop(prefix + name, None)) is not None:
            chunks = whole.split(len(weight))
            for number in range(len(module.heads)):
                state[f"{prefix}heads.{number}.{name}"] = chunks[number * len(chunks) // len(module.heads)]
