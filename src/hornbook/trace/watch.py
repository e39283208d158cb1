"""Watching a model compute: hooks that are put on, see one call of each part, and are taken off again.

Nothing is computed a second time, and nothing is known about the parts but what they are called and what goes in and
out. So a part that a learner edited or wrote is seen as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(eq=False)  # each is one that happened
class Call:
    """One call of a part: what went in, what came out, and the calls that it made, in their order."""

    name: str
    module: nn.Module
    input: Tensor
    output: Tensor = field(default_factory=lambda: torch.zeros(0))
    children: list[Call] = field(default_factory=list)

    @property
    def part(self) -> str:
        """The name of the part's class."""
        return type(self.module).__name__

    @property
    def branch(self) -> str:
        """The branch that a part of a block belongs to, by its name: attention_norm belongs to attention."""
        return self.name.partition("_")[0]

    def below(self) -> Iterator[Call]:
        """Yield all calls inside this one, in the order in which they began."""
        for child in self.children:
            yield child
            yield from child.below()


@contextmanager
def watching(model: nn.Module) -> Iterator[Call]:
    """Yield a call whose children are the calls made while watching; names are the parts' own, such as "attention"."""
    root = Call("", model, torch.zeros(0))
    stack, hooks = [root], []

    def enter(name: str, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = next((x for x in (*args, *kwargs.values()) if isinstance(x, Tensor)), torch.zeros(0))
        call = Call(name, module, _kept(given))
        stack[-1].children.append(call)
        stack.append(call)

    def leave(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        call = stack.pop()
        if isinstance(output, Tensor):
            call.output = _kept(output)

    for path, module in model.named_modules():
        hooks.append(module.register_forward_pre_hook(partial(enter, path.rpartition(".")[2]), with_kwargs=True))
        hooks.append(module.register_forward_hook(leave))
    try:
        yield root
    finally:
        for hook in hooks:
            hook.remove()


def _kept(x: Tensor) -> Tensor:
    return x.detach().clone()  # a copy: a part may write into what it was given


@dataclass(frozen=True)
class Added:
    """A part's output that was added to the stream: calls number `tap` to `at` of a block are the branch."""

    tap: int
    at: int


def additions(block: Call) -> list[Added]:
    """Find out which of a block's calls had their output added to something that was there before.

    The next tensor is looked at: where it is exactly an earlier one plus the output of a call, that call was added.
    """
    calls = block.children
    inputs = [call.input for call in calls]
    after = [*inputs[1:], block.output]
    found = []
    for at, (call, then) in enumerate(zip(calls, after, strict=True)):
        if not torch.equal(call.output, then):
            tap = next((i for i in reversed(range(at + 1)) if _is_sum(inputs[i], call.output, then)), None)
            if tap is not None:
                while tap and calls[tap - 1].branch == calls[tap].branch and torch.equal(inputs[tap - 1], inputs[tap]):
                    tap -= 1  # past an absent norm
                found.append(Added(tap, at))
    return found


def _is_sum(a: Tensor, b: Tensor, whole: Tensor) -> bool:
    return a.shape == b.shape == whole.shape and torch.equal(a + b, whole)
