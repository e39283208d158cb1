"""Every pair of choices, and (slow) every combination of parts: builds, runs, is causal, decodes, is counted."""

import itertools
import math
import random

import pytest
import torch

from hornbook.model.build import PARTS, build
from hornbook.model.cache import Cache
from hornbook.model.count import count, count_config
from hornbook.model.dropout import Clock

KINDS = ("block", "attention", "mlp", "norm", "positions", "qk_norm", "values", "pairs", "logits")
PARTS_IN_USE = {**{kind: list(PARTS[kind]) for kind in KINDS}, "n_kv_head": [None, 1]}
DETAILS = {
    **{name: [False, True] for name in ("tied", "bias_qkv", "bias_projection", "bias_mlp", "bias_head")},
    "dropout": [0.0, 0.25],
    "vocab_size": [11, 130],  # with pairs: each has a row, or they share some
}
CHOICES = {**PARTS_IN_USE, **DETAILS}


def pairs_of(choice):
    """Every two settings of a choice, as ((name, value), (name, value))."""
    return set(itertools.combinations(choice.items(), 2))


def all_pairs():
    """Return choices that hold every pair of settings at least once: each time, of 50 drawn, the one with most new."""
    rng = random.Random(0)
    missing = {((a, x), (b, y)) for a, b in itertools.combinations(CHOICES, 2) for x in CHOICES[a] for y in CHOICES[b]}
    rows = []
    while missing:
        (a, x), (b, y) = min(missing, key=str)
        drawn = [{**{k: rng.choice(v) for k, v in CHOICES.items()}, a: x, b: y} for _ in range(50)]
        rows.append(max(drawn, key=lambda choice: len(pairs_of(choice) & missing)))
        missing -= pairs_of(rows[-1])
    return rows


ROWS = all_pairs()


@pytest.fixture
def check(tiny, scatter, ids):
    """Check one choice of everything."""

    def check(**choice):
        config = tiny(**choice, n_layer=1, n_head=1 if choice["attention"] == "head" else 3)
        model = scatter(build(config).double())
        Clock(model.modules(), seed=3).set(2)
        kept = []
        hook = model.tokens.register_forward_hook(lambda _m, _i, output: kept.append(output))

        logits = model(ids)
        hook.remove()
        V = config.vocab_size
        assert logits.shape == (3, 8, V)
        assert math.isfinite(model.loss(model.hidden(ids), model.head, ids).item())

        t = 4
        flow = torch.randn(3, V, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        (reach,) = torch.autograd.grad(logits[:, t], kept[0], flow, retain_graph=True, materialize_grads=True)
        assert not reach[:, t + 1 :].any()
        talks = choice["attention"] != "nothing" and not (choice["block"] == "plain" and choice["mlp"] == "nothing")
        assert bool(reach[:, :t].any()) == talks

        logits.square().sum().backward()
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        assert all(gradient.isfinite().all() for gradient in gradients)
        assert len(gradients) > 0

        shares = count(model)
        assert sum(share.parameters for share in shares) == sum(p.numel() for p in model.parameters())
        assert count_config(config) == shares

        model.eval()
        cache = Cache(config.block_size)
        with torch.no_grad():
            found = torch.cat([model(ids[:, a:b], cache) for a, b in ((0, 1), (1, 5), (5, 7), (7, 8))], dim=1)
            whole = model(ids)
            torch.testing.assert_close(found, whole, rtol=0, atol=1e-12)
            changed = torch.cat(
                [ids[:, :t], (ids[:, t:] + 1) % 11], dim=1
            )  # by way of the ids, which pairs and values look at
            torch.testing.assert_close(model(changed)[:, :t], whole[:, :t], rtol=0, atol=1e-12)

    return check


def test_the_rows_do_hold_all_pairs():
    held = set().union(*map(pairs_of, ROWS))
    for (a, xs), (b, ys) in itertools.combinations(CHOICES.items(), 2):
        for x, y in itertools.product(xs, ys):
            assert ((a, x), (b, y)) in held
    assert len(ROWS) < 60


@pytest.mark.parametrize("choice", ROWS, ids=lambda choice: "-".join(str(value) for value in choice.values()))
def test_every_pair_of_choices(check, choice):
    check(**choice)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("block", CHOICES["block"])
@pytest.mark.parametrize("attention", CHOICES["attention"])
@pytest.mark.parametrize("mlp", CHOICES["mlp"])
def test_every_combination_of_parts(check, block, attention, mlp):
    rng = random.Random(f"{block} {attention} {mlp}")
    others = {name: values for name, values in PARTS_IN_USE.items() if name not in ("block", "attention", "mlp")}
    for values in itertools.product(*others.values()):
        details = {name: rng.choice(values) for name, values in DETAILS.items()}
        check(block=block, attention=attention, mlp=mlp, **dict(zip(others, values, strict=True)), **details)
