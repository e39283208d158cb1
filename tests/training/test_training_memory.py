"""What a training takes in memory, and what to do where it is too much: the advice is followed, and holds."""

import os
import re
import sys
from dataclasses import replace

import pytest
import torch

from hornbook.errors import UsageError, is_out_of_memory
from hornbook.model.config import ModelConfig
from hornbook.training.memory import advice, advising, available, check_memory, needed
from hornbook.training.recipe import Recipe

CPU = torch.device("cpu")
CONFIG = ModelConfig(vocab_size=65, n_layer=4, n_head=4, n_embd=128, block_size=64)


@pytest.mark.skipif(not hasattr(os, "sysconf"), reason="Windows does not say how much memory there is")
def test_what_memory_can_not_hold_is_refused_with_a_remedy():
    config = ModelConfig(vocab_size=65)
    check_memory(config, Recipe(), 10**6, CPU)
    check_memory(config, Recipe(optimizer="muon"), 10**6, CPU)
    with pytest.raises(UsageError, match=r"^a model of .* parameters takes .* GB, .*: make model\.n_embd or"):
        check_memory(config, Recipe(), 10**14, CPU)
    with pytest.raises(UsageError, match=r"^a batch of .* units takes .* GB, .*: make recipe\.batch_size or"):
        check_memory(ModelConfig(vocab_size=65, block_size=2**20), Recipe(batch_size=2**20), 10**6, CPU)


def test_what_is_advised_is_the_nearest_that_fits():
    recipe = Recipe(batch_size=64)
    whole = needed(CONFIG, recipe)
    half = needed(CONFIG, Recipe(batch_size=64, accumulate=2))
    assert advice(CONFIG, recipe, half + 1) == "--set recipe.accumulate=2 would fit, and trains the same"
    assert half < whole
    least = needed(CONFIG, Recipe(batch_size=64, accumulate=64))
    said = advice(CONFIG, recipe, int(least * 0.7))
    assert re.fullmatch(r"--set model\.(block_size|n_embd)=\d+ recipe\.accumulate=64 would fit", said)
    assert advice(CONFIG, recipe, 1000).startswith("the smallest model")


def test_more_of_anything_takes_more():
    recipe = Recipe(batch_size=512)
    sizes = [needed(CONFIG, recipe)]
    for more in ({"n_layer": 8}, {"n_embd": 256}, {"block_size": 128}, {"attention": "heads"}, {"dropout": 0.1}):
        sizes.append(needed(ModelConfig(**{**CONFIG.to_json(), **more}), recipe))
    assert min(sizes[1:]) > sizes[0]
    with_values = ModelConfig(**{**CONFIG.to_json(), "values": "embedding"})
    for each in (recipe, replace(recipe, optimizer="muon")):  # of a table AdamW remembers two things, either way
        assert needed(with_values, each) - needed(CONFIG, each) == 34 * 4 * 65 * 128
    less, more = (needed(CONFIG, replace(recipe, **change)) for change in ({"optimizer": "muon"}, {"average": 0.9}))
    assert less < sizes[0] < more


def test_other_errors_pass_by():
    for error in (RuntimeError("shapes differ"), KeyError("out of memory")):
        with pytest.raises(type(error)), advising(CONFIG, Recipe(), CPU):
            raise error
    for error in (MemoryError(), RuntimeError("CUDA out of memory. Tried to allocate"), RuntimeError("std::bad_alloc")):
        assert is_out_of_memory(error)
        said = r"^not enough memory: this training takes about [\d.]+ GB.*; "
        with pytest.raises(UsageError, match=said), advising(CONFIG, Recipe(), CPU):
            raise error


LIMITED = """
import resource, sys, torch
torch.set_num_threads(1)
import hornbook as hb
from hornbook.errors import UsageError
left = 600 << 20
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + left, size + left))
settings = {"recipe.steps": 2, "recipe.batch_size": 256, "recipe.evaluate_on": 4096, "recipe.sample_length": 5}
settings |= {"model.n_layer": 4, "model.n_head": 4, "model.n_embd": 128, "model.block_size": 128}
settings |= dict(word.split("=") for word in sys.argv[3:])
try:
    hb.train(sys.argv[1], "small", out=sys.argv[2], settings=settings, progress=None)
except UsageError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the address space so that it can be relied on")
def test_the_advice_fits_under_the_limit_that_was_hit(python, tmp_path, made_up):
    text = tmp_path / "text.txt"
    text.write_text(made_up(9000), encoding="utf-8")
    first = python("-c", LIMITED, text, tmp_path / "one")
    said, errors = first.communicate()
    assert first.returncode == 0, errors
    found = re.search(
        r"^not enough memory: .* of the 0\.[0-9]+ GB that were left; --set (recipe\.accumulate=\d+)", said
    )
    assert found, said
    assert not (tmp_path / "one" / "checkpoints" / "step-00000002").exists()
    second = python("-c", LIMITED, text, tmp_path / "two", found[1])
    assert second.communicate()[0] == ""
    assert (tmp_path / "two" / "checkpoints" / "step-00000002").exists()
    assert (available(CPU) or 1) > 0
