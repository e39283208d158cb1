"""How much memory a training takes, and what to change where it is too much."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import torch

from hornbook.errors import UsageError, is_out_of_memory
from hornbook.model.config import ModelConfig
from hornbook.model.count import count_config, total
from hornbook.training.evaluate import UNITS_AT_ONCE
from hornbook.training.optimizers import FOR_MUON
from hornbook.training.recipe import Recipe


def machine_memory(device: torch.device) -> int | None:
    """Return how many bytes a device has in all; None where the system does not tell."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return None  # Windows does not tell without a library of its own


def available(device: torch.device) -> int | None:
    """Return how many bytes this process can have beyond those it has, as far as the system tells."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    there = machine_memory(device)
    with suppress(ImportError, OSError, ValueError, IndexError):  # what only Linux tells
        import resource

        of_page = os.sysconf("SC_PAGE_SIZE")
        size, resident, *_ = (of_page * int(n) for n in Path("/proc/self/statm").read_text(encoding="ascii").split())
        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        there = (there or 0) - resident
        if limit != resource.RLIM_INFINITY:
            there = min(there, limit - size)
    return there


def needed(config: ModelConfig, recipe: Recipe) -> int:
    """Return how many bytes a training takes, estimated on the large side, from what was measured (docs/results.md).

    A parameter takes 34 bytes: the weight, its gradient, AdamW's two memories, a copy of all but the gradient to save
    them from, and what comes and goes. Muon has one memory, and an average is one more, and a copy of it. A unit of a
    batch takes its logits three times, in each block 24 vectors, and where attention is a matrix that is kept, each
    head's row twice; with dropout three times as often.
    """
    kept = config.kind != "bigram" and (config.attention != "fused" or config.dropout > 0)
    rows = config.n_head * config.block_size * (6 if config.dropout else 2) if kept else 0
    blocks = 0 if config.kind == "bigram" else config.n_layer
    a_unit = 3 * config.vocab_size + blocks * (24 * config.n_embd + rows)
    a_unit_scored = 3 * config.vocab_size + 12 * config.n_embd + rows
    units = max(recipe.batch_size // recipe.accumulate * config.block_size * a_unit, UNITS_AT_ONCE * a_unit_scored)
    shares = count_config(config)
    matrices = total(each for each in shares if FOR_MUON.match(each.name) and len(each.shape) == 2)
    less = 8 * matrices if recipe.optimizer == "muon" else 0
    return (50 if recipe.average else 34) * total(shares) - less + 4 * units


def advice(config: ModelConfig, recipe: Recipe, there: int | None) -> str:
    """Return the settings, nearest to those asked for, with which a training fits into so many bytes."""
    pieces = [n for n in range(recipe.accumulate + 1, recipe.batch_size + 1) if recipe.batch_size % n == 0]
    for n in pieces:
        if there is None or needed(config, replace(recipe, accumulate=n)) < there:
            return f"--set recipe.accumulate={n} would fit, and trains the same"
    most = max(pieces, default=recipe.accumulate)
    for name, least in (("block_size", 8), ("n_embd", config.n_head)):
        whole = getattr(config, name)
        for half in (whole >> i for i in range(1, 64) if whole >> i >= least and (whole >> i) % least == 0):
            if needed(replace(config, **{name: half}), replace(recipe, accumulate=most)) < (there or 0):
                return f"--set model.{name}={half} recipe.accumulate={most} would fit"
    if there is None:
        return "make the model smaller"
    return "the smallest model that there is would not fit: free some memory first"


@contextmanager
def advising(config: ModelConfig, recipe: Recipe, device: torch.device) -> Iterator[None]:
    """Turn an error for want of memory into a `UsageError` that names what would fit."""
    there = available(device)
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        left = "" if there is None else f" of the {there / 1e9:,.2f} GB that were left"
        takes = f"not enough memory: this training takes about {needed(config, recipe) / 1e9:,.2f} GB{left}"
        raise UsageError(f"{takes}; {advice(config, recipe, there)}.") from None


def check_memory(config: ModelConfig, recipe: Recipe, parameters: int, device: torch.device) -> None:
    """Raise `UsageError` for what this machine can't hold while training, by what is needed at the very least.

    A parameter takes 16 bytes: the weight, its gradient and AdamW's two memories; 12 with Muon's one. A unit of the
    batch takes its logits twice, and eight vectors in each block, in float32.
    """
    there = machine_memory(device)
    if there is None:
        return
    blocks = 0 if config.kind == "bigram" else config.n_layer * config.n_embd
    units = recipe.batch_size // recipe.accumulate * config.block_size
    a_parameter = 12 if recipe.optimizer == "muon" else 16
    for what, least, remedy in (
        (
            f"a model of {parameters:,} parameters",
            a_parameter * parameters,
            "make model.n_embd or model.n_layer smaller",
        ),
        (
            f"a batch of {units:,} units",
            4 * units * (2 * config.vocab_size + 8 * blocks),
            "make recipe.batch_size or model.block_size smaller, or recipe.accumulate larger",
        ),
    ):
        if least > there:
            raise UsageError(f"{what} takes {least / 1e9:,.0f} GB, and there are {there / 1e9:,.0f} here: {remedy}.")
