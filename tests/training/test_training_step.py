"""One step: equal to the equations written out, and the same however its batch is cut into pieces."""

import math
import shutil
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from hornbook.model.build import build
from hornbook.model.config import ModelConfig
from hornbook.model.dropout import Dropout
from hornbook.training.optimizers import make_optimizer
from hornbook.training.recipe import Recipe
from hornbook.training.schedule import learning_rate, weight_decay_at
from hornbook.training.step import TrainStep


def make(recipe, steps=10, seed=3, **changes):
    """Return a step of a tiny model in float64, whose gradients and rates are kept as the optimizer meets them."""
    sizes = {"block_size": 6, "n_layer": 2, "n_head": 2, "n_embd": 8, "attention": "heads", "dropout": 0.3}
    model = build(ModelConfig(11, **{**sizes, **changes}), seed).double()
    optimizer = make_optimizer(model, recipe)
    step = TrainStep(model, optimizer, recipe, steps, seed, "float32")
    step.met = []

    def keep(optimizer, args, kwargs):
        gradients = {name: weight.grad.clone() for name, weight in model.named_parameters()}
        step.met.append((gradients, {group["lr"] for group in optimizer.param_groups}))

    optimizer.register_step_pre_hook(keep)
    return step


def batch(seed, rows=4):
    units = torch.randint(11, (rows, 7), generator=torch.Generator().manual_seed(seed))
    return units[:, :-1], units[:, 1:]


def silent_units(model):
    """Keep which units each dropout silences, by site and head, piece after piece."""
    kept = {}
    for name, part in model.named_modules():
        if isinstance(part, Dropout):

            def keep(part, args, output, name=name):
                kept.setdefault(name, []).append((output == 0) & (args[0] != 0))

            part.register_forward_hook(keep)
    return kept


@pytest.mark.parametrize("attention", ["heads", "batched"])
def test_a_batch_in_pieces_is_the_same_batch(attention):
    """The same units drop out, and the gradient is the same, in 1, 2 and 4 pieces; clipped after the last."""
    found = {}
    for pieces in (1, 2, 4):
        step = make(Recipe(batch_size=4, accumulate=pieces, clip=0.05), attention=attention)
        kept = silent_units(step.model)
        loss, norm = step(7, *batch(1))
        gradients, _ = step.met[0]
        found[pieces] = loss, norm, gradients, {name: torch.cat(parts) for name, parts in kept.items()}
        assert all(len(parts) == pieces for parts in kept.values())
    loss, norm, gradients, masks = found[1]
    assert sum(mask.sum() for mask in masks.values()) > 100
    assert norm > 0.05
    for pieces in (2, 4):
        again = found[pieces]
        assert again[0] == pytest.approx(loss.item(), rel=1e-6)
        assert again[1] == pytest.approx(norm.item(), rel=1e-12)
        for name, mask in masks.items():
            assert torch.equal(mask, again[3][name]), name
        for name, gradient in gradients.items():
            torch.testing.assert_close(again[2][name], gradient, rtol=1e-12, atol=1e-15)


def test_other_steps_drop_other_units_and_the_same_step_the_same():
    masks = []
    for number in (1, 2, 1):
        step = make(Recipe(batch_size=4))
        kept = silent_units(step.model)
        step(number, *batch(1))
        masks.append(torch.cat([part.flatten() for parts in kept.values() for part in parts]))
    assert torch.equal(masks[0], masks[2])
    assert (masks[0] != masks[1]).any()


def test_a_step_depends_on_nothing_but_what_it_is_given():
    """A step after others is the same as that step by itself, from the same weights and memory."""
    recipe = Recipe(batch_size=4, accumulate=2)
    one, other = make(recipe), make(recipe)
    torch.manual_seed(99)
    one(1, *batch(1))
    torch.manual_seed(7)
    torch.rand(5)
    other(1, *batch(1))
    for a, b in zip(one.model.parameters(), other.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_long_gradient_is_shortened_and_a_short_one_left():
    unclipped = make(Recipe(batch_size=4, clip=0))
    _, norm = unclipped(1, *batch(1))
    whole = unclipped.met[0][0]
    assert norm.item() == pytest.approx(math.sqrt(sum(g.square().sum().item() for g in whole.values())), rel=1e-12)
    short = make(Recipe(batch_size=4, clip=2 * norm.item()))
    assert short(1, *batch(1))[1] == norm
    assert all(torch.equal(short.met[0][0][name], whole[name]) for name in whole)
    clip = norm.item() / 3
    long = make(Recipe(batch_size=4, clip=clip))
    assert long(1, *batch(1))[1] == norm  # what is reported is the length before
    for name, gradient in long.met[0][0].items():
        torch.testing.assert_close(gradient, whole[name] / 3, rtol=1e-4, atol=0)  # torch adds 1e-6 to the norm
    length = math.sqrt(sum(g.square().sum().item() for g in long.met[0][0].values()))
    assert clip * (1 - 1e-4) < length <= clip


def test_each_update_uses_its_own_rate():
    recipe = Recipe(batch_size=4, learning_rate=0.01, warmup=3, schedule="cosine", floor=0.1)
    step = make(recipe, steps=8)
    for number in range(1, 9):
        step(number, *batch(number))
    assert [rates for _, rates in step.met] == [{learning_rate(number, 8, recipe)} for number in range(1, 9)]
    step(3, *batch(1))  # a step that is made again uses the rate that it had
    assert step.met[-1][1] == {learning_rate(3, 8, recipe)}


def test_each_group_has_its_own_peak_and_both_schedules():
    """Muon's rate is as many times AdamW's at each step; the decay falls by itself; biases are never decayed."""
    recipe = Recipe(batch_size=4, optimizer="muon", muon_rate=0.05, learning_rate=0.01, warmup=2, schedule="linear")
    recipe = replace(recipe, hold=0.5, weight_decay=0.2, decay_schedule="cosine", muon_momentum=0.8)
    step = make(recipe, steps=8, dropout=0.0)
    for number in (1, 8, 5, 6, 1):  # what was set before is forgotten
        step(number, *batch(number))
        matrices, others, inside = step.optimizer.param_groups
        rate = learning_rate(number, 8, recipe)
        assert matrices["lr"] == others["lr"] == rate
        assert inside["lr"] == pytest.approx(5 * rate, rel=1e-15)
        assert matrices["weight_decay"] == inside["weight_decay"] == weight_decay_at(number, 8, recipe)
        assert others["weight_decay"] == 0
    assert inside["momentum"] == 0.8


@pytest.mark.parametrize("pieces", [2, 4])
def test_a_batch_of_short_windows_in_pieces_is_the_same_batch(pieces, tiny_task):
    """With Muon and an average; which windows and units, to the bit."""
    ends = []
    for accumulate in (1, pieces):
        task = tiny_task(accumulate=accumulate, optimizer="muon", average=0.5, length_warmup=1.0)
        model = task.model.double()
        step = TrainStep(model, make_optimizer(model, task.recipe), task.recipe, task.steps, task.seed, task.dtype)
        kept = silent_units(model)
        inputs, targets = task.batch(1)
        assert inputs.shape == targets.shape == (16, 2)
        loss, norm = step(1, inputs, targets)
        masks = {name: torch.cat(parts) for name, parts in kept.items()}
        ends.append((inputs, masks, loss.item(), norm.item()))
    (inputs, masks, *figures), (same, also, *others) = ends
    assert torch.equal(inputs, same)
    assert all(torch.equal(mask, also[name]) for name, mask in masks.items())
    assert figures == pytest.approx(others, rel=1e-6)


def test_it_is_adamw_as_its_authors_write_it():
    """Loshchilov and Hutter 2019, algorithm 2, written out here, follows the same weights for six steps."""
    recipe = Recipe(
        batch_size=4, learning_rate=0.02, warmup=2, schedule="linear", beta1=0.8, beta2=0.9, weight_decay=0.3, clip=0.1
    )
    step = make(recipe, steps=6, dropout=0.0)
    twin = make(recipe, steps=6, dropout=0.0).model
    first = {name: torch.zeros_like(w) for name, w in twin.named_parameters()}
    second = {name: torch.zeros_like(w) for name, w in twin.named_parameters()}
    for t in range(1, 7):
        inputs, targets = batch(t)
        loss, _ = step(t, inputs, targets)
        logits = twin(inputs)
        picked = logits.log_softmax(-1).gather(-1, targets[..., None])
        expected = -picked.mean()
        assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
        names, weights = zip(*twin.named_parameters(), strict=True)
        gradients = torch.autograd.grad(expected, weights)
        norm = math.sqrt(sum(g.square().sum().item() for g in gradients))
        assert norm > recipe.clip
        rate = recipe.learning_rate * (t / 3 if t <= 2 else 1 - (t - 3) / 4)
        with torch.no_grad():
            for name, weight, gradient in zip(names, weights, gradients, strict=True):
                g = gradient * recipe.clip / (norm + 1e-6)
                first[name] = 0.8 * first[name] + 0.2 * g
                second[name] = 0.9 * second[name] + 0.1 * g**2
                m, v = first[name] / (1 - 0.8**t), second[name] / (1 - 0.9**t)
                decay = 0.3 * weight if weight.dim() == 2 else 0
                weight -= rate * (m / (v.sqrt() + 1e-8) + decay)
        for (name, weight), reference in zip(step.model.named_parameters(), weights, strict=True):
            torch.testing.assert_close(weight, reference, rtol=1e-9, atol=1e-12, msg=f"step {t}, {name}")


def test_the_loss_is_the_mean_over_the_batch():
    step = make(Recipe(batch_size=4, accumulate=2), dropout=0.0)
    inputs, targets = batch(5)
    expected = F.cross_entropy(step.model(inputs).flatten(0, 1), targets.flatten()).item()
    loss, _ = step(1, inputs, targets)
    assert loss.item() == pytest.approx(expected, rel=1e-6)
    assert not loss.requires_grad


def test_gradients_do_not_pile_up():
    step = make(Recipe(batch_size=4, clip=0))
    for number in (1, 1):
        step(number, *batch(1))
    assert all(weight.grad is None or not weight.grad.any() for weight in step.model.parameters())


def test_bfloat16_changes_the_products_and_not_the_weights():
    """The loss moves, by no more than its 8 bits of mantissa lead one to expect; weights and memory stay float32."""
    losses = {}
    for dtype in ("float32", "bfloat16"):
        model = build(ModelConfig(11, block_size=6, n_layer=2, n_head=2, n_embd=8, init_std=0.3), 1)
        optimizer = make_optimizer(model, Recipe())
        losses[dtype] = TrainStep(model, optimizer, Recipe(), 10, 1, dtype)(1, *batch(1))[0].item()
        assert all(weight.dtype == torch.float32 for weight in model.parameters())
        assert all(v.dtype == torch.float32 for state in optimizer.state.values() for v in state.values())
    assert losses["float32"] != losses["bfloat16"]
    assert losses["float32"] == pytest.approx(losses["bfloat16"], abs=2**-8 * losses["float32"])


@pytest.mark.parametrize("attention", ["heads", "batched", "fused"])
def test_one_batch_is_learned_by_heart(attention):
    """What can't bring one batch to nothing has a mistake in it."""
    recipe = Recipe(batch_size=4, learning_rate=2e-2, warmup=10, clip=1.0)
    model = build(ModelConfig(11, block_size=6, n_layer=2, n_head=2, n_embd=16, attention=attention), 1)
    step = TrainStep(model, make_optimizer(model, recipe), recipe, 200, 1, "float32")
    inputs = torch.tensor([[0, 1, 2, 3, 4, 5], [1, 3, 5, 7, 9, 0], [2, 2, 4, 4, 6, 6], [9, 8, 7, 6, 5, 4]])
    targets = torch.tensor([[1, 2, 3, 4, 5, 6], [3, 5, 7, 9, 0, 2], [2, 4, 4, 6, 6, 8], [8, 7, 6, 5, 4, 3]])
    losses = [step(number, inputs, targets)[0].item() for number in range(1, 201)]
    assert abs(losses[0] - math.log(11)) < 0.1
    # the last rows begin like no other, the first unit tells all: nothing is left to chance
    assert losses[-1] < 0.01


@pytest.mark.slow
@pytest.mark.skipif(not any(map(shutil.which, ("cc", "gcc", "clang", "cl"))), reason="torch.compile needs a compiler")
@pytest.mark.filterwarnings("default")  # torch's compiler has warnings of its own
def test_a_compiled_step_drops_the_same_units_and_is_compiled_once():
    """What CUDA trains with, here on the processor: the step's number is a tensor, so no step compiles it anew."""
    config = ModelConfig(vocab_size=65, n_layer=1, n_embd=32, n_head=4, block_size=16, dropout=0.2)
    recipe = Recipe(batch_size=8, accumulate=2, learning_rate=1e-2)
    losses = []
    torch._dynamo.reset()
    for compiled in (False, True):
        model = build(config, seed=1)
        step = TrainStep(model, make_optimizer(model, recipe), recipe, 10, 1, "float32")
        if compiled:
            step.loss_of = torch.compile(step.loss_of)
        ids = torch.randint(65, (8, 16), generator=torch.Generator().manual_seed(0))
        losses.append([step(number, ids, ids)[0].item() for number in range(1, 6)])
    assert losses[1] == pytest.approx(losses[0], abs=1e-5)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
