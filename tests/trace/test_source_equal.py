"""The printed file computes what the package does: first weights, logits, gradients and losses, bit for bit."""

import ast
import subprocess
import sys
import types
from dataclasses import replace

import numpy as np
import pytest
import torch

from hornbook.model.build import build
from hornbook.model.weights import get_weights
from hornbook.presets import PRESETS
from hornbook.text import batches
from hornbook.trace.program import Given
from hornbook.trace.source import LINES, Asked, write_file
from hornbook.training import devices
from hornbook.training.optimizers import make_optimizer
from hornbook.training.schedule import batch_shape
from hornbook.training.step import TrainStep

V = 65
SMALL = {"model.n_layer": 2, "model.n_embd": 16, "model.n_head": 2, "model.block_size": 12, "recipe.batch_size": 4}


BASE = "nanogpt-cpu"
"""what other settings are tried on"""


def asked_for(name, dtype="float32", settings=(), vocab_size=V):
    """What `hornbook source` is asked for a preset with settings changed, on a CPU."""
    preset = PRESETS[name].changed(dict(settings))
    recipe = replace(preset.recipe, steps=preset.recipe.steps or 100, minutes=None)
    return Asked(preset.model_config(vocab_size), recipe, Given(3, dtype, "cpu", 1, "ids"))


def run_text(text):
    """Run a printed file as a module, without its `main`."""
    module = types.ModuleType("printed")
    exec(compile(text, "printed.py", "exec"), module.__dict__)
    return module


def imported(text):
    """The packages that a file imports anywhere."""
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = [alias.name for node in nodes for alias in node.names if isinstance(node, ast.Import)]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.partition(".")[0] for name in names}


def gradients(model, ids):
    """The logits, and the gradient of their mean square, by the name of the weight."""
    model.zero_grad()
    logits = model(ids)
    logits.square().mean().backward()
    found = {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}
    model.zero_grad()
    return logits.detach(), found


def check(asked, steps=20, most=LINES):
    """Hold a printed file to the package; return its text."""
    text = write_file(asked, "this")
    assert text.count("\n") <= most
    assert max(map(len, text.split("\n"))) <= 120
    assert imported(text) <= {"torch", "numpy", *sys.stdlib_module_names}
    config, recipe = asked.config, asked.recipe
    printed = run_text(text)
    theirs, ours = build(config, asked.given.seed), printed.make_model()
    firsts, expected = ours.state_dict(), get_weights(theirs)
    assert all(torch.equal(firsts[name], weight) for name, weight in expected.items())
    assert sum(w.numel() for w in ours.parameters()) == sum(w.numel() for w in theirs.parameters())

    ids = np.random.default_rng(0).integers(0, V, 3_000).astype(np.uint8)
    x = torch.from_numpy(ids[: 2 * config.block_size].astype(np.int64)).view(2, -1)
    (logits, grads), (expected_logits, expected_grads) = gradients(ours.eval(), x), gradients(theirs.eval(), x)
    assert torch.equal(logits, expected_logits)
    assert grads.keys() == expected_grads.keys()
    assert all(torch.equal(grads[name], expected_grads[name]) for name in grads)
    ours.train()
    theirs.train()

    step = TrainStep(theirs, make_optimizer(theirs, recipe), recipe, recipe.steps, asked.given.seed, asked.given.dtype)
    losses = []
    for number in range(1, steps + 1):
        B, T = batch_shape(number, recipe.steps, config.block_size, recipe)
        starts = batches.starts(len(ids), T, asked.given.seed, number, range(B))
        inputs, targets = map(torch.from_numpy, batches.batch(ids, starts, T))
        losses.append(step(number, inputs, targets)[0].item())
    found = printed.train(ours, ids)
    assert [next(found).item() for _ in losses] == losses
    assert len(set(losses)) == steps  # it did learn something, each time another
    if steps == recipe.steps:  # what is left when it is done
        assert not list(found)
        step.average.swap()
        assert all(map(torch.equal, ours.parameters(), theirs.parameters()))
    return text


FIRST = ("quick", "bigram", "heads")  # of each kind of model one; the others take their time


@pytest.mark.parametrize("name", FIRST)
def test_a_presets_file_is_the_package(name):
    check(asked_for(name, settings={"recipe.batch_size": 2}))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in PRESETS if name not in FIRST])
def test_every_presets_file_is_the_package(name):
    check(asked_for(name, settings={"recipe.batch_size": 2}))


def test_a_large_preset_fits_too():
    assert write_file(asked_for("nanogpt"), "nanogpt").count("\n") <= LINES


MODERN = {
    "model.positions": "rotary",
    "model.norm": "rmsnorm-nogain",
    "model.qk_norm": "rmsnorm-nogain",
    "model.mlp": "relu2",
    "model.pairs": "bigram",
    "model.logits": "capped",
    "model.init_zero": True,
}
COMBINATIONS = [
    MODERN,
    {"model.norm": "rmsnorm", "model.mlp": "swiglu", "model.n_head": 4, "model.n_kv_head": 2, "model.pairs": "bigram"},
    {"model.attention": "heads", "model.n_head": 4, "model.n_kv_head": 2, "model.positions": "rotary"}
    | {"model.values": "embedding"},
    {"model.attention": "heads", "model.positions": "sinusoidal", "model.block": "post", "recipe.schedule": "cosine"},
    {"model.attention": "head", "model.n_head": 1, "model.block": "branch", "model.attention_dropout": 0.3},
    {"model.attention": "batched", "model.block": "plain", "model.norm": "identity", "model.mlp": "identity"}
    | {"model.init_std": 0.2},
    {"model.dropout": 0.2, "model.attention_dropout": 0, "model.tied": True, "recipe.accumulate": 4},
    {"model.attention": "nothing", "model.positions": "nothing", "recipe.warmup": 0, "recipe.schedule": "constant"},
    {"model.mlp": "nothing", "model.dropout": 0.3, "model.n_hidden": 20, "model.init_scaled": False},
    {"model.embedding_dropout": 0.5, "model.tied": True, "model.bias_head": False, "recipe.clip": 0},
    {"model.mlp": "gelu", "model.norm": "layernorm", "model.bias_qkv": False, "model.bias_mlp": False},
]
TRAININGS = {
    "muon": {"recipe.optimizer": "muon", "recipe.steps": 5, "model.values": "embedding"},
    "hold": {"recipe.schedule": "linear", "recipe.hold": 0.4, "recipe.steps": 8},
    "decay": {"recipe.decay_schedule": "cosine", "recipe.weight_decay": 0.5, "recipe.steps": 8, "recipe.warmup": 2},
    "average": {"recipe.average": 0.8, "recipe.steps": 5},
    "length": {"recipe.length_warmup": 0.5, "recipe.steps": 8, "recipe.accumulate": 2, "model.dropout": 0.1},
}


@pytest.mark.parametrize("settings", COMBINATIONS[:5], ids=lambda settings: " ".join(map(str, settings.values())))
def test_any_parts_print(settings):
    check(asked_for(BASE, "float32", SMALL | settings), steps=8)


PLANNED = {
    "dropout": ({"model.dropout": 0.2, "model.pairs": "bigram", "model.attention": "batched"}, V),
    "without pairs": ({"model.dropout": 0.2, "model.pairs": "nothing", "model.attention": "batched"}, V),
    "hashed": ({"model.dropout": 0.05, "model.pairs": "bigram", "model.attention": "batched"}, 1000),
    "fused": ({"model.dropout": 0.1, "model.pairs": "bigram", "model.attention": "fused"}, V),
    "hashed and fused": ({"model.dropout": 0.2, "model.pairs": "bigram", "model.attention": "fused"}, 1000),
    "without dropout": ({"model.dropout": 0.0, "model.pairs": "bigram", "model.attention": "batched"}, 1000),
}
"""what `quick` becomes when it is planned for a text, a time and a machine"""


@pytest.mark.parametrize("name", [n if n == "hashed" else pytest.param(n, marks=pytest.mark.slow) for n in PLANNED])
def test_whatever_is_planned_is_the_package(name):
    settings, vocab_size = PLANNED[name]
    check(asked_for("quick", "bfloat16", SMALL | settings, vocab_size), steps=20)


@pytest.mark.parametrize("name", [n if n == "hashed" else pytest.param(n, marks=pytest.mark.slow) for n in PLANNED])
def test_whatever_is_planned_fits_on_a_gpu_too(name, monkeypatch):
    """Where the step is compiled, the device is asked for and the threads are set: what takes the most lines."""
    monkeypatch.setattr(devices, "find_spec", lambda name: True)
    monkeypatch.setenv("CC", "cc")
    settings, vocab_size = PLANNED[name]
    asked = asked_for("quick", "bfloat16", settings, vocab_size)
    text = write_file(replace(asked, given=replace(asked.given, device="cuda")), name)
    assert "torch.compile(" in text
    assert text.count("\n") <= LINES


@pytest.mark.slow
@pytest.mark.parametrize("settings", COMBINATIONS, ids=lambda settings: " ".join(map(str, settings.values())))
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_all_parts_print_in_any_numbers(settings, dtype):
    check(asked_for(BASE, dtype, SMALL | settings), steps=8)


@pytest.mark.parametrize("name", [n if n == "muon" else pytest.param(n, marks=pytest.mark.slow) for n in TRAININGS])
def test_any_training_prints(name):
    asked = asked_for(BASE, settings=SMALL | TRAININGS[name])
    check(asked, steps=asked.recipe.steps, most=LINES + 15)


def test_all_trainings_together_print():
    """More than fits into the lines that a file should have."""
    together = {name: value for each in TRAININGS.values() for name, value in each.items()}
    asked = asked_for("heads", settings=SMALL | together)
    text = check(asked, steps=8, most=LINES + 60)
    assert "torch.optim.Muon(" in text


def test_the_longest_of_all_is_hardly_longer():
    """Heads one by one, whose weights are saved stacked, with everything else that takes lines."""
    settings = {"model.attention": "heads", "model.dropout": 0.2, "model.positions": "sinusoidal"}
    more = {"recipe.accumulate": 2, "recipe.schedule": "cosine", "model.tied": True}
    check(asked_for(BASE, "bfloat16", SMALL | settings | more), steps=8, most=LINES + 15)


def test_all_modern_parts_with_dropout_fit_too():
    check(asked_for(BASE, "bfloat16", SMALL | MODERN | {"model.dropout": 0.2}), steps=8)


@pytest.mark.parametrize("name", ["quick", "heads", "bigram"])
def test_no_name_is_unused_and_none_unknown(name, tmp_path):
    ruff = pytest.importorskip("ruff", reason="ruff comes with the extra `lint`")
    path = tmp_path / "gpt.py"
    path.write_text(write_file(asked_for(name), name), encoding="utf-8")
    words = [sys.executable, "-m", ruff.__name__, "check", "--isolated", "--select", "F", "--no-cache", str(path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_only_what_is_in_use_is_there():
    plain = write_file(asked_for(BASE), BASE)
    for absent in (
        "Dropout",
        "Clock",
        "cache",
        "Causal(",
        "MatmulCore",
        "UsageError",
        "config.",
        "recipe.",
        "isinstance(mask",
    ):
        assert absent not in plain, absent
    assert "class FusedCore(nn.Module)" in plain
    dropping = write_file(asked_for(BASE, settings={"model.dropout": 0.1}), BASE)
    assert "class Dropout(nn.Module)" in dropping
    assert "class FusedCore(MatmulCore)" in dropping
    linear = write_file(asked_for(BASE, settings={"recipe.schedule": "linear"}), BASE)
    assert "math.cos(math.pi * done)" in plain
    assert "math.cos(math.pi * done)" not in linear
    for absent in ("Muon", "Average", "decay_done", "batch_shape", '["weight_decay"]'):
        assert absent not in plain, absent


def test_a_size_is_changed_in_one_place():
    text = write_file(asked_for(BASE, settings=SMALL), BASE)
    printed = run_text(text.replace("n_embd = 2, 2, 16 ", "n_embd = 2, 2, 24 "))
    assert printed.make_model().state_dict()["blocks.1.mlp.expand.weight"].shape == (96, 24)


def test_the_same_is_printed_each_time():
    assert write_file(asked_for("heads"), "heads") == write_file(asked_for("heads"), "heads")
