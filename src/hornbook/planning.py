"""From a text, a time and a machine to settings: what `quick` picks, and why.

The sizes are those that came out best on Tiny Shakespeare for as many units as were read (docs/results.md). What is
read more than a few times is learned by heart: dropout grows with the times that a text is read, and where that does
not help any more, the training ends before its time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from hornbook.model.build import build
from hornbook.presets import Preset, find_preset
from hornbook.text.shards import Shards
from hornbook.training.budget import time_step
from hornbook.training.devices import choose_dtype
from hornbook.training.task import Task

SECONDS = 0.7  # for finding out how fast the machine is, with each form of attention
FORMS = ("batched", "fused")
SIZES = (  # from how many units read: blocks, width, context, windows in a step
    (0.0, (3, 128, 64, 16)),
    (0.6e6, (4, 128, 128, 16)),
    (3e6, (4, 128, 256, 16)),
    (7e6, (6, 128, 256, 16)),
    (30e6, (6, 192, 256, 16)),
    (100e6, (6, 384, 256, 32)),
)
MIDDLE = SIZES[1][1]
"""the size whose speed is measured: units read are counted as if all were as costly as one of its"""
SMALL = (2, 64, 64, 16)  # for a text that a larger one would learn by heart
FEW, VERY_FEW = 200_000, 50_000  # units: most pairs come too rarely to learn a vector for each; even a block is large
DROPOUT = ((30, 0.2), (15, 0.1), (4, 0.05), (0, 0.0))  # from how many times that the text is read
MOST_TIMES = 100  # that it is read at all
CHANGE_NO_LOSS = ("minutes", "dtype", "evaluate_on", "evaluate_every", "sample_length", "random_batches", "keep_every")
"""of the recipe's settings: to speak of"""
PICKED = ("n_layer", "n_head", "n_embd", "block_size", "dropout", "pairs", "attention")
"""of the model's settings"""


@dataclass(frozen=True)
class Plan:
    """Settings for a text, and why they are as they are, a line each."""

    settings: Mapping[str, Any]
    why: tuple[str, ...]


def plan(asked: Preset, data: Shards, device: torch.device) -> Plan:
    """Pick sizes, batch, dropout and pairs for a text and the minutes that a preset has, by trying the machine.

    What the user asked for stays, and is not among the settings.
    """
    minutes, units = asked.recipe.minutes, len(data.train)
    assert minutes is not None
    speeds = {form: measure(asked, form, data, device) for form in FORMS}
    form = max(FORMS, key=lambda form: speeds[form])
    speed, slower = speeds[form], min(speeds.values())
    read = 60 * minutes * speed
    is_small = units < VERY_FEW
    n_layer, n_embd, block_size, batch_size = (
        SMALL if is_small else next(size for least, size in reversed(SIZES) if read >= least)
    )
    block_size = max(1, min(block_size, units // 8))
    times = read * cost(*MIDDLE[:3]) / cost(n_layer, n_embd, block_size) / units
    settings = {
        **sized(n_layer, n_embd, block_size, batch_size),
        "model.dropout": next(rate for least, rate in DROPOUT if times >= least),
        "model.pairs": "bigram" if units >= FEW else "nothing",
        "model.attention": form,
    }
    why = [
        f"this machine reads {speed:,.0f} {data.tokenizer.name} a second with a model of middle size and {form} "
        f"attention ({speed / slower:.2f} × as many as otherwise), {read / 1e6:,.1f} million in {minutes:g} minutes: "
        + (
            f"but the text has only {units:,} to learn from, which a larger model than {n_layer} blocks of width "
            f"{n_embd} would learn by heart"
            if is_small
            else f"for so many, {n_layer} blocks of width {n_embd} and a context of {block_size} came out best"
        ),
        f"the text is read {min(times, MOST_TIMES):.2g} times: dropout {settings['model.dropout']:g}"
        + ("" if units >= FEW else "; it is short, and most pairs of neighbours come too rarely to learn each"),
    ]
    if times > MOST_TIMES:
        settings["recipe.steps"] = -(-MOST_TIMES * units // (batch_size * block_size))
        why.append(f"after {MOST_TIMES} times more would not help: the training ends before its {minutes:g} minutes")
    return Plan({name: value for name, value in settings.items() if name not in asked.changes}, tuple(why))


def is_needed(asked: Preset, data: Shards) -> bool:
    """Say whether there is anything to be picked."""
    left = [name for name in PICKED if f"model.{name}" not in asked.changes]
    is_gpt = asked.model_config(vocab_size=2).kind == "gpt"
    return asked.planned and is_gpt and asked.recipe.minutes is not None and bool(left) and len(data.train) > 1


def is_all_picked(asked: Preset) -> bool:
    """Say whether nothing that decides the loss was asked for otherwise, but for the text and the time."""
    return all(name.startswith("text.") or name.removeprefix("recipe.") in CHANGE_NO_LOSS for name in asked.changes)


def as_it_is(asked: Preset) -> dict[str, Any]:
    """Return, as if they were asked for, the settings of a preset that would be picked: they stay as they are."""
    config = asked.model_config(vocab_size=2)
    return {f"model.{name}": getattr(config, name) for name in PICKED} if asked.planned else {}


def cost(n_layer: int, n_embd: int, block_size: int) -> float:
    """Return what a unit costs in the blocks of a size, up to a factor: its matrices, and the context it looks at."""
    return n_layer * (12 * n_embd**2 + 2 * block_size * n_embd)


def sized(n_layer: int, n_embd: int, block_size: int, batch_size: int) -> dict[str, Any]:
    """Return a size as settings; a head has 64 channels."""
    return {
        "model.n_layer": n_layer,
        "model.n_embd": n_embd,
        "model.n_head": n_embd // 64,
        "model.block_size": block_size,
        "recipe.batch_size": batch_size,
    }


def measure(asked: Preset, form: str, data: Shards, device: torch.device) -> float:
    """Return how many units a second a model of middle size is trained with, with a form of attention."""
    n_layer, n_embd, block_size, batch_size = MIDDLE
    block_size = min(block_size, len(data.train) - 1)
    middle = find_preset(asked.name).changed(
        {**sized(n_layer, n_embd, block_size, batch_size), "model.attention": form}
    )
    config = middle.model_config(data.tokenizer.vocab_size)
    dtype = choose_dtype(middle.recipe.dtype, device, config)
    task = Task(build(config).to(device), block_size, data, middle.recipe, 1, 0, dtype)
    return batch_size * block_size / time_step(task, SECONDS)
