"""The promise of the instrument, kept on real runs: a variant against itself is hardly ever found to differ.

Two runs of the same settings and seed are the same to the last bit, so the two sides have different seeds here.
"""

import os

import numpy as np
import pytest

from hornbook import api
from hornbook.lab import evidence
from hornbook.training import saving

TINY = {
    "model.n_embd": 8,
    "model.n_layer": 1,
    "model.n_head": 1,
    "model.block_size": 8,
    "recipe.sample_length": 0,
    "recipe.evaluate_on": 200,
    "recipe.evaluate_every": 1_000,
    "recipe.batch_size": 4,
    "recipe.learning_rate": 0.01,
    "recipe.warmup": 0,
    "recipe.dtype": "float32",
}
TEXT = "to be or not to be that is the question whether tis nobler in the mind to suffer\n" * 12
POOL, COMPARISONS = 1_200, 200  # so that with three seeds no run serves twice


@pytest.fixture(scope="module")
def losses(in_folder):
    """The losses of a pool of runs that differ in nothing but their seed, as `compare` reads them off."""
    with in_folder(TEXT), pytest.MonkeyPatch.context() as patch:
        patch.setattr(api.picture, "draw", lambda folder, *losses, **more: folder.png_path.touch())
        patch.setattr(os, "fsync", lambda file: None)
        patch.setattr(saving, "NICE", 0)
        how = {"settings": TINY, "steps": 12, "progress": False}
        runs = (api.train("my.txt", out=f"runs/{seed}", seed=seed, **how) for seed in range(POOL))
        return np.array([run.final["final_val_loss"] for run in runs])


def found(losses, seeds):
    """How many of 200 comparisons, of so many runs on each side, all of them different, find something."""
    chance, n = np.random.default_rng(seeds), 0
    groups = (group for _ in range(99) for group in in_groups(chance.permutation(losses), 2 * seeds))
    for group, _ in zip(groups, range(COMPARISONS), strict=False):
        n += evidence.weigh((group[:seeds] - group[seeds:]).tolist()).verdict != "unknown"
    return n


def in_groups(numbers, size):
    return (numbers[i : i + size] for i in range(0, len(numbers) - size + 1, size))


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_a_variant_against_itself_differs_in_one_of_twenty_comparisons_at_most(losses, seeds):
    assert len(set(losses)) == POOL
    assert found(losses, seeds) <= 0.05 * COMPARISONS


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_a_lower_level_would_find_as_much_as_it_says(losses, seeds, monkeypatch):
    """So the test above can fail: the intervals are neither too narrow nor so wide that they say nothing."""
    monkeypatch.setattr(evidence, "LEVEL", 0.8)
    assert 0.1 * COMPARISONS <= found(losses, seeds) <= 0.3 * COMPARISONS
