"""The whole GPT against two others: one assembled from PyTorch's transformer, one of published equations."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from hornbook.errors import UsageError
from hornbook.model.bigram import NextUnit
from hornbook.model.weights import get_weights


def from_torch_parts(weights, config, order):
    """The same model from nn.TransformerEncoderLayer, weights copied across; returns ids -> logits."""

    def layer(i):
        own = nn.TransformerEncoderLayer(
            config.n_embd,
            config.n_head,
            config.n_hidden,
            dropout=0.0,
            activation=config.mlp,
            batch_first=True,
            norm_first=order == "pre",
            dtype=torch.float64,
        )
        w = {name.removeprefix(f"blocks.{i}."): value for name, value in weights.items()}
        across = {
            f"self_attn.in_proj_{kind}": torch.cat(
                [w[f"attention.{part}.{kind}"] for part in ("query", "key", "value")]
            )
            for kind in ("weight", "bias")
        }
        names = {
            "self_attn.out_proj": "attention.project",
            "linear1": "mlp.expand",
            "linear2": "mlp.project",
            "norm1": "attention_norm",
            "norm2": "mlp_norm",
        }
        for theirs, ours in names.items():
            across |= {f"{theirs}.{kind}": w[f"{ours}.{kind}"] for kind in ("weight", "bias")}
        own.load_state_dict(across)
        return own

    layers = nn.ModuleList(layer(i) for i in range(config.n_layer))

    def run(ids):
        T = ids.shape[1]
        ahead = torch.ones(T, T, dtype=torch.bool).triu(1)
        x = weights["tokens.weight"][ids] + weights["positions.table.weight"][:T]
        for part in layers:
            x = part(x, src_mask=ahead)
        if order == "pre":
            x = F.layer_norm(x, (config.n_embd,), weights["norm.weight"], weights["norm.bias"])
        return x @ weights["head.weight"].T + weights["head.bias"]

    return run


@pytest.mark.parametrize("order", ["pre", "post"])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("attention", ["heads", "batched", "fused"])
def test_the_gpt_is_what_torch_parts_make(make, tiny, ids, attention, activation, order):
    choice = {"attention": attention, "mlp": activation, "block": order, "n_layer": 3}
    model = make(**choice)
    reference = from_torch_parts(get_weights(model), tiny(**choice), order)
    torch.testing.assert_close(model(ids), reference(ids), rtol=0, atol=1e-12)


def published(w, ids, n_layer, n_head):
    """GPT-2's equations as nanoGPT has them: one linear makes q, k and v; pre-norm; exact GELU; the head is tied.

    `w` holds the weights by GPT-2's own names; an absent bias is none.
    """

    def layer_norm(x, name):
        centred = x - x.mean(-1, keepdim=True)
        return centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() * w[f"{name}.weight"] + w.get(
            f"{name}.bias", 0
        )

    def linear(x, name):
        return x @ w[f"{name}.weight"].T + w.get(f"{name}.bias", 0)

    B, T = ids.shape
    x = w["wte.weight"][ids] + w["wpe.weight"][torch.arange(T)]
    C = x.shape[-1]
    D = C // n_head
    for i in range(n_layer):
        qkv = linear(layer_norm(x, f"h.{i}.ln_1"), f"h.{i}.attn.c_attn")
        q, k, v = (part.reshape(B, T, n_head, D).permute(0, 2, 1, 3) for part in qkv.split(C, dim=2))
        scores = torch.einsum("bhqd,bhkd->bhqk", q, k) / math.sqrt(D)
        scores[:, :, torch.triu(torch.ones(T, T), 1) == 1] = -math.inf
        y = torch.einsum("bhqk,bhkd->bhqd", torch.softmax(scores, 3), v)
        x = x + linear(y.permute(0, 2, 1, 3).reshape(B, T, C), f"h.{i}.attn.c_proj")
        hidden = linear(layer_norm(x, f"h.{i}.ln_2"), f"h.{i}.mlp.c_fc")
        hidden = hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))
        x = x + linear(hidden, f"h.{i}.mlp.c_proj")
    return layer_norm(x, "ln_f") @ w["wte.weight"].T


def renamed(weights, n_layer):
    """Ours by GPT-2's names, with q, k and v in one."""
    names = {"tokens": "wte", "positions.table": "wpe", "norm": "ln_f"}
    for i in range(n_layer):
        ours, theirs = f"blocks.{i}", f"h.{i}"
        names |= {f"{ours}.attention_norm": f"{theirs}.ln_1", f"{ours}.mlp_norm": f"{theirs}.ln_2"}
        names |= {f"{ours}.attention.project": f"{theirs}.attn.c_proj"}
        names |= {f"{ours}.mlp.expand": f"{theirs}.mlp.c_fc", f"{ours}.mlp.project": f"{theirs}.mlp.c_proj"}
    left = dict(weights)
    result = {}
    for i in range(n_layer):
        for kind in ("weight", "bias"):
            parts = [left.pop(f"blocks.{i}.attention.{part}.{kind}", None) for part in ("query", "key", "value")]
            if parts[0] is not None:
                result[f"h.{i}.attn.c_attn.{kind}"] = torch.cat(parts)
    for name, weight in left.items():
        part, _, kind = name.rpartition(".")
        result[f"{names[part]}.{kind}"] = weight
    return result


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("attention", ["heads", "batched", "fused"])
def test_the_gpt_is_the_published_one(make, ids, attention, bias):
    model = make(
        attention=attention,
        tied=True,
        norm="layernorm" if bias else "layernorm-nobias",
        n_hidden=None,
        bias_head=False,
        **dict.fromkeys(("bias_qkv", "bias_projection", "bias_mlp"), bias),
    )
    weights = get_weights(model)
    assert "head.weight" not in weights
    if not bias:
        assert not [name for name in weights if "bias" in name]
    expected = published(renamed(weights, 2), ids, 2, 3)
    torch.testing.assert_close(model(ids), expected, rtol=0, atol=1e-12)
    loss = -torch.log_softmax(expected, -1).gather(2, ids[..., None]).mean()  # any targets will do
    torch.testing.assert_close(model.loss(model.hidden(ids), model.head, ids).double(), loss, rtol=1e-6, atol=0)


@pytest.mark.parametrize("n_embd", [12, 9])
def test_sinusoidal_positions_against_their_formula(make, ids, n_embd):
    """PE(t, 2i) = sin(t / 10000^(2i/C)), PE(t, 2i+1) = cos(the same), added to √C times the embedding."""
    model = make(positions="sinusoidal", n_embd=n_embd)
    embedded = model.tokens(ids)
    found = model.positions(embedded, 1)
    for t in range(8):
        for c in range(n_embd):
            angle = (t + 1) / 10000 ** ((c - c % 2) / n_embd)
            wave = math.cos(angle) if c % 2 else math.sin(angle)
            expected = embedded[:, t, c] * math.sqrt(n_embd) + wave
            torch.testing.assert_close(found[:, t, c], expected, rtol=0, atol=2e-6)  # the table is made in float32
    assert not [name for name in get_weights(model) if "positions" in name]


def test_learned_positions_start_where_they_are_told(make, ids):
    model = make(positions="learned")
    x = model.tokens(ids)
    assert torch.equal(model.positions(x, 2) - x, (x + model.positions.table.weight[2:10]) - x)
    with pytest.raises(
        UsageError, match=r"^a text of 11 units is longer than block_size=10: give the model its last ones.$"
    ):
        model.positions(x, 3)


def test_the_three_parts_of_a_model_stand_by_themselves(make, ids):
    for kind in ("gpt", "bigram"):
        model = make(kind=kind)
        hidden = model.hidden(ids)
        assert torch.equal(model.head(hidden), model(ids))
        expected = F.nll_loss(model(ids).log_softmax(-1).flatten(0, 1), ids.flatten())
        torch.testing.assert_close(model.loss(hidden, model.head, ids).double(), expected, rtol=1e-6, atol=0)


def test_the_loss_is_in_nats_and_a_mean():
    """Two units, one certain to 3/4 and 1/4: the loss of one is -ln 3/4, of the other -ln 1/4."""
    logits = torch.tensor([[[3.0, 1.0], [3.0, 1.0]]]).log()
    loss = NextUnit()(logits, nn.Identity(), torch.tensor([[0, 1]]))
    assert loss.item() == pytest.approx((math.log(4 / 3) + math.log(4)) / 2, abs=1e-6)


def test_the_loss_keeps_the_precision_of_a_model_in_float64(make, ids):
    model = make()
    expected = F.cross_entropy(model(ids).flatten(0, 1), ids.flatten())
    torch.testing.assert_close(model.loss(model.hidden(ids), model.head, ids), expected, rtol=0, atol=1e-12)


def test_the_loss_of_a_model_in_bfloat16_is_taken_in_float32(make, ids):
    model = make().bfloat16()
    assert model.loss(model.hidden(ids), model.head, ids).dtype == torch.float32
