"""Heads one by one, heads at once and the fused core are one computation: forward, backward, training, decoding."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from hornbook.model.attention import Attention, Causal, FusedCore, MatmulCore, allowed_keys
from hornbook.model.block import Nothing
from hornbook.model.build import build, finder
from hornbook.model.cache import Cache
from hornbook.model.dropout import Clock, Dropout
from hornbook.model.head import Head, lower_triangle
from hornbook.model.weights import get_weights, load_weights

FORMS = ["heads", "batched", "fused"]
OTHERS = ["batched", "fused"]
BIASES = [{}, {"bias_qkv": False, "bias_projection": False}]
CHANGES = [*BIASES, {"values": "embedding"}]
NO_DROPOUT = Dropout(0.0, "nowhere")


def check_same(found, expected, atol=1e-12):
    """Compare logits and gradients by name, all to the same bound."""
    (logits, gradients), (expected_logits, expected_gradients) = found, expected
    torch.testing.assert_close(logits, expected_logits, rtol=0, atol=atol)
    assert gradients.keys() == expected_gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected_gradients[name], rtol=0, atol=atol, msg=lambda m, n=name: n + m)
        assert gradient.abs().max() > 1e-6 or name.endswith("key.bias"), name  # see the test of the key's bias


@pytest.mark.parametrize("block", ["pre", "branch", "post", "plain"])
@pytest.mark.parametrize("biases", CHANGES)
@pytest.mark.parametrize("form", OTHERS)
def test_forms_agree_forward_and_backward(make, ids, run_with_gradients, form, biases, block):
    one_by_one = make(attention="heads", block=block, **biases)
    other = make(attention=form, block=block, **biases)
    check_same(run_with_gradients(other, ids), run_with_gradients(one_by_one, ids))


@pytest.mark.parametrize("form", OTHERS)
def test_forms_drop_the_same_units_in_training(make, ids, run_with_gradients, form):
    def trained(attention, step):
        model = make(attention=attention, dropout=0.3, values="embedding")
        assert model.training
        Clock(model.modules(), seed=5).set(step, row=7)
        return run_with_gradients(model, ids)

    reference = trained("heads", 4)
    check_same(trained(form, 4), reference)  # the fused form hands over to its matrix products here
    assert (trained(form, 5)[0] - reference[0]).abs().max() > 1e-2  # at another step others drop out


@pytest.mark.parametrize("attention_dropout", [0.0, 0.3])
@pytest.mark.parametrize("form", FORMS)
def test_only_the_attention_rate_reaches_the_attention(make, ids, form, attention_dropout):
    model = make(attention=form, dropout=0.0, attention_dropout=attention_dropout)
    changes = (model(ids) - model.eval()(ids)).abs().max() > 1e-2
    assert changes == (attention_dropout > 0)


@pytest.mark.parametrize("form", OTHERS)
def test_forms_agree_in_evaluation_at_any_rate(make, ids, run_with_gradients, form):
    expected = run_with_gradients(make(attention="heads").eval(), ids)
    for rate in (0.1, 0.9):
        check_same(run_with_gradients(make(attention=form, dropout=rate).eval(), ids), expected)


@pytest.mark.parametrize("form", FORMS)
def test_no_bias_of_the_key_ever_learns(make, ids, run_with_gradients, form):
    """It adds the same to every score of a query, and softmax takes out what all have in common."""
    _, gradients = run_with_gradients(make(attention=form), ids)
    assert gradients["blocks.0.attention.key.bias"].abs().max() < 1e-12
    assert gradients["blocks.0.attention.query.bias"].abs().max() > 1e-6


def test_a_head_against_sums_written_out(tiny, scatter):
    """One head, one row, no tensor algebra: query, key and value by hand, softmax of what stands before."""
    config = tiny(n_head=1, n_embd=4, attention="head")
    head = scatter(Head(config, "here", finder(config)).double())
    weights = {name: weight.tolist() for name, weight in get_weights(head).items()}
    x = torch.randn(1, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rows = x[0].tolist()

    def linear(name, row):
        matrix, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        return [sum(w * v for w, v in zip(line, row, strict=True)) + b for line, b in zip(matrix, bias, strict=True)]

    expected = []
    for t in range(5):
        query = linear("query", rows[t])
        scores = [sum(a * b for a, b in zip(query, linear("key", rows[s]), strict=True)) / 2 for s in range(t + 1)]
        total = sum(math.exp(score) for score in scores)
        values = [linear("value", rows[s]) for s in range(t + 1)]
        expected.append(
            [sum(math.exp(a) / total * v[d] for a, v in zip(scores, values, strict=True)) for d in range(4)]
        )
    torch.testing.assert_close(head(x)[0].tolist(), expected, rtol=0, atol=1e-12)


def test_one_head_is_attention_with_one_head_that_projects_nothing(tiny, scatter):
    config = tiny(n_head=1)
    head = scatter(Head(config, "here", finder(config)).double())
    attention = Attention(config, "here", finder(config), MatmulCore).double()
    projection = {"project.weight": torch.eye(12).double(), "project.bias": torch.zeros(12).double()}
    load_weights(attention, {**get_weights(head), **projection})
    x = torch.randn(2, 6, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(head(x), attention(x), rtol=0, atol=1e-12)


def pieces(length, cut):
    """Cut 0 … length into pieces as long as `cut` says, over and over."""
    start, i = 0, 0
    while start < length:
        end = min(start + cut[i % len(cut)], length)
        yield start, end
        start, i = end, i + 1


@pytest.mark.parametrize("cut", [(1,), (3, 1, 2), (1, 4), (7, 1), (8,)])
@pytest.mark.parametrize("block", ["pre", "plain"])
@pytest.mark.parametrize("attention", [*FORMS, "nothing"])
@pytest.mark.parametrize("values", ["nothing", "embedding"])
@torch.no_grad()
def test_decoding_in_pieces_is_decoding_at_once(make, ids, attention, block, cut, values):
    model = make(attention=attention, block=block, values=values).eval()
    cache = Cache(10)
    found = []
    for start, end in pieces(8, cut):
        found.append(model(ids[:, start:end], cache))
        assert cache.length == end
    torch.testing.assert_close(torch.cat(found, dim=1), model(ids), rtol=0, atol=1e-12)


@torch.no_grad()
def test_decoding_in_pieces_with_one_bare_head(make, ids):
    model = make(attention="head", n_head=1, values="embedding").eval()
    cache = Cache(8)
    found = torch.cat([model(ids[:, a:b], cache) for a, b in pieces(8, (2, 1))], dim=1)
    torch.testing.assert_close(found, model(ids), rtol=0, atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
@torch.no_grad()
def test_two_caches_do_not_know_each_other(make, ids, form):
    model = make(attention=form).eval()
    first, second = Cache(8), Cache(10)
    model(ids[:, :3], first)
    model(ids[:1, :5], second)
    torch.testing.assert_close(model(ids[:, 3:], first), model(ids)[:, 3:], rtol=0, atol=1e-12)
    torch.testing.assert_close(model(ids[:1, 5:], second), model(ids[:1])[:, 5:], rtol=0, atol=1e-12)


def test_a_cache_that_is_full_says_so(make, ids):
    model = make(attention="batched").eval()
    cache = Cache(8)
    model(ids, cache)
    with pytest.raises(AssertionError, match="a cache for 8 units is asked to hold 9"):
        model(ids[:, :1], cache)


@pytest.mark.parametrize("source", FORMS)
@pytest.mark.parametrize("target", FORMS)
@pytest.mark.parametrize("biases", CHANGES)
def test_a_checkpoint_of_one_form_opens_in_another(make, tiny, ids, source, target, biases):
    learned = make(attention=source, **biases)
    weights = {name: weight.clone() for name, weight in get_weights(learned).items()}
    opened = build(tiny(attention=target, **biases), seed=9).double()
    assert {n: w.shape for n, w in get_weights(opened).items()} == {n: w.shape for n, w in weights.items()}
    load_weights(opened, weights)
    for name, weight in get_weights(opened).items():
        assert torch.equal(weight, weights[name])
    torch.testing.assert_close(opened(ids), learned(ids), rtol=0, atol=1e-12)
    opened.load_state_dict(learned.state_dict())  # strict: PyTorch's own door is open too
    torch.testing.assert_close(opened(ids), learned(ids), rtol=0, atol=1e-12)


def test_all_forms_start_with_the_same_weights(tiny):
    first, *others = [get_weights(build(tiny(attention=form, values="embedding"), seed=3)) for form in FORMS]
    for other in others:
        assert other.keys() == first.keys()
        assert all(torch.equal(other[name], first[name]) for name in first)


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_causal_written_out():
    for Tq, Tk, offset in [(4, 4, 0), (2, 5, 3), (3, 5, 0), (4, 4, 2), (3, 6, 1), (1, 6, 5)]:
        mask = allowed_keys(Causal(offset), Tq, Tk, torch.device("cpu"))
        assert mask.tolist() == [[key <= query + offset for key in range(Tk)] for query in range(Tq)]
    assert allowed_keys(None, 2, 3, torch.device("cpu")).all()
    assert lower_triangle(2, 4, torch.device("cpu")).tolist() == [[True, True, True, False], [True] * 4]


MASKS = [
    *[(Causal(Tk - Tq), Tq, Tk) for Tq, Tk in [(5, 5), (1, 5), (2, 5), (4, 5), (1, 1)]],
    *[(None, Tq, Tk) for Tq, Tk in [(5, 5), (2, 5), (5, 2)]],
    (Causal(9), 3, 5),
    (torch.tensor([[True, False, True], [False, False, True]]), 2, 3),
    (torch.ones(4, 4, dtype=torch.bool).tril(), 4, 4),
]
UNALIGNED = [(Causal(0), 3, 5), (Causal(1), 3, 5), (Causal(3), 3, 5), (Causal(2), 4, 4)]


def check_core(core, mask, Tq, Tk):
    """Compare a core with attention written row by row, forward and backward."""
    q, k, v = (draw(2, 3, T, 4, seed=i).requires_grad_() for i, T in enumerate((Tq, Tk, Tk)))
    allowed = allowed_keys(mask, Tq, Tk, q.device)
    rows = []
    for i in range(Tq):
        scores = torch.einsum("bhd,bhkd->bhk", q[:, :, i], k[:, :, allowed[i]]) * 4**-0.5
        share = scores.exp() / scores.exp().sum(2, keepdim=True)
        rows.append(torch.einsum("bhk,bhkd->bhd", share, v[:, :, allowed[i]]))
    expected = torch.stack(rows, dim=2)
    found = core(q, k, v, mask, NO_DROPOUT)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    flow = draw(2, 3, Tq, 4, seed=7)
    for a, b in zip(
        torch.autograd.grad(found, (q, k, v), flow), torch.autograd.grad(expected, (q, k, v), flow), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize("core", [MatmulCore, FusedCore])
@pytest.mark.parametrize(("mask", "Tq", "Tk"), MASKS)
def test_cores_against_attention_row_by_row(core, mask, Tq, Tk):
    check_core(core(), mask, Tq, Tk)


@pytest.mark.parametrize("core", [MatmulCore, FusedCore])
@pytest.mark.parametrize(("mask", "Tq", "Tk"), UNALIGNED)
def test_cores_obey_a_causal_mask_of_any_offset(core, mask, Tq, Tk):
    check_core(core(), mask, Tq, Tk)


def test_the_fused_core_uses_the_fused_kernel_unless_units_drop_out(monkeypatch):
    called = []
    fused = F.scaled_dot_product_attention
    monkeypatch.setattr(F, "scaled_dot_product_attention", lambda *a, **k: called.append(k) or fused(*a, **k))
    q = draw(1, 2, 4, 4)
    FusedCore()(q, q, q, Causal(), NO_DROPOUT)
    assert called == [{"is_causal": True}]
    FusedCore()(q[:, :, :1], q, q, Causal(3), Dropout(0.5, "x").eval())
    assert called[1:] == [{"attn_mask": None}]  # one new unit sees all: no mask needed
    dropout = Dropout(0.5, "x")
    Clock([dropout], seed=0).set(1)
    FusedCore()(q, q, q, Causal(), dropout)
    MatmulCore()(q, q, q, Causal(), NO_DROPOUT)
    assert len(called) == 2


@pytest.mark.parametrize("form", ["heads", "batched"])
def test_the_weights_can_be_looked_at(make, ids, form):
    """Each row of every map sums to one, and nothing looks ahead."""
    model = make(attention=form, dropout=0.5)
    maps = []
    for name, module in model.named_modules():
        if name.endswith("weights"):
            assert isinstance(module, nn.Identity)
            module.register_forward_hook(lambda _m, _i, output: maps.append(output))
    model(ids)
    assert len(maps) == (6 if form == "heads" else 2)
    for weights in maps:
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]).double(), rtol=0, atol=1e-12)
        assert torch.equal(weights, weights.tril())


def test_nothing_is_a_zero_of_the_same_shape():
    x = draw(2, 3, 4)
    assert torch.equal(Nothing()(x), torch.zeros(2, 3, 4, dtype=torch.float64))


# How far float32 and bfloat16 may be from float64 with the same weights (rounded to the short format first, so that
# only the arithmetic differs), in units of the format's epsilon: (rms of the logits' error, norm of the gradient's
# error), each over the size of what is measured. Measured over 20 draws of weights, the worst form: 4.9 and 11 in
# float32, 1.7 and 3.4 in bfloat16, where products are summed in float32 and so fewer roundings show. Half as much
# again is left for other processors.
LIMITS = {torch.float32: (7.5, 16), torch.bfloat16: (2.6, 5)}


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("form", FORMS)
def test_bounds_in_shorter_formats(tiny, scatter, run_with_gradients, form, dtype):
    config = tiny(attention=form, n_layer=3, n_head=4, n_embd=32, block_size=64)
    short = scatter(build(config).to(dtype), 0.25)
    wide = build(config).double()
    load_weights(wide, {name: weight.double() for name, weight in get_weights(short).items()})
    ids = torch.randint(11, (4, 64), generator=torch.Generator().manual_seed(1))
    logits, gradients = run_with_gradients(short, ids)
    expected, expected_gradients = run_with_gradients(wide, ids)
    everything = torch.cat([gradients[name].double().flatten() for name in expected_gradients])
    expected_everything = torch.cat([gradient.flatten() for gradient in expected_gradients.values()])
    errors = (
        ((logits.double() - expected).square().mean().sqrt() / expected.std()).item(),
        ((everything - expected_everything).norm() / expected_everything.norm()).item(),
    )
    for error, limit in zip(errors, LIMITS[dtype], strict=True):
        assert error < limit * torch.finfo(dtype).eps
