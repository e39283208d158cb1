"""The optimizer: what it decays, and that its memory goes out and in again without losing a bit."""

import math
from dataclasses import replace

import pytest
import torch

from hornbook.errors import UsageError
from hornbook.model.build import build
from hornbook.model.config import ModelConfig
from hornbook.training.optimizers import get_memory, load_memory, make_optimizer
from hornbook.training.recipe import Recipe

RECIPE = Recipe(learning_rate=1e-2, weight_decay=0.1, beta1=0.8, beta2=0.95)
MUON = replace(RECIPE, optimizer="muon", muon_rate=0.02, muon_momentum=0.9)


def make(seed=1, recipe=RECIPE, **changes):
    model = build(ModelConfig(11, **{"block_size": 6, "n_layer": 2, "n_head": 2, "n_embd": 8, **changes}), seed)
    return model, make_optimizer(model, recipe)


def update(model, optimizer, seed):
    drawn = torch.Generator().manual_seed(seed)
    for weight in model.parameters():
        weight.grad = torch.randn(weight.shape, generator=drawn).to(weight.dtype)
    optimizer.step()


@pytest.mark.parametrize("tied", [False, True])
def test_only_matrices_decay_and_nothing_is_left_out(tied):
    model, optimizer = make(tied=tied)
    decays = {id(w): group["weight_decay"] for group in optimizer.param_groups for w in group["params"]}
    for name, weight in model.named_parameters():
        is_matrix = name.endswith("weight") and "norm" not in name
        assert weight.dim() == (2 if is_matrix else 1), name
        assert decays.pop(id(weight)) == (0.1 if is_matrix else 0), name
    assert not decays
    assert all(group["betas"] == (0.8, 0.95) for group in optimizer.param_groups)


def test_without_a_gradient_to_follow_matrices_shrink_and_vectors_stay():
    model, optimizer = make()
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    for weight in model.parameters():
        weight.grad = torch.zeros_like(weight)
    optimizer.step()
    for name, weight in model.named_parameters():
        expected = before[name] * (1 - 1e-2 * 0.1) if weight.dim() == 2 else before[name]
        torch.testing.assert_close(weight.detach(), expected.detach(), rtol=1e-6, atol=0)
    assert torch.equal(model.norm.weight, before["norm.weight"])


@pytest.mark.parametrize("recipe", [RECIPE, MUON], ids=["adamw", "muon"])
@pytest.mark.parametrize("attention", ["heads", "batched"])
def test_memory_goes_out_and_in_bit_for_bit(attention, recipe):
    """What goes on from it makes the very same updates as what was never interrupted."""
    model, optimizer = make(attention=attention, recipe=recipe, values="embedding")
    for seed in range(3):
        update(model, optimizer, seed)
    memory = {name: value.clone() for name, value in get_memory(model, optimizer).items()}
    other, other_optimizer = make(attention=attention, recipe=recipe, values="embedding", seed=2)
    other.load_state_dict(model.state_dict())
    load_memory(other, other_optimizer, memory)
    again = get_memory(other, other_optimizer)
    assert memory.keys() == again.keys()
    assert all(torch.equal(memory[name], again[name]) for name in memory)
    assert all(memory[name].dtype == again[name].dtype for name in memory)
    for seed in range(3, 6):
        update(model, optimizer, seed)
        update(other, other_optimizer, seed)
        for (name, weight), twin in zip(model.named_parameters(), other.parameters(), strict=True):
            assert torch.equal(weight, twin), name


def test_memory_is_by_name_whatever_the_order():
    model, optimizer = make()
    update(model, optimizer, 0)
    memory = get_memory(model, optimizer)
    names = [name for name, _ in model.named_parameters()]
    assert memory.keys() == {f"{name}/{what}" for name in names for what in ("step", "exp_avg", "exp_avg_sq")}
    other, other_optimizer = make()
    load_memory(other, other_optimizer, dict(sorted(memory.items(), reverse=True)))
    for name, value in get_memory(other, other_optimizer).items():
        assert torch.equal(value, memory[name]), name


def test_what_was_read_is_left_as_it_was():
    """It may be a view of a file, or be read by somebody else."""
    model, optimizer = make()
    update(model, optimizer, 0)
    memory = {name: value.clone() for name, value in get_memory(model, optimizer).items()}
    kept = {name: value.clone() for name, value in memory.items()}
    load_memory(model, optimizer, memory)
    update(model, optimizer, 1)
    assert all(torch.equal(memory[name], kept[name]) for name in memory)


def test_before_the_first_update_there_is_no_memory():
    model, optimizer = make()
    assert get_memory(model, optimizer) == {}
    load_memory(model, optimizer, {})
    assert get_memory(model, optimizer) == {}


def test_tied_weights_are_remembered_once():
    model, optimizer = make(tied=True)
    update(model, optimizer, 0)
    assert "tokens.weight/exp_avg" in get_memory(model, optimizer)
    assert "head.weight/exp_avg" not in get_memory(model, optimizer)


def test_memory_of_a_weight_that_there_is_not_is_refused():
    model, optimizer = make()
    with pytest.raises(UsageError) as caught:
        load_memory(model, optimizer, {"blocks.7.mlp.weight/exp_avg": torch.zeros(1)})
    assert str(caught.value) == ("the optimizer remembers 'blocks.7.mlp.weight', which is not a weight of this model.")


OTHERS = {
    "SGD with momentum": lambda weights: torch.optim.SGD(weights, lr=1e-2, momentum=0.9),
    "RMSprop": lambda weights: torch.optim.RMSprop(weights, lr=1e-2),
    "AdamW with amsgrad": lambda weights: torch.optim.AdamW(weights, lr=1e-2, amsgrad=True),
}


@pytest.mark.parametrize("name", OTHERS)
def test_the_memory_of_a_learners_own_optimizer_goes_out_and_in_again(name):
    (model, _), (other, _) = make(), make()
    optimizer, again = OTHERS[name](model.parameters()), OTHERS[name](other.parameters())
    update(model, optimizer, 1)
    load_memory(other, again, get_memory(model, optimizer))
    other.load_state_dict(model.state_dict())
    for made, by in ((model, optimizer), (other, again)):
        update(made, by, 2)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


def test_weights_in_bfloat16_are_remembered():
    (model, _), (other, _) = make(), make()
    made = [(each, torch.optim.AdamW(each.bfloat16().parameters(), lr=1e-2)) for each in (model, other)]
    update(*made[0], 1)
    load_memory(*made[1], get_memory(*made[0]))
    assert all(torch.equal(value, get_memory(*made[1])[key]) for key, value in get_memory(*made[0]).items())


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("attention", ["heads", "fused"])
def test_muon_has_the_matrices_inside_the_blocks_and_adamw_all_else(tied, attention):
    """A table inside a block is looked up, a row a unit: an embedding, not a matrix."""
    model, optimizer = make(recipe=MUON, tied=tied, attention=attention, values="embedding")
    tables = [name for name, _ in model.named_parameters() if name.startswith("blocks.") and "table" in name]
    assert len(tables) == 2
    groups = {id(w): group for group in optimizer.param_groups for w in group["params"]}
    for name, weight in model.named_parameters():
        inside = name.startswith("blocks.") and weight.dim() == 2 and name not in tables
        group = groups.pop(id(weight))
        assert ("ns_steps" in group, "betas" in group) == (inside, not inside), name
        assert group["times"] == (2 if inside else 1), name
        assert group["weight_decay"] == (0.1 if weight.dim() == 2 else 0), name
    assert not groups
    update(model, optimizer, 1)
    for name, weight in model.named_parameters():
        inside = name.startswith("blocks.") and weight.dim() == 2 and name not in tables
        assert optimizer.state[weight].keys() == ({"momentum_buffer"} if inside else {"step", "exp_avg", "exp_avg_sq"})
    optimizer.zero_grad()
    assert all(weight.grad is None for weight in model.parameters())


def test_it_is_muon_as_its_author_writes_it():
    """Jordan 2024: momentum after Nesterov, five steps of Newton and Schulz, here in float64; beside the same AdamW."""

    def orthogonal(update):
        x = update / update.norm()
        for _ in range(5):
            square = x @ x.T
            x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
        return x

    (model, optimizer), (twin, of_twin) = make(recipe=MUON), make()
    kept = {name: torch.zeros_like(w) for name, w in model.named_parameters()}
    for seed in range(4):
        before = {name: w.detach().clone() for name, w in model.named_parameters()}
        rate = 0.001 * (seed + 1)
        for group in optimizer.param_groups:
            group["lr"] = rate * group["times"]
        for group in of_twin.param_groups:
            group["lr"] = rate
        update(model, optimizer, seed)
        update(twin, of_twin, seed)
        for (name, weight), other in zip(model.named_parameters(), twin.parameters(), strict=True):
            if not (name.startswith("blocks.") and weight.dim() == 2):
                assert torch.equal(weight, other), name
                continue
            kept[name] = 0.9 * kept[name] + 0.1 * weight.grad
            nesterov = (0.9 * kept[name] + 0.1 * weight.grad).double()
            scale = math.sqrt(max(1, weight.shape[0] / weight.shape[1]))
            tall = weight.shape[0] > weight.shape[1]
            direction = orthogonal(nesterov.T).T if tall else orthogonal(nesterov)
            expected = before[name].double() * (1 - 2 * rate * 0.1) - 2 * rate * scale * direction
            moved = (weight - before[name]).double().norm()
            assert (weight - expected).norm() < 0.03 * moved, name  # its products are in bfloat16


def test_muon_does_the_same_each_time():
    ends = []
    for _ in range(2):
        model, optimizer = make(recipe=MUON)
        for seed in range(3):
            update(model, optimizer, seed)
        ends.append([weight.detach().clone() for weight in model.parameters()])
    assert all(map(torch.equal, *ends))


@pytest.mark.parametrize("changes", [{"kind": "bigram"}, {"attention": "nothing", "mlp": "nothing"}])
def test_where_there_is_no_matrix_in_a_block_muon_is_adamw(changes):
    (model, optimizer), (twin, of_twin) = make(recipe=MUON, **changes), make(**changes)
    for seed in range(3):
        update(model, optimizer, seed)
        update(twin, of_twin, seed)
    assert all(map(torch.equal, model.parameters(), twin.parameters()))
    again, other = make(recipe=MUON, **changes)
    load_memory(again, other, get_memory(model, optimizer))


DAMAGES = {
    "tokens.weight/momentum_buffer": torch.zeros(11, 8),
    "blocks.0.mlp.expand.weight/exp_avg": torch.zeros(32, 8),
    "blocks.0.mlp.expand.weight/momentum_buffer": torch.zeros(8, 32),
    "blocks.1.mlp.expand.weight/momentum_buffer": torch.zeros(32, 8, dtype=torch.float64),
    "blocks.0.mlp.expand.bias/exp_avg_sq": torch.full((32,), -1.0),
}


@pytest.mark.parametrize("key", DAMAGES)
def test_what_muon_does_not_remember_is_refused(key):
    model, optimizer = make(recipe=MUON)
    update(model, optimizer, 1)
    memory = get_memory(model, optimizer) | {key: DAMAGES[key]}
    with pytest.raises(UsageError, match=key):
        load_memory(*make(recipe=MUON), memory)
    with pytest.raises(UsageError, match="remember"):  # and an optimizer of the one kind takes none of the other
        load_memory(*make(), get_memory(model, optimizer))
