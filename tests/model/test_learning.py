"""A model that computes the right thing and cannot learn would be no use: one batch, by heart."""

import math

import pytest
import torch

from hornbook.model.build import build
from hornbook.model.dropout import Clock


def train(model, ids, targets, steps, rate):
    """The plainest of loops; returns the last loss."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.0)
    clock = Clock(model.modules(), seed=0)
    for step in range(steps):
        clock.set(step)
        loss = model.loss(model.hidden(ids), model.head, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


@pytest.mark.parametrize(
    "choice",
    [
        {"attention": "heads", "mlp": "relu"},
        {"attention": "batched", "block": "branch"},
        {"attention": "fused", "tied": True},
        {"attention": "fused", "block": "post", "positions": "sinusoidal"},
    ],
    ids=lambda choice: "-".join(map(str, choice.values())),
)
def test_a_tiny_gpt_learns_one_batch_by_heart(tiny, choice):
    """Random units: nothing to understand, so each place has to be told from all others by what came before it."""
    model = build(tiny(n_head=4, n_embd=32, n_hidden=None, init_std=0.1, **choice))
    drawn = torch.randint(11, (4, 11), generator=torch.Generator().manual_seed(0))
    ids, targets = drawn[:, :-1], drawn[:, 1:]
    assert train(model, ids, targets, 1, 0.0) > 1.5  # it does not know them yet
    assert train(model, ids, targets, 150, 0.01) < 0.02


def test_with_dropout_it_learns_too(tiny):
    model = build(tiny(n_head=4, n_embd=32, n_hidden=None, init_std=0.1, dropout=0.1))
    drawn = torch.randint(11, (4, 11), generator=torch.Generator().manual_seed(0))
    train(model, drawn[:, :-1], drawn[:, 1:], 200, 0.01)
    model.eval()
    with torch.no_grad():
        assert model.loss(model.hidden(drawn[:, :-1]), model.head, drawn[:, 1:]).item() < 0.05


def test_without_attention_it_learns_what_a_table_can(tiny):
    """Units that follow each other by a coin that remembers two back: one back, the best is ln 2."""
    bits = [0, 0, 1, 1] * 8 + [0]  # after 00 comes 1, after 01 1, after 11 0, after 10 0
    drawn = torch.tensor([bits[i : i + 11] for i in range(4)])
    sizes = {"vocab_size": 2, "n_head": 4, "n_embd": 32, "init_std": 0.1, "positions": "nothing"}
    for choice, learns in (({"attention": "nothing"}, False), ({"attention": "fused", "positions": "learned"}, True)):
        model = build(tiny(**{**sizes, **choice}))
        loss = train(model, drawn[:, 1:-1], drawn[:, 2:], 150, 0.01)
        if learns:
            assert loss < 0.2  # the first place of each row still has to guess
        else:
            assert loss == pytest.approx(math.log(2), abs=0.05)


def test_the_bigram_learns_the_frequencies_of_what_follows_what(tiny):
    """At its best, the table says how often each unit followed: the counts' own entropy."""
    drawn = torch.tensor([[0, 1, 0, 2, 0, 1, 0, 1, 0]])
    model = build(tiny(kind="bigram", vocab_size=3, init_std=1.0))
    loss = train(model, drawn[:, :-1], drawn[:, 1:], 1200, 0.1)
    after_0 = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert loss == pytest.approx(after_0 / 2, abs=1e-3)
    shares = model.table.weight.detach().softmax(1)
    assert shares[0].tolist() == pytest.approx([0, 0.75, 0.25], abs=0.01)
