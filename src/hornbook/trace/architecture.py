"""What a model is made of, found by running it once: its parts as they are called, their shapes, their parameters.

Nothing is known beforehand: where a residual stream is tapped, and what is added to it, is seen in the numbers
(`watch.additions`), and a part goes by the name of its class. So a learner's model is drawn as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import torch
from torch import nn

from hornbook.generation.generator import evaluating
from hornbook.model.config import ModelConfig
from hornbook.model.count import count, total
from hornbook.model.dropout import Dropout
from hornbook.trace.watch import Call, additions, watching


@dataclass(frozen=True)
class Row:
    """A part, or with a depth above 0 a part of a part: what comes out of it, and the parameters in it."""

    name: str
    made_of: str
    shape: str
    parameters: int
    depth: int = 0
    times: int = 1


@dataclass(frozen=True)
class Box:
    """A part and what is inside it; `branch` says whether it stands on a branch or on the stream itself."""

    rows: tuple[Row, ...]
    branch: bool


@dataclass(frozen=True)
class Tap:
    """Here a branch begins: it reads the stream."""


@dataclass(frozen=True)
class Add:
    """Here it ends: what it made is added to the stream."""


@dataclass(frozen=True)
class Group:
    """Blocks that are alike, one after the other: their class, how many, and the steps in one."""

    made_of: str
    times: int
    steps: tuple[Box | Tap | Add, ...]


@dataclass(frozen=True)
class Architecture:
    """A model from top to bottom."""

    legend: str
    steps: tuple[Box | Group, ...]
    logits: str
    """the shape of what comes out"""
    parameters: int

    @property
    def adds(self) -> bool:
        """Whether there is a residual stream."""
        return any(isinstance(step, Group) and Add() in step.steps for step in self.steps)

    def rows(self) -> Iterator[tuple[Row, int]]:
        """Yield every row, and how often it is there."""
        for step in self.steps:
            boxes = (step,) if isinstance(step, Box) else step.steps
            times = 1 if isinstance(step, Box) else step.times
            yield from ((row, times) for box in boxes if isinstance(box, Box) for row in box.rows)


def architecture(model: Any, config: ModelConfig) -> Architecture:
    """Look at how a model (of any weights) is put together, by running it on as many units as it can tell apart."""
    sizes = (config.n_embd, config.n_head, config.head_size, config.vocab_size, config.mlp_size)
    T = next((T for T in range(config.block_size, 1, -1) if T not in sizes), config.block_size)  # known by its size
    device = next(model.parameters()).device
    with evaluating(model), watching(model) as root:
        model(torch.zeros(1, T, dtype=torch.int64, device=device))
    whole = root.children[0]
    surveyor = _Surveyor(T)
    blocks = set(getattr(model, "blocks", ()))
    seen: list[Box | Group] = []
    for call in whole.children:
        if call.module in blocks:
            seen.append(Group(call.part, 1, tuple(surveyor.steps(call))))
        elif rows := surveyor.rows(call):
            seen.append(Box(rows, branch=False))
    steps: list[Box | Group] = []
    for step, alike in groupby(seen):
        times = len(list(alike))
        steps += [step] * times if isinstance(step, Box) else [replace(step, times=times)]
    return Architecture(_legend(config), tuple(steps), surveyor.shape(whole), total(count(model)))


def _legend(config: ModelConfig) -> str:
    V = f"V = {config.vocab_size:,} units in the vocabulary"
    if config.kind == "bigram":
        return f"B texts at once, T units of each; {V}"
    return (
        f"B texts at once, T units of each, at most {config.block_size}; C = {config.n_embd} channels, "
        f"H = {config.n_head} {'head' if config.n_head == 1 else 'heads'} of D = {config.head_size}; {V}"
    )


class _Surveyor:
    """Writes calls down as rows; a weight that two parts share is counted where it is met first."""

    def __init__(self, T: int) -> None:
        self.T = T
        self.counted: set[nn.Parameter] = set()

    def shape(self, call: Call) -> str:
        """Write what comes out of a part as B × T × 64."""
        batch = ["B"] if call.output.shape[0] == 1 else []  # a position's vector is the same for every text
        sizes = call.output.shape[len(batch) :]
        return " × ".join([*batch, *("T" if size == self.T else f"{size}" for size in sizes)])

    def steps(self, block: Call) -> Iterator[Box | Tap | Add]:
        """Yield what a block does, in order."""
        arcs = {added.tap: added.at for added in additions(block)}
        end = -1  # of the branch that we are on
        for at, call in enumerate(block.children):
            if at > end and at in arcs:
                end = arcs[at]
                yield Tap()
            if rows := self.rows(call):
                yield Box(rows, branch=at <= end)
            if at == end:
                yield Add()

    def rows(self, call: Call, depth: int = 0, times: int = 1) -> tuple[Row, ...]:
        """Return a part and what is inside it; what does nothing is left out."""
        module = call.module
        absent = isinstance(module, nn.Identity) and call.name != "weights"
        if absent or (isinstance(module, Dropout) and module.p == 0):
            return ()
        new = [p for p in module.parameters() if p not in self.counted]
        inside: list[Row] = []
        for _, alike in groupby(call.children, lambda child: child.part if child.name.isdigit() else child):
            first, *others = alike
            rows = self.rows(first, depth + 1, 1 + len(others))
            for other in others:  # counted, but not shown
                more = self.rows(other, depth + 1)
                rows = tuple(
                    replace(a, parameters=a.parameters + b.parameters) for a, b in zip(rows, more, strict=True)
                )
            inside.extend(rows)
        self.counted.update(new)
        made_of = f"{call.part} {module.p:g}" if isinstance(module, Dropout) else call.part
        if call.name == "weights" and not new:
            made_of = "softmax"
        name = "heads" if call.name.isdigit() else call.name
        here = Row(name, made_of, self.shape(call), sum(p.numel() for p in new), depth, times)
        return (here, *inside)
