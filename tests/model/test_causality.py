"""Nothing reaches the past from the future, and something does reach forward: proved by gradients."""

import pytest
import torch
from torch import nn

from hornbook.model.build import LARGEST_TABLE
from hornbook.model.cache import Cache
from hornbook.model.dropout import Clock
from hornbook.model.weights import get_weights

ATTENTION = ["head", "heads", "batched", "fused", "nothing"]


@pytest.fixture
def reach(ids):
    """Return (T, T): how strongly the logits at t (row) depend on what was embedded at s (column), in every row of ids.

    Below, an exact 0 means that no path leads from s to t: not that a small number was rounded away.
    """

    def measure(model):
        kept = []
        hook = model.tokens.register_forward_hook(lambda _m, _i, output: kept.append(output))
        logits = model(ids)
        hook.remove()
        T = ids.shape[1]
        flow = torch.randn(logits.shape, generator=torch.Generator().manual_seed(0), dtype=logits.dtype)
        matrix = torch.zeros(T, T, dtype=logits.dtype)
        for t in range(T):
            (gradient,) = torch.autograd.grad(
                logits[:, t], kept[0], flow[:, t], retain_graph=True, materialize_grads=True
            )
            matrix[t] = gradient.abs().amin(0).amax(-1)  # 0 if it is 0 in any row of the batch
            assert torch.equal(gradient[:, t + 1 :], torch.zeros_like(gradient[:, t + 1 :]))  # nothing from ahead
        return matrix

    return measure


def check(matrix, attention):
    T = len(matrix)
    assert (matrix.diagonal() > 1e-9).all()
    below = matrix[torch.ones(T, T).tril(-1).bool()]
    if attention == "nothing":
        assert not below.any()  # no place knows of any other
    else:
        assert (below > 1e-12).all()  # every earlier place reaches every later one


@pytest.mark.parametrize("norm", ["layernorm", "identity"])
@pytest.mark.parametrize("block", ["pre", "branch", "post", "plain"])
@pytest.mark.parametrize("attention", ATTENTION)
def test_no_variant_sees_the_future(make, reach, attention, block, norm):
    n_head = 1 if attention == "head" else 3
    if attention == "nothing" and block == "plain":
        model = make(attention=attention, block=block, norm=norm)
        assert not reach(model).any()  # no stream and no attention: nothing gets through at all
        return
    check(reach(make(attention=attention, n_head=n_head, block=block, norm=norm)), attention)


@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "rotary", "nothing"])
@pytest.mark.parametrize("mlp", ["relu", "gelu", "relu2", "swiglu", "identity", "nothing"])
def test_no_choice_of_mlp_or_positions_sees_the_future(make, reach, mlp, positions):
    check(reach(make(mlp=mlp, positions=positions, tied=True, norm="layernorm-nobias")), "fused")


@pytest.mark.parametrize("attention", ATTENTION)
def test_no_variant_sees_the_future_while_units_drop_out(make, reach, attention):
    model = make(attention=attention, n_head=1 if attention == "head" else 3, dropout=0.2)
    Clock(model.modules(), seed=1).set(1)
    matrix = reach(model)
    assert matrix.triu(1).eq(0).all()
    assert matrix.tril(-1).any() == (attention != "nothing")


@pytest.mark.parametrize("attention", [name for name in ATTENTION if name != "nothing"])
def test_a_units_own_value_reaches_forward_alone(make, ids, attention):
    """What is looked up by the ids, not embedded: all else is held still, and one unit is another."""
    model = make(attention=attention, n_head=1 if attention == "head" else 3, n_layer=1, values="embedding")
    before = model(ids)
    other = ids.clone()
    other[:, 4] = (ids[:, 4] + 1) % 11
    model.tokens.register_forward_hook(lambda module, _i, _o: module.weight[ids])
    differs = (model(other) - before).abs().amax(2)  # (B, T)
    assert not differs[:, :4].any()
    assert (differs[:, 4:] > 1e-9).all()


def test_the_bigram_looks_one_unit_back(make, ids):
    model = make(kind="bigram")
    assert isinstance(model.head, nn.Identity)
    table = get_weights(model)["table.weight"]
    assert torch.equal(model(ids), table[ids])
    changed = ids.clone()
    changed[:, 4] = (changed[:, 4] + 1) % 11
    differs = (model(changed) != model(ids)).any(dim=(0, 2))
    assert differs.tolist() == [t == 4 for t in range(8)]


def test_a_bigram_of_thousands_of_units_looks_one_unit_back_too(make, ids):
    model = make(kind="bigram", vocab_size=LARGEST_TABLE + 1)
    before, after = (get_weights(model)[f"table.{name}.weight"] for name in ("before", "after"))
    assert torch.allclose(model(ids), (before @ after.T)[ids] / 8)  # √64
    assert torch.equal(model(ids[:, :4]), model(ids)[:, :4])


def test_the_bigram_needs_no_cache_and_counts_in_it_all_the_same(make, ids):
    model = make(kind="bigram")
    cache = Cache(10)
    found = torch.cat([model(ids[:, :3], cache), model(ids[:, 3:], cache)], dim=1)
    assert torch.equal(found, model(ids))
    assert cache.length == 8


def test_without_positions_the_order_of_the_past_is_not_seen(make, ids):
    """One block with no positions sees a set of units: swap two earlier ones and the last place doesn't notice."""
    swapped = ids[:, [1, 0, 2, 3, 4, 5, 6, 7]]
    assert not torch.equal(swapped, ids)
    for positions, notices in (("nothing", False), ("learned", True), ("sinusoidal", True), ("rotary", True)):
        model = make(positions=positions, n_layer=1)
        difference = (model(swapped)[:, -1] - model(ids)[:, -1]).abs().max()
        assert difference > 1e-4 if notices else difference < 1e-12
