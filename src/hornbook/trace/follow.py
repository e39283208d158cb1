"""Following a text through a trained model: every number on its way, as plain data.

The numbers are the model's own, seen by hooks while it computes once (`watch.py`). Only fused attention never has its
weights: they are read from the same model with batched attention, if that computes the same logits.
Shapes: T units of the text, C channels, H heads, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hornbook import chance, story
from hornbook.generation.generator import evaluating, generate, quicken, window_start
from hornbook.generation.sampling import Sampling, probabilities
from hornbook.generation.streaming import opening
from hornbook.model.build import build
from hornbook.model.config import ModelConfig
from hornbook.model.weights import get_weights, load_weights
from hornbook.run import Run
from hornbook.text.units import Unknown
from hornbook.trace.labels import label
from hornbook.trace.watch import Call, additions, watching

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Branch:
    """What attention, or the MLP, hands on: `added` to the residual stream, or in its place."""

    name: str
    part: str
    added: bool
    norms: Numbers
    """the L2 norm of what it hands on, of each unit (T,)"""


@dataclass(frozen=True)
class BlockTrace:
    """What went on in one block. Norms are L2 norms of each unit's vector (T,)."""

    part: str
    shape: tuple[int, ...]
    before: Numbers
    after: Numbers
    branches: tuple[Branch, ...]
    weights: Numbers | None
    """the attention weights (H, T, T), rows the unit that looks; None where there are none to be seen"""
    missing: str
    """why there are none"""


@dataclass(frozen=True)
class Embedding:
    """How ids become vectors, each (T, C): the unit's own, its place's, and what goes into the blocks.

    `pairs` is the vector of the unit and the one before it, where the model has those. `scaled` is the unit's vector,
    with its pair's, as the position part hands it on, where that is not as it came.
    """

    tokens: Numbers
    pairs: Numbers | None
    scaled: Numbers | None
    position: Numbers
    part: str
    whole: Numbers

    @property
    def summands(self) -> list[tuple[str, Numbers]]:
        """What is summed, by name."""
        pairs = [] if self.pairs is None else [("pair", self.pairs)]
        if self.scaled is None:
            return [("unit", self.tokens), *pairs, ("place", self.position)]
        return [("unit + pair, scaled" if pairs else "unit, scaled", self.scaled), ("place", self.position)]


@dataclass(frozen=True)
class Inside:
    """What was seen inside a model. A part that a model does not have (a bigram table has few) is None, or empty."""

    ids: NDArray[np.int64]
    embedding: Embedding | None
    blocks: tuple[BlockTrace, ...]
    norm: tuple[str, Numbers, Numbers] | None
    """the last norm: its class, and the norms of what goes in and comes out"""
    logits: Numbers
    """the scores of the unit after each (T, V)"""

    @cached_property
    def probabilities(self) -> Numbers:
        """Softmax of the logits (T, V): how probable each unit is after each, as the model has it."""
        return probabilities(torch.from_numpy(self.logits), Sampling(1.0)).numpy()


@dataclass(frozen=True)
class Trace:
    """A text's way through a run's model, and the unit that is drawn at its end."""

    run: str
    model: str
    step: int
    units: tuple[str, ...]
    ids: NDArray[np.int64]
    text: str
    """the text of the ids: what the model read"""
    notes: tuple[str, ...]
    """what is not as it was asked, a line each"""
    inside: Inside
    temperature: float
    seed: int
    number: float
    """the number from 0 to 1 that the seed gives"""
    drawn: int

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The vocabulary, each unit as it can be shown by itself (V,)."""
        return tuple(map(label, self.units))

    def likeliest(self, place: int, n: int = 10) -> NDArray[np.int64]:
        """Return the ids of the n likeliest units after a place; of equally likely ones the lower ids first."""
        return np.argsort(-self.inside.logits[place], kind="stable")[:n]

    def chances_at(self, place: int) -> Numbers:
        """Return how probable each unit is after a place, at this temperature (V,)."""
        logits = torch.from_numpy(self.inside.logits[place : place + 1])
        return probabilities(logits, Sampling(self.temperature))[0].numpy()

    @cached_property
    def chances(self) -> Numbers:
        """How probable each unit is at the end, where one is drawn (V,)."""
        return self.chances_at(len(self.ids) - 1)

    @property
    def interval(self) -> tuple[float, float]:
        """Where the drawn unit lies when the chances are laid end to end, in the order of ids."""
        ends = self.chances.cumsum() / self.chances.sum()
        return (float(ends[self.drawn - 1]) if self.drawn else 0.0), float(ends[self.drawn])

    def followers(self) -> Iterable[tuple[int, int, float]]:
        """Yield, for each unit but the last: the id that came next, its rank (from 1), its probability."""
        for place, following in enumerate(self.ids[1:].tolist()):
            row = self.inside.logits[place]
            rank = 1 + int((row > row[following]).sum())
            yield following, rank, float(self.inside.probabilities[place, following])


def follow(run: Run, prompt: str = "", *, temperature: float = 0.8, seed: int = 1, unknown: Unknown = "error") -> Trace:
    """Follow a prompt through a run's model, up to the first unit that `run.stream` draws with the same words.

    An empty prompt goes on from `opening`; of one longer than the context, the window that `stream` would read is
    followed. Raises `UsageError` for what can't be read, and for broken weights.
    """
    sampling, config = Sampling(temperature), run.model_config
    known = run.tokenizer.encode(prompt, unknown).astype(np.int64)
    notes = []
    if missing := run.count_unknown_in(prompt):
        done = "left out" if unknown == "skip" else "replaced"
        many = "characters" if missing > 1 else "character"
        notes.append(f"{missing} {many} of the prompt {done}, which the model does not know")
    ids = known if len(known) else opening(run.tokenizer).astype(np.int64)
    if not len(known):
        notes.append(f"there is no text to begin from, so it begins from {label(run.tokenizer.units[ids[0]])}")
    start = window_start(len(ids), config.block_size)
    if start:
        notes.append(
            f"the prompt has {len(ids)} units and the model looks at most {config.block_size} back: as when "
            f"generating, the first {start} are forgotten"
        )
    window = ids[start:]
    inside = look(run.model, config, window)
    if next(run.model.parameters()).device.type == "cpu":
        quicken(run.model)  # as `stream` does
    drawn = next(generate(run.model, ids, block_size=config.block_size, sampling=sampling, seed=seed, tokens=1))
    return Trace(
        run=str(run.path),
        model=story.describe_model(config),
        step=run.checkpoint.step,
        units=run.tokenizer.units,
        ids=window,
        text=run.tokenizer.decode(window),
        notes=tuple(notes),
        inside=inside,
        temperature=float(temperature),
        seed=int(seed),
        number=chance.uniform(chance.key(int(seed), "sample", 0), 0),
        drawn=int(drawn[0]),
    )


def look(model: Any, config: ModelConfig, ids: NDArray[np.int64]) -> Inside:
    """Run a model once on ids (T,), T from 1 to block_size, and return what was seen inside."""
    root, logits = _watched(model, ids)
    blocks = showing = _blocks(model, root)
    missing = ""
    if config.attention == "fused" and any(_weights(block) is None for block in blocks):
        twin = build(replace(config, attention="batched")).to(logits.device)
        load_weights(twin, get_weights(model))
        seen, same = _watched(twin, ids)
        if torch.allclose(logits, same, rtol=1e-3, atol=1e-3):
            showing = _blocks(twin, seen)
        else:
            missing = "the fused attention, which never shows its weights, computes something else than the batched one"
    traced = [_block(block, _weights(shows), missing) for block, shows in zip(blocks, showing, strict=True)]
    return Inside(ids, _embedding(model, root), tuple(traced), _norm(root), _numbers(logits))


def _watched(model: Any, ids: NDArray[np.int64]) -> tuple[Call, Tensor]:
    device = next(model.parameters()).device
    with evaluating(model), watching(model) as root:
        logits = model(torch.from_numpy(ids)[None].to(device))[0]  # (T, V)
    return root.children[0], logits


def _blocks(model: nn.Module, root: Call) -> list[Call]:
    blocks = set(getattr(model, "blocks", ()))
    return [call for call in root.children if call.module in blocks]


def _block(call: Call, weights: Tensor | None, missing: str) -> BlockTrace:
    if weights is None and not missing:
        part = next((child.part for child in call.children if child.name == "attention"), call.part)
        missing = f"{part} has no part named `weights` to look at the attention weights from"
    return BlockTrace(
        part=call.part,
        shape=tuple(call.output.shape),
        before=_norms(call.input),
        after=_norms(call.output),
        branches=_branches(call),
        weights=None if weights is None else _numbers(weights),
        missing=missing if weights is None else "",
    )


def _branches(block: Call) -> tuple[Branch, ...]:
    """Take attention_norm, attention and attention_dropout as one branch; what is added of it, or else its end."""
    added_at = {added.at for added in additions(block)}
    branches = []
    for name, group in groupby(enumerate(block.children), lambda numbered: numbered[1].branch):
        calls = list(group)
        added = [call for at, call in calls if at in added_at]
        last = (added or [calls[-1][1]])[-1]
        main = next((call for _, call in calls if call.name == name), last)
        branches.append(Branch(name, main.part, bool(added), _norms(last.output)))
    return tuple(branches)


def _weights(block: Call) -> Tensor | None:
    """Return the attention weights (H, T, T) that went by a part named `weights`."""
    T = block.input.shape[-2]
    seen = [call.output for call in block.below() if call.name == "weights" and call.output.shape[-2:] == (T, T)]
    rows = [weights.reshape(-1, T, T) for weights in seen if weights.dim() in (3, 4)]
    return torch.cat(rows) if rows else None


def _embedding(model: Any, root: Call) -> Embedding | None:
    calls = {call.name: call for call in root.children}
    if not {"tokens", "positions"} <= calls.keys():
        return None
    tokens, places = calls["tokens"].output, calls["positions"]
    with evaluating(model):
        position = places.module(torch.zeros_like(tokens), 0)  # what is there without a unit
    as_it_came = torch.allclose(places.input + position, places.output, rtol=1e-4, atol=1e-6)
    has_pairs = "pairs" in calls and not isinstance(calls["pairs"].module, nn.Identity)
    return Embedding(
        tokens=_numbers(tokens[0]),
        pairs=_numbers((calls["pairs"].output - tokens)[0]) if has_pairs else None,
        scaled=None if as_it_came else _numbers((places.output - position)[0]),
        position=_numbers(position[0]),
        part=places.part,
        whole=_numbers(places.output[0]),
    )


def _norm(root: Call) -> tuple[str, Numbers, Numbers] | None:
    norms = (call for call in root.children if call.name == "norm" and not isinstance(call.module, nn.Identity))
    return next(((call.part, _norms(call.input), _norms(call.output)) for call in norms), None)


def _norms(x: Tensor) -> Numbers:
    return _numbers(x[0].double().norm(dim=-1)) if x.dim() == 3 else np.zeros(0)


def _numbers(x: Tensor) -> Numbers:
    return x.detach().cpu().double().numpy()
