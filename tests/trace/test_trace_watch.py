"""Watching: what is called, in what order, and where the numbers say that something was added."""

import pytest
import torch
from torch import nn

from hornbook.model.block import PreNorm
from hornbook.trace.watch import Added, additions, watching

ORDERS = {
    "pre": [Added(0, 2), Added(3, 5)],  # norm, attention, dropout (added); norm, mlp, dropout (added)
    "branch": [Added(0, 2), Added(3, 5)],
    "post": [Added(0, 1), Added(3, 4)],  # attention, dropout (added), norm; mlp, dropout (added), norm
    "plain": [],
}


def watched(block, x):
    with torch.inference_mode(), watching(block) as root:
        block(x)
    assert len(root.children) == 1
    return root.children[0]


@pytest.mark.parametrize("norm", ["layernorm", "identity"])
@pytest.mark.parametrize("order", ORDERS)
def test_additions_are_found_in_every_order_of_norm(order, norm, make_model):
    model, config = make_model(block=order, norm=norm)
    call = watched(model.blocks[0], torch.randn(1, 5, config.n_embd))
    assert additions(call) == ORDERS[order]


@pytest.mark.parametrize("absent", ["attention", "mlp"])
def test_a_branch_that_adds_nothing_still_is_one(absent, make_model):
    model, config = make_model(**{absent: "nothing"})
    call = watched(model.blocks[0], torch.randn(1, 5, config.n_embd))
    assert additions(call) == ORDERS["pre"]


class NoStream(PreNorm):
    def forward(self, x, cache=None):
        x = self.attention_dropout(self.attention(self.attention_norm(x)))
        return x + self.mlp_dropout(self.mlp(self.mlp_norm(x)))


class Half(PreNorm):
    def forward(self, x, cache=None):
        x = x + 0.5 * self.attention_dropout(self.attention(self.attention_norm(x)))
        return x + self.mlp_dropout(self.mlp(self.mlp_norm(x)))


class InPlace(PreNorm):
    def forward(self, x, cache=None):
        x += self.attention_dropout(self.attention(self.attention_norm(x)))
        x += self.mlp_dropout(self.mlp(self.mlp_norm(x)))
        return x


@pytest.mark.parametrize(("edited", "found"), [(NoStream, [3]), (Half, [3]), (InPlace, [0, 3])])
def test_an_edited_block_is_believed_by_its_numbers(edited, found, make_model):
    model, config = make_model()
    block = model.blocks[0]
    block.__class__ = edited
    call = watched(block, torch.randn(1, 5, config.n_embd))
    assert [added.tap for added in additions(call)] == found


def test_calls_are_seen_with_their_names_and_nested(make_model):
    model, _ = make_model(attention="heads")
    call = watched(model, torch.tensor([[1, 2, 3]]))
    assert [child.name for child in call.children] == [
        "tokens",
        "pairs",
        "positions",
        "dropout",
        "0",
        "1",
        "norm",
        "head",
    ]
    heads = [below for below in call.children[4].below() if below.name == "weights"]
    assert [head.output.shape for head in heads] == [(1, 3, 3)] * 2


def test_a_part_that_is_used_twice_is_seen_twice():
    layer = nn.Linear(2, 2)
    call = watched(nn.Sequential(layer, layer), torch.ones(1, 2))
    assert len(call.children) == 2
    assert torch.equal(call.children[0].output, call.children[1].input)


def test_hooks_come_off_also_after_an_error():
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(2, 3))
    with pytest.raises(RuntimeError, match="shape"), watching(model):
        model(torch.ones(1, 2))
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())
