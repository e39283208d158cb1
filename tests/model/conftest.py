"""What the proofs about the model share: tiny configs, models without a single special value, gradients by name."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hornbook.model.build import build
from hornbook.model.config import ModelConfig
from hornbook.model.dropout import Clock
from hornbook.model.weights import get_weights, load_weights


@pytest.fixture
def tiny() -> Callable[..., ModelConfig]:
    """Make a config whose sizes all differ, so that no axis can stand in for another."""

    def make(**changes: Any) -> ModelConfig:
        sizes = {"vocab_size": 11, "block_size": 10, "n_layer": 2, "n_head": 3, "n_embd": 12, "n_hidden": 20}
        return ModelConfig(**{**sizes, **changes})

    return make


@pytest.fixture
def scatter() -> Callable[..., Any]:
    """Give every weight of a model, biases and gains too, a value drawn for its name: no zeros, no ones to hide in."""

    def values(model: nn.Module, scale: float = 0.3) -> Any:
        weights = {}
        for name, weight in get_weights(model).items():
            generator = torch.Generator().manual_seed(sum(ord(c) * 31**i for i, c in enumerate(name)) % 2**31)
            drawn = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
            is_gain = weight.dim() == 1 and name.endswith("weight")
            weights[name] = (1 + 0.3 * drawn if is_gain else scale * drawn).to(weight.dtype)
        load_weights(model, weights)
        return model

    return values


@pytest.fixture
def make(tiny: Callable[..., ModelConfig], scatter: Callable[..., Any]) -> Callable[..., Any]:
    """Build a tiny model in float64 with scattered weights, at step 0. It is in training mode, as `build` leaves it."""

    def made(**changes: Any) -> Any:
        model = scatter(build(tiny(**changes)).double())
        Clock(model.modules(), seed=0).set(0)
        return model

    return made


@pytest.fixture
def ids() -> Tensor:
    """Three rows of eight units."""
    return torch.randint(11, (3, 8), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def by_name() -> Callable[[nn.Module, Callable[[nn.Parameter], Tensor]], dict[str, Tensor]]:
    """Read something off every parameter, by canonical name: what single heads have is stacked, written apart."""

    def read(model: nn.Module, what: Callable[[nn.Parameter], Tensor]) -> dict[str, Tensor]:
        pieces: dict[str, list[tuple[int, Tensor]]] = {}
        for name, parameter in model.named_parameters():
            head = re.search(r"heads\.(\d+)\.", name)
            canonical = name.replace(head[0], "") if head else name
            pieces.setdefault(canonical, []).append((int(head[1]) if head else 0, what(parameter)))
        return {name: torch.cat([t for _, t in sorted(p, key=lambda x: x[0])]) for name, p in pieces.items()}

    return read


@pytest.fixture
def run_with_gradients(by_name: Any) -> Callable[..., tuple[Tensor, dict[str, Tensor]]]:
    """Run a model forward and backward; return its logits and the gradients of all weights and of the input.

    What flows back is a fixed draw, not a sum: a sum of a softmax would have no gradient.
    """

    def run(model: Any, ids: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        kept: list[Tensor] = []

        def keep(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            output.retain_grad()
            kept.append(output)

        hook = model.tokens.register_forward_hook(keep)
        model.zero_grad()
        logits = model(ids)
        hook.remove()
        generator = torch.Generator().manual_seed(2)
        logits.backward(torch.randn(logits.shape, generator=generator, dtype=torch.float64).to(logits.dtype))
        gradients = by_name(model, lambda p: torch.zeros_like(p) if p.grad is None else p.grad)
        assert gradients.keys() == get_weights(model).keys()
        return logits.detach(), {**gradients, "input": kept[0].grad}

    return run
