"""Dropout: the rate, the scale, the gradient, and masks that are a written function of where and when."""

import itertools
import math

import pytest
import torch

from hornbook import chance
from hornbook.errors import UsageError
from hornbook.model.build import build
from hornbook.model.dropout import Clock, Dropout


def turned(p, site="here", seed=0, step=1, row=0):
    part = Dropout(p, site)
    Clock([part], seed).set(step, row)
    return part


def silent(part, rows=8, places=500):
    """Which units of ones (rows, places) are silent."""
    return part(torch.ones(rows, places)) == 0


def reference(p, site, seed, step, row, place):
    """Whether one unit is silent, in plain Python: from the seed, the step, the site, its row and its place."""
    key = chance.mix(chance.key(seed, "dropout", step) ^ chance.key(site))
    return chance.signed(chance.bits(chance.bits(key, row), place)) + 2**31 < round(p * 2**32)


@pytest.mark.parametrize("p", [0.1, 0.2, 0.5, 0.9, 2**-32, 1e-12])
def test_the_mask_is_the_written_function_bit_by_bit(p):
    for seed, step, first in ((0, 0, 0), (7, 1, 3), (2**40 + 1, 2**33, 1000)):
        mask = silent(turned(p, "blocks.3.mlp", seed, step, first), 3, 70)
        for row, place in itertools.product(range(3), range(70)):
            assert mask[row, place] == reference(p, "blocks.3.mlp", seed, step, first + row, place)


def test_a_unit_drops_out_below_its_number_and_not_at_it():
    """The rate is a threshold for 32 bits: at exactly its own number a unit still speaks."""
    key = chance.mix(chance.key(0, "dropout", 1) ^ chance.key("here"))
    for place in range(20):
        number = chance.signed(chance.bits(chance.bits(key, 0), place)) + 2**31
        assert not silent(turned(number / 2**32), 1, 20)[0, place]
        assert silent(turned((number + 1) / 2**32), 1, 20)[0, place]


def test_a_head_counts_its_places_on_from_the_heads_before():
    x = torch.ones(4, 5, 6)
    mask = torch.stack([turned(0.4)(x, head) == 0 for head in range(3)], dim=1)  # (B, H, Tq, Tk)
    assert torch.equal(mask, turned(0.4)(torch.ones(4, 3, 5, 6)) == 0)
    for head, place in itertools.product(range(3), range(30)):
        assert mask[1, head].flatten()[place] == reference(0.4, "here", 0, 1, 1, head * 30 + place)
    assert not torch.equal(mask[:, 0], mask[:, 1])


@pytest.mark.parametrize("p", [0.01, 0.1, 0.25, 0.5, 0.9])
def test_the_rate_is_within_its_binomial_bounds(p):
    n = 64 * 4096
    for seed in range(3):
        dropped = silent(turned(p, seed=seed), 64, 4096).sum().item()
        assert abs(dropped - n * p) < 4.5 * math.sqrt(n * p * (1 - p))


def test_no_row_and_no_place_is_favoured():
    mask = silent(turned(0.3), 512, 512).double()
    for axis in (0, 1):
        z = (mask.sum(axis) - 512 * 0.3) / math.sqrt(512 * 0.3 * 0.7)
        assert z.abs().max() < 5
        assert abs(z.square().sum() - 512) < 4.5 * math.sqrt(2 * 512)


def test_neighbours_drop_out_independently():
    n = 512 * 512
    mask = silent(turned(0.3), 512, 512).double() - 0.3
    for rows, places in ((0, 1), (1, 0), (1, 1), (0, 64), (64, 0), (3, 7)):
        product = mask[rows:, places:] * mask[: 512 - rows, : 512 - places]
        assert abs(product.mean()) < 4.5 * 0.21 / math.sqrt(n) * 1.2


def test_masks_differ_between_steps_sites_rows_and_seeds():
    """Any two agree on p² + (1 - p)² of the units: as often as two coins, and no more."""
    turns = [{}, {"step": 2}, {"step": 1 + 2**32}, {"site": "hera"}, {"row": 8}, {"row": 1000}, {"seed": 1}]
    masks = [silent(turned(0.5, **turn), 8, 4096) for turn in turns]
    rows = [row for mask in masks for row in mask]
    for a, b in itertools.combinations(rows, 2):
        assert abs((a == b).sum().item() - 2048) < 5.5 * math.sqrt(4096) / 2


def test_micro_batches_drop_what_the_whole_batch_does():
    x = torch.randn(6, 4, 5, generator=torch.Generator().manual_seed(0))
    part = Dropout(0.4, "here")
    clock = Clock([part], seed=2)
    clock.set(9)
    whole = part(x)
    for size in (1, 2, 4):
        pieces = []
        for first in range(0, 6, size):
            clock.set(9, row=first)
            pieces.append(part(x[first : first + size]))
        assert torch.equal(torch.cat(pieces), whole)


@pytest.mark.parametrize("attention", ["heads", "batched", "fused"])
def test_a_model_trains_the_same_on_micro_batches(make, ids, by_name, attention):
    model = make(attention=attention, dropout=0.3)
    clock = Clock(model.modules(), seed=2)

    def gradients(size):
        model.zero_grad()
        for first in range(0, 3, size):
            clock.set(4, row=first)
            model(ids[first : first + size]).square().sum().backward()
        return by_name(model, lambda p: p.grad.clone())

    whole = gradients(3)
    for size in (1, 2):
        for name, gradient in gradients(size).items():
            torch.testing.assert_close(gradient, whole[name], rtol=1e-12, atol=1e-11)


def test_what_stays_is_scaled_so_that_the_mean_stays():
    x = 1 + torch.rand(64, 4096, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for p in (0.1, 0.5, 0.9):
        y = turned(p)(x)
        kept = y != 0
        torch.testing.assert_close(y[kept], x[kept] / (1 - p), rtol=1e-15, atol=0)
        spread = math.sqrt(p / (1 - p) * x.square().mean() / x.numel())
        assert abs(y.mean() - x.mean()) < 4.5 * spread


def test_the_gradient_flows_where_the_units_do():
    part = turned(0.4)
    x = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(part, (x,))
    (gradient,) = torch.autograd.grad(part(x).sum(), x)
    expected = (~silent(part, 3, 20)).double().view(3, 4, 5) / 0.6
    torch.testing.assert_close(gradient, expected, rtol=1e-15, atol=0)


def test_a_silent_unit_is_silent_whatever_it_held():
    """Not multiplied by zero: what overflowed elsewhere doesn't come through as nan."""
    part = turned(0.5)
    y = part(torch.full((4, 100), float("inf")))
    assert not y.isnan().any()
    assert torch.equal(y == 0, silent(part, 4, 100))


def test_nothing_drops_out_in_evaluation_or_at_zero(monkeypatch):
    x = torch.randn(3, 4)
    assert turned(0.9).eval()(x) is x
    monkeypatch.setattr(chance, "mix_array", lambda x: pytest.fail("a draw at p = 0"))
    assert Dropout(0.0, "here")(x) is x
    with pytest.raises(pytest.fail.Exception):
        turned(0.1)(x)


def test_dropping_out_draws_nothing_from_torch():
    before = torch.random.get_rng_state()
    turned(0.5)(torch.ones(3, 4))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_clock_sets_every_dropout_of_a_model(make):
    model = make(dropout=0.2, attention="heads")
    dropouts = [part for part in model.modules() if isinstance(part, Dropout)]
    sites = {part.site for part in dropouts}
    assert sites == {"embedding"} | {
        f"blocks.{i}.{place}" for i in range(2) for place in ("attention", "mlp", "attention.weights")
    }
    assert len(dropouts) == 1 + 2 * (2 + 3)  # a layer's heads share a site
    clock = Clock(model.modules(), seed=6)
    clock.set(3, row=5)
    for part in dropouts:
        key, row = part.clock.tolist()
        assert key == chance.signed(chance.mix(chance.key(6, "dropout", 3) ^ chance.key(part.site)))
        assert row == 5
    assert len({part.clock[0].item() for part in dropouts}) == len(sites)


def test_each_rate_is_for_its_own_place(make):
    model = make(dropout=0.2, attention_dropout=0.1, embedding_dropout=0.0)
    rates = {part.site.rpartition(".")[2]: part.p for part in model.modules() if isinstance(part, Dropout)}
    assert rates == {"embedding": 0.0, "attention": 0.2, "mlp": 0.2, "weights": 0.1}


def test_the_clock_is_no_weight(make, tiny):
    model = build(tiny(dropout=0.5))
    assert not [name for name in model.state_dict() if "clock" in name]


def test_a_dropout_says_what_it_is():
    assert repr(Dropout(0.25, "blocks.0.mlp")) == "Dropout(p=0.25, site='blocks.0.mlp')"


def test_a_rate_next_to_one_drops_nearly_everything():
    assert silent(turned(1 - 2**-34)).all()


def test_the_embedding_drops_out_after_the_positions_were_added(make, ids):
    model = make(attention="nothing", mlp="nothing", norm="identity", dropout=0.0, embedding_dropout=0.4)
    clock = Clock(model.modules(), seed=1)
    clock.set(2)
    x = model.tokens(ids) + model.positions.table.weight[:8]
    mask = silent(turned(0.4, "embedding", seed=1, step=2), 3, 8 * 12).view(3, 8, 12)
    torch.testing.assert_close(model.hidden(ids), x * ~mask / 0.6, rtol=1e-15, atol=0)


def test_a_dropout_that_was_never_told_the_step_says_so():
    """Without a clock every step of a learner's own loop would silence the same units."""
    with pytest.raises(UsageError, match=r"^the dropout at 'here' was never told what step it is: before each step"):
        Dropout(0.1, "here")(torch.ones(2, 3))
