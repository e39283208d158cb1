"""Putting a model together: every part of the tables, names that don't exist, and parts of one's own."""

import copy
import pickle

import pytest
import torch
from torch import nn

from hornbook.errors import UsageError
from hornbook.model.build import PARTS, build, with_parts
from hornbook.model.config import ModelConfig
from hornbook.model.count import count_config
from hornbook.model.dropout import Clock, Dropout
from hornbook.model.weights import get_weights


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mlp": "gleu"}, "model.mlp=gleu is not a part there is; did you mean 'gelu'?"),
        ({"attention": "fussed"}, "model.attention=fussed is not a part there is; did you mean 'fused'?"),
        ({"block": "xyz"}, "model.block=xyz is not a part there is; known: branch, plain, post, pre."),
        ({"norm": "rms"}, "model.norm=rms is not a part there is; did you mean 'rmsnorm'?"),
        ({"positions": "lerned"}, "model.positions=lerned is not a part there is; did you mean 'learned'?"),
        ({"kind": "bert"}, "model.kind=bert is not a part there is; known: bigram, gpt."),
    ],
)
def test_a_part_that_does_not_exist(tiny, changes, message):
    with pytest.raises(UsageError) as caught:
        build(tiny(**changes))
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("kind", "hint"),
    [
        ("mpl", "did you mean 'mlp'?"),
        ("xyz", "known: attention, block, kind, logits, mlp, norm, pairs, positions, qk_norm, turn, values."),
    ],
)
def test_a_kind_of_part_that_does_not_exist(kind, hint):
    with pytest.raises(UsageError) as caught:
        with_parts(**{kind: {"mine": nn.Identity}})
    assert str(caught.value) == f"there is no kind of part called {kind!r}; {hint}"


class MyMLP(nn.Module):
    """What a learner might write."""

    def __init__(self, config, site):
        super().__init__()
        self.site = site
        self.gate = nn.Linear(config.n_embd, config.n_embd, bias=False)
        self.dropout = Dropout(config.dropout, f"{site}.own")

    def forward(self, x):
        return self.dropout(x * self.gate(x).sigmoid())


def test_a_part_of_ones_own_goes_in_by_the_same_door(tiny, ids):
    parts = with_parts(mlp={"mine": MyMLP})
    config = tiny(mlp="mine", dropout=0.1)
    model = build(config, parts=parts)
    assert [block.mlp.site for block in model.blocks] == ["blocks.0.mlp", "blocks.1.mlp"]
    assert "blocks.1.mlp.gate.weight" in get_weights(model)
    Clock(model.modules(), seed=0).set(1)
    logits = model(ids)
    logits.sum().backward()
    assert model.blocks[0].mlp.gate.weight.grad.abs().max() > 0
    shares = {share.name: share.parameters for share in count_config(config, parts)}
    assert shares["blocks.*.mlp.gate.weight"] == 2 * 144
    with pytest.raises(UsageError, match="known: gelu, identity, nothing, relu, relu2, swiglu"):
        build(config)  # the tables themselves did not change


def test_parts_of_ones_own_of_every_kind(tiny, ids):
    """One of each, each called as the table in `build` says."""
    called = []

    class Mix(nn.Module):
        def __init__(self, config, site, find):
            super().__init__()
            called.append(site)
            self.norm = find("norm")(config, f"{site}.norm")

        def forward(self, x, cache):
            return x.cumsum(1)

    class Shift(nn.Module):
        def __init__(self, config, site):
            super().__init__()
            called.append(site)

        def forward(self, x, start):
            return x + start

    class Own(nn.Module):
        def __init__(self, attention, mlp, attention_norm, mlp_norm, attention_dropout, mlp_dropout):
            super().__init__()
            self.attention, self.mlp = attention, mlp
            assert isinstance(attention_norm, nn.LayerNorm)
            assert isinstance(mlp_norm, nn.LayerNorm)
            assert attention_dropout.site.endswith("attention")
            assert mlp_dropout.site.endswith("mlp")

        def forward(self, x, cache):
            return x + self.mlp(self.attention(x, cache))

    def own_kind(config, find):
        model = PARTS["kind"]["gpt"](config, find)
        model.own = True
        return model

    parts = with_parts(attention={"mix": Mix}, positions={"shift": Shift}, block={"own": Own}, kind={"own": own_kind})
    model = build(tiny(attention="mix", positions="shift", block="own", kind="own"), parts=parts)
    assert sorted(called) == ["blocks.0.attention", "blocks.1.attention", "positions"]
    assert model.own
    assert model(ids).shape == (3, 8, 11)


def test_an_own_part_may_replace_one_of_ours(tiny):
    model = build(tiny(mlp="gelu"), parts=with_parts(mlp={"gelu": MyMLP}))
    assert isinstance(model.blocks[0].mlp, MyMLP)
    assert not isinstance(build(tiny(mlp="gelu")).blocks[0].mlp, MyMLP)


def test_building_prints_nothing_and_leaves_the_model_in_training_mode(tiny, capsys):
    model = build(tiny())
    assert model.training
    assert capsys.readouterr() == ("", "")
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())


def test_the_names_of_the_weights():
    """Names are what checkpoints hold and first values are drawn from: changing one changes every run."""
    names = {
        "tokens.weight",
        "positions.table.weight",
        *[
            f"blocks.0.{part}.{kind}"
            for part in (
                "attention.query",
                "attention.key",
                "attention.value",
                "attention.project",
                "mlp.expand",
                "mlp.project",
                "attention_norm",
                "mlp_norm",
            )
            for kind in ("weight", "bias")
        ],
        "norm.weight",
        "norm.bias",
        "head.weight",
        "head.bias",
    }
    for attention in ("heads", "batched", "fused"):
        assert set(get_weights(build(ModelConfig(65, n_layer=1, attention=attention)))) == names
    assert set(get_weights(build(ModelConfig(65, kind="bigram")))) == {"table.weight"}


def test_a_model_can_be_pickled_and_copied(tiny, ids):
    """Tools that copy a model (averaging, workers) find nothing in it that can't be."""
    for attention in ("heads", "fused"):
        model = build(tiny(attention=attention, dropout=0.1)).eval()
        assert torch.equal(pickle.loads(pickle.dumps(model))(ids), model(ids))
        assert torch.equal(copy.deepcopy(model)(ids), model(ids))


@pytest.mark.parametrize("attention", ["heads", "fused"])
def test_a_state_taken_twice_is_the_same(tiny, attention):
    model = build(tiny(attention=attention))
    first, second = model.state_dict(), model.state_dict()
    assert list(first) == list(second)
    assert all(torch.equal(first[name], second[name]) for name in first)
    model.load_state_dict(first)
    assert first.keys() == model.state_dict().keys()  # loading takes nothing from what it is given
