"""Each order of norm against its own block, written out with explicit tensors and nothing from torch.nn."""

import math

import pytest
import torch

from hornbook.model.block import BranchNorm, Plain, PostNorm, PreNorm
from hornbook.model.build import PARTS
from hornbook.model.mlp import MLP
from hornbook.model.norm import LayerNorm
from hornbook.model.weights import get_weights


def norm(x, w, name):
    """Ba 2016: over the channels of each place, with the variance of all of them (divided by C, not by C - 1)."""
    mean = x.sum(-1, keepdim=True) / x.shape[-1]
    variance = ((x - mean) ** 2).sum(-1, keepdim=True) / x.shape[-1]
    return (x - mean) / (variance + 1e-5) ** 0.5 * w[f"{name}.weight"] + w.get(f"{name}.bias", 0)


def linear(x, w, name):
    return torch.einsum("btc,oc->bto", x, w[f"{name}.weight"]) + w.get(f"{name}.bias", 0)


def attention(x, w, name, heads):
    _, T, C = x.shape
    D = C // heads
    q, k, v = (linear(x, w, f"{name}.{part}") for part in ("query", "key", "value"))
    found = torch.zeros_like(x)
    for h in range(heads):
        own = slice(h * D, (h + 1) * D)
        for t in range(T):
            scores = torch.einsum("bd,bsd->bs", q[:, t, own], k[:, : t + 1, own]) / math.sqrt(D)
            shares = scores.exp() / scores.exp().sum(-1, keepdim=True)
            found[:, t, own] = torch.einsum("bs,bsd->bd", shares, v[:, : t + 1, own])
    return linear(found, w, f"{name}.project")


ACTIVATIONS = {
    "relu": lambda x: torch.where(x > 0, x, torch.zeros_like(x)),
    "gelu": lambda x: x * (1 + torch.erf(x / math.sqrt(2))) / 2,
}


def mlp(x, w, name, activation):
    return linear(ACTIVATIONS[activation](linear(x, w, f"{name}.expand")), w, f"{name}.project")


def by_hand(order, x, w, activation):
    def talk(x):
        return attention(x, w, "attention", 3)

    def think(x):
        return mlp(x, w, "mlp", activation)

    def norms(x, which):
        return norm(x, w, f"{which}_norm")

    if order == "pre":
        y = x + talk(norms(x, "attention"))
        return y + think(norms(y, "mlp"))
    if order == "branch":
        y = x + norms(talk(x), "attention")
        return y + norms(think(y), "mlp")
    if order == "post":
        y = norms(x + talk(x), "attention")
        return norms(y + think(y), "mlp")
    assert order == "plain"
    return think(norms(talk(norms(x, "attention")), "mlp"))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("norm_part", ["layernorm", "layernorm-nobias"])
@pytest.mark.parametrize("attention_part", ["heads", "batched", "fused"])
@pytest.mark.parametrize("order", ["pre", "branch", "post", "plain"])
def test_a_block_against_its_own_formula(make, order, attention_part, norm_part, activation):
    block = make(block=order, attention=attention_part, norm=norm_part, mlp=activation).blocks[1]
    x = torch.randn(2, 6, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = by_hand(order, x, get_weights(block), activation)
    torch.testing.assert_close(block(x), expected, rtol=0, atol=1e-12)


def test_the_orders_are_four_different_ones(make):
    x = torch.randn(2, 6, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    outputs = [make(block=order).blocks[0](x) for order in PARTS["block"]]
    for i, a in enumerate(outputs):
        assert all((a - b).abs().max() > 1e-2 for b in outputs[:i])


class Say(torch.nn.Module):
    """A part that only writes down that it was called."""

    def __init__(self, name, calls):
        super().__init__()
        self.name, self.calls = name, calls

    def forward(self, x, cache=None):
        self.calls.append(self.name)
        return x + 1


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (PreNorm, ["LN", "attention", "drop", "LN2", "mlp", "drop2"]),
        (BranchNorm, ["attention", "drop", "LN", "mlp", "drop2", "LN2"]),
        (PostNorm, ["attention", "drop", "LN", "mlp", "drop2", "LN2"]),
        (Plain, ["LN", "attention", "drop", "LN2", "mlp", "drop2"]),
    ],
)
def test_each_part_is_asked_once_and_dropout_stands_on_the_branch(order, expected):
    calls = []
    parts = [Say(name, calls) for name in ("attention", "mlp", "LN", "LN2", "drop", "drop2")]
    x = torch.zeros(1, 1, 1)
    found = order(*parts)(x).item()
    assert calls == expected
    # each part adds one to what it reads; a sum with the stream doubles what was there
    assert found == {PreNorm: 9, BranchNorm: 9, PostNorm: 9, Plain: 6}[order]


@pytest.mark.parametrize("order", ["pre", "branch", "post"])
def test_a_block_without_branches_leaves_the_stream_alone(make, order):
    x = torch.randn(2, 6, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    block = make(block=order, attention="nothing", mlp="nothing", norm="identity").blocks[0]
    assert torch.equal(block(x), x)


def test_only_post_norm_has_no_norm_at_the_end(make):
    for order in PARTS["block"]:
        has_norm = "norm.weight" in get_weights(make(block=order))
        assert has_norm == (order != "post")


def test_mlp_and_norm_by_themselves(tiny, scatter):
    config = tiny()
    x = torch.randn(2, 6, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3 + 1
    part = scatter(MLP(config, "here", torch.nn.GELU).double())
    own = {f"mlp.{name}": weight for name, weight in get_weights(part).items()}
    assert own["mlp.expand.weight"].shape == (20, 12)
    torch.testing.assert_close(part(x), mlp(x, own, "mlp", "gelu"), rtol=0, atol=1e-12)
    for bias in (True, False):
        layer = scatter(LayerNorm(config, "here", bias=bias).double())
        own = {f"norm.{name}": weight for name, weight in get_weights(layer).items()}
        assert len(own) == 1 + bias
        torch.testing.assert_close(layer(x), norm(x, own, "norm"), rtol=0, atol=1e-12)
