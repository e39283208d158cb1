"""First values: normal draws that depend on (seed, name, place) and on nothing else, and the loss that follows."""

import math

import pytest
import torch
from torch import nn

from hornbook import chance
from hornbook.errors import UsageError
from hornbook.model import weights
from hornbook.model.build import build, with_parts
from hornbook.model.mlp import MLP
from hornbook.model.weights import first_value, get_weights, load_weights, normal


def kolmogorov(sample):
    """Return √n times the largest gap between a sample's distribution and N(0, 1) (1.95: one in a thousand)."""
    n = len(sample)
    below = torch.special.ndtr(sample.sort().values)
    steps = torch.arange(n + 1, dtype=torch.float64) / n
    return max((steps[1:] - below).max(), (below - steps[:-1]).max()).item() * math.sqrt(n)


@pytest.mark.parametrize("name", ["a", "tokens.weight", "blocks.3.mlp.project.weight"])
def test_draws_are_normal(name):
    n = 200_000
    drawn = normal(chance.key(0, name), n)
    assert drawn.dtype == torch.float64
    assert drawn.isfinite().all()
    assert abs(drawn.mean()) < 4 / math.sqrt(n)
    assert abs(drawn.std() - 1) < 4 / math.sqrt(2 * n)
    assert abs(drawn.pow(3).mean()) < 4 * math.sqrt(15 / n)
    assert abs(drawn.pow(4).mean() - 3) < 4 * math.sqrt(96 / n)
    assert kolmogorov(drawn) < 1.95
    for distance in (1, 2, 64, 384):  # no draw knows of another
        together = torch.stack([drawn[:-distance], drawn[distance:]])
        assert abs(together.corrcoef()[0, 1]) < 4.5 / math.sqrt(n)


def test_kolmogorov_would_notice():
    drawn = normal(chance.key(0, "a"), 200_000)
    assert kolmogorov(drawn * 1.02) > 1.95
    assert kolmogorov(drawn + 0.02) > 1.95
    assert kolmogorov(torch.rand(1000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)) > 1.95


def test_draws_against_the_formula():
    """Value i is √(-2 ln u)·cos(2πv), with u and v from numbers 2i and 2i+1 of the stream (Box, Muller 1958)."""
    key = chance.key(4, "here")
    for i, found in enumerate(normal(key, 500).tolist()):
        u, v = ((chance.bits(key, 2 * i + j) + 0.5) / 2**32 for j in (0, 1))
        assert found == pytest.approx(math.sqrt(-2 * math.log(u)) * math.cos(2 * math.pi * v), abs=1e-13)


def test_draws_do_not_depend_on_the_default_dtype():
    expected = normal(9, 100)
    torch.set_default_dtype(torch.bfloat16)
    try:
        found = normal(9, 100)
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(found, expected)


def test_a_draw_does_not_depend_on_how_many_are_drawn():
    assert torch.equal(normal(9, 1000)[:37], normal(9, 37))
    assert torch.equal(normal(9, 0), torch.zeros(0, dtype=torch.float64))


def test_names_and_seeds_have_nothing_in_common():
    n = 20_000
    drawn = torch.stack(
        [normal(chance.key(seed, name), n) for seed in (0, 1, 2**40) for name in ("x", "y", "x.weight")]
    )
    assert (drawn.corrcoef() - torch.eye(9)).abs().max() < 5 / math.sqrt(n)


@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize("attention", ["heads", "fused"])
def test_every_weight_starts_as_configured(tiny, attention, scaled):
    config = tiny(
        attention=attention,
        n_head=4,
        n_embd=64,
        n_hidden=None,
        n_layer=8,
        vocab_size=200,
        values="embedding",
        init_std=0.1,
        init_scaled=scaled,
    )
    for name, weight in get_weights(build(config, seed=1)).items():
        if name.endswith("norm.weight"):
            assert torch.equal(weight, torch.ones_like(weight)), name
        elif weight.dim() == 1:
            assert name.endswith("bias")
            assert torch.equal(weight, torch.zeros_like(weight)), name
        else:
            std = 0.1 / math.sqrt(16) if scaled and name.endswith("project.weight") else 0.1
            n = weight.numel()
            assert abs(weight.mean()) < 4.5 * std / math.sqrt(n), name
            assert abs(weight.std() / std - 1) < 4.5 / math.sqrt(2 * n), name
            assert kolmogorov(weight.double().flatten() / std) < 2.2, name
            expected = (std * normal(chance.key(1, name), n)).float().view(weight.shape)
            assert torch.equal(weight, expected), name


def same(a, b):
    """The names that two models share, and whether each starts with the same value in both."""
    a, b = get_weights(a), get_weights(b)
    return {name: torch.equal(a[name], b[name]) for name in a.keys() & b.keys() if a[name].shape == b[name].shape}


@pytest.mark.parametrize(
    "change",
    [
        {"attention": "heads"},
        {"attention": "nothing"},
        {"mlp": "nothing"},
        {"mlp": "relu"},
        {"norm": "identity"},
        {"positions": "sinusoidal"},
        {"block": "post"},
        {"tied": True},
        {"bias_qkv": False, "bias_mlp": False, "bias_head": False},
        {"dropout": 0.5},
        {"n_head": 1, "attention": "head"},
        {"n_hidden": 21},
        {"block_size": 4},
        {"vocab_size": 12},
        {"values": "embedding"},
    ],
)
def test_changing_one_part_leaves_every_other_weight_as_it_was(tiny, change):
    common = same(build(tiny(), seed=5), build(tiny(**change), seed=5))
    assert len(common) > 8
    assert all(common.values())


def test_more_layers_leave_the_first_ones_as_they_were_unless_scaled(tiny):
    common = same(build(tiny(init_scaled=False)), build(tiny(init_scaled=False, n_layer=3)))
    assert all(common.values())
    common = same(build(tiny()), build(tiny(n_layer=3)))
    assert {name for name, equal in common.items() if not equal} == {
        name for name in common if name.endswith("project.weight")
    }


def test_a_part_of_ones_own_leaves_every_other_weight_as_it_was(tiny):
    class Mine(nn.Module):
        def __init__(self, config, site):
            super().__init__()
            torch.rand(1000)  # drawing from torch moves nothing else
            self.own = nn.Linear(config.n_embd, config.n_embd)

        def forward(self, x):
            return self.own(x)

    mine = build(tiny(mlp="mine"), parts=with_parts(mlp={"mine": Mine}))
    assert all(same(mine, build(tiny())).values())
    assert get_weights(mine)["blocks.0.mlp.own.weight"].std() == pytest.approx(0.02, rel=0.3)


def test_only_the_models_own_pairs_start_at_zero(tiny):
    class Mine(nn.Module):
        def __init__(self, config, site):
            super().__init__()
            self.pairs = nn.Linear(config.n_embd, config.n_embd)

        def forward(self, x):
            return self.pairs(x)

    weights = get_weights(build(tiny(mlp="mine", pairs="bigram"), parts=with_parts(mlp={"mine": Mine})))
    assert not weights["pairs.table.weight"].any()
    assert weights["blocks.0.mlp.pairs.weight"].std() == pytest.approx(0.02, rel=0.3)


def test_another_seed_changes_every_matrix(tiny):
    changed = same(build(tiny(), seed=0), build(tiny(), seed=1))
    for name, equal in changed.items():
        assert equal == (name.endswith(("bias", "norm.weight")))
    assert all(same(build(tiny(), seed=2**63), build(tiny(), seed=2**63)).values())


def test_building_draws_nothing_from_torch(tiny):
    before = torch.random.get_rng_state()
    first = build(tiny())
    torch.rand(3)
    assert all(same(first, build(tiny())).values())
    torch.random.set_rng_state(before)
    build(tiny())
    assert torch.equal(torch.random.get_rng_state(), before)


def test_what_a_part_keeps_in_a_buffer_is_left_alone(tiny):
    """The mask that many learners write as `register_buffer("tril", …)` is not a weight."""

    class Masked(MLP):
        def __init__(self, config, site):
            super().__init__(config, site, nn.ReLU)
            self.register_buffer("tril", torch.ones(4, 4).tril())

    model = build(tiny(mlp="masked"), parts=with_parts(mlp={"masked": Masked}))
    assert torch.equal(model.blocks[0].mlp.tril, torch.ones(4, 4).tril())


@pytest.mark.parametrize("vocab_size", [65, 200])
def test_a_bigram_table_of_n_0_1_starts_at_the_loss_that_it_implies(tiny, vocab_size):
    """E[logsumexp of V draws] - E[one draw]: ln V + 1/2 and a little less, as E ln is less than ln E."""
    sample = torch.randn(20_000, vocab_size, generator=torch.Generator().manual_seed(0)).logsumexp(1)
    expected, error = sample.mean().item(), sample.std().item() / math.sqrt(20_000)
    second_order = math.log(vocab_size) + 0.5 - (math.e - 1) / (2 * vocab_size)
    assert expected == pytest.approx(second_order, abs=4 * error + 2 / vocab_size**1.5)
    for seed in range(3):
        model = build(tiny(kind="bigram", vocab_size=vocab_size, init_std=1.0), seed=seed)
        ids = torch.arange(vocab_size).repeat_interleave(vocab_size)[None]
        targets = torch.arange(vocab_size).repeat(vocab_size)[None]  # every pair once
        with torch.no_grad():
            loss = model.loss(model.hidden(ids), model.head, targets).item()
        spread = math.sqrt(sample.var().item() / vocab_size + 1 / vocab_size**2)
        assert abs(loss - expected) < 4 * spread


@pytest.mark.parametrize("block", ["pre", "branch", "post"])
def test_a_gpt_starts_close_to_knowing_nothing(tiny, ids, block):
    """Std 0.02, so logits of 64 normed channels have one of 0.02·√64 = 0.16; half its square is added."""
    config = tiny(vocab_size=65, n_embd=64, n_head=4, n_hidden=None, block=block)
    model = build(config).eval()
    with torch.no_grad():
        logits = model(ids)
        targets = torch.randint(65, (3, 8), generator=torch.Generator().manual_seed(3))
        loss = model.loss(model.hidden(ids), model.head, targets).item()
    assert logits.std() == pytest.approx(0.16, rel=4 / math.sqrt(2 * 65))  # places see much the same: 65 logits count
    assert loss == pytest.approx(math.log(65) + 0.16**2 / 2, abs=4 * 0.16 / math.sqrt(24))
    assert loss != pytest.approx(math.log(65), abs=1e-6)


def test_weights_go_out_and_in_again(tiny, scatter):
    for choice in ({}, {"tied": True}, {"attention": "heads"}, {"kind": "bigram"}):
        model = scatter(build(tiny(**choice)))
        kept = {name: weight.clone() for name, weight in get_weights(model).items()}
        other = build(tiny(**choice), seed=8)
        load_weights(other, kept)
        assert all(same(model, other).values())
        assert not any(weight.requires_grad for weight in get_weights(model).values())
        assert all(parameter.requires_grad for parameter in other.parameters())


def test_tied_weights_are_there_once_and_stay_tied(tiny, scatter):
    model = build(tiny(tied=True))
    assert "tokens.weight" in get_weights(model)
    assert "head.weight" not in get_weights(model)
    load_weights(model, {name: weight + 1 for name, weight in get_weights(model).items()})
    assert model.head.weight is model.tokens.weight
    ids = torch.tensor([[1, 2]])
    model.loss(model.hidden(ids), model.head, ids).backward()
    assert model.head.weight.grad is model.tokens.weight.grad


@pytest.mark.parametrize("attention", ["heads", "fused"])
def test_weights_that_are_not_the_models_are_named(tiny, attention):
    model = build(tiny(attention=attention))
    own = {name: weight.clone() for name, weight in get_weights(model).items()}
    name = "blocks.1.attention.query.weight"

    def message(changed):
        with pytest.raises(UsageError) as caught:
            load_weights(model, changed)
        return str(caught.value)

    assert message({k: v for k, v in own.items() if k != name}) == f"the weight {name!r} is missing."
    assert message({**own, "more": torch.zeros(1)}) == "the weight 'more' is not one of this model."
    wrong = {k: torch.full_like(v, 7) for k, v in own.items()} | {name: torch.zeros(12, 11)}
    assert message(wrong) == f"the weight {name!r} is (12, 11); the model's is (12, 12)."
    for k, v in get_weights(model).items():
        assert torch.equal(v, own[k])  # nothing was loaded by halves


def test_first_value_by_itself(tiny):
    config = tiny(init_std=0.5)
    gain = torch.full((3,), 2.0)
    assert weights.first_value("norm.weight", gain, config, 0) is gain
    assert torch.equal(first_value("x.bias", gain, config, 0), torch.zeros(3))
    matrix = first_value("x.weight", torch.empty(4, 5, dtype=torch.bfloat16), config, 3)
    assert matrix.dtype == torch.bfloat16
    assert torch.equal(matrix, (0.5 * normal(chance.key(3, "x.weight"), 20)).bfloat16().view(4, 5))
