"""The parts that came after GPT-2, each against its formula, and all of them in one model against plain tensors."""

import math

import pytest
import torch
from torch.nn import functional as F

from hornbook.errors import UsageError
from hornbook.model.build import build, finder
from hornbook.model.cache import NO_CACHE, Cache
from hornbook.model.config import MOST_ROWS
from hornbook.model.gpt import CappedLinear
from hornbook.model.mlp import SquaredReLU, SwiGLU
from hornbook.model.norm import HeadNorm, RMSNorm, Unscaled
from hornbook.model.pairs import HashedPairs, make_pairs
from hornbook.model.positions import Rotary
from hornbook.model.weights import get_weights, load_weights

MODERN = {
    "positions": "rotary",
    "norm": "rmsnorm-nogain",
    "qk_norm": "rmsnorm-nogain",
    "mlp": "relu2",
    "pairs": "bigram",
    "logits": "capped",
}


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rms(x):
    return x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt()


def test_rms_norm_is_its_formula(tiny):
    x = drawn(3, 5, 12)
    norm = RMSNorm(tiny(), "here").double()
    torch.nn.init.uniform_(norm.weight, 0.5, 2)
    torch.testing.assert_close(norm(x), rms(x) * norm.weight, rtol=0, atol=1e-12)
    bare = RMSNorm(tiny(), "here", gain=False)
    assert not list(bare.parameters())
    torch.testing.assert_close(bare(x), rms(x), rtol=0, atol=1e-12)
    heads = HeadNorm(tiny(), "here")
    assert not list(heads.parameters())
    torch.testing.assert_close(heads(drawn(2, 3, 5, 4)), rms(drawn(2, 3, 5, 4)), rtol=0, atol=1e-12)


def test_unscaled_queries_and_keys_undo_the_division():
    q, k = drawn(2, 3, 5, 16), drawn(2, 3, 5, 16, seed=1)
    scores = Unscaled()(q) @ Unscaled()(k).transpose(2, 3) / math.sqrt(16)
    torch.testing.assert_close(scores, q @ k.transpose(2, 3), rtol=0, atol=1e-12)


def test_the_new_mlps_are_their_formulas(tiny, scatter):
    x = torch.tensor([-2.0, -0.5, 0.0, 0.5, 3.0])
    assert SquaredReLU()(x).tolist() == [0, 0, 0, 0.25, 9]
    mlp = scatter(SwiGLU(tiny(), "here").double())
    w, x = get_weights(mlp), drawn(2, 4, 12)
    gate = x @ w["gate.weight"].T + w["gate.bias"]
    wide = gate / (1 + (-gate).exp()) * (x @ w["expand.weight"].T + w["expand.bias"])
    torch.testing.assert_close(mlp(x), wide @ w["project.weight"].T + w["project.bias"], rtol=0, atol=1e-12)


def test_capped_logits_stay_below_the_cap_and_small_ones_as_they_are():
    head = CappedLinear(1, 1, bias=False)
    head.weight.data.fill_(1.0)
    x = torch.linspace(-1000, 1000, 999)[:, None]
    y = head(x)
    assert y.abs().max() <= 15
    assert (y.diff(dim=0) >= 0).all()
    small = torch.linspace(-1, 1, 99)[:, None]
    torch.testing.assert_close(head(small), small, rtol=0, atol=2e-3)


def test_rotary_is_multiplication_by_a_complex_number_of_size_one(tiny):
    config = tiny(n_head=1, n_embd=8)
    x = drawn(2, 6, 8)
    angles = torch.arange(6)[:, None] * torch.tensor([10000 ** (-i / 4) for i in range(4)])
    points = torch.complex(x[..., :4], x[..., 4:]) * torch.polar(torch.ones(6, 4), angles).to(torch.complex128)
    found = Rotary(config, "here").double()(x, 0)
    torch.testing.assert_close(found, torch.cat([points.real, points.imag], -1), rtol=0, atol=1e-5)
    torch.testing.assert_close(found.norm(dim=-1), x.norm(dim=-1), rtol=0, atol=1e-6)


def test_turned_queries_and_keys_know_only_how_far_apart_they_are(tiny):
    rotary = Rotary(tiny(n_head=1, block_size=40), "here").double()
    q, k = drawn(1, 1, 12), drawn(1, 1, 12, seed=1)
    for apart in (0, 1, 7):
        products = [(rotary(q, t + apart) * rotary(k, t)).sum().item() for t in (0, 1, 13, 32)]
        assert products == pytest.approx([products[0]] * 4, abs=1e-5)
    assert torch.equal(rotary(q, 0), q)
    assert abs((rotary(q, 3) * rotary(k, 0)).sum() - (q * k).sum()) > 1e-2


def test_rotary_in_pieces_and_beyond_its_room(tiny):
    rotary, x = Rotary(tiny(), "here").double(), drawn(2, 3, 10, 4)
    pieces = torch.cat([rotary(x[:, :, a:b], a) for a, b in ((0, 1), (1, 7), (7, 10))], dim=2)
    assert torch.equal(pieces, rotary(x, 0))
    with pytest.raises(UsageError, match="longer than block_size=10"):
        rotary(x, 1)


@pytest.mark.parametrize("n_kv_head", [1, 2, 3, 6])
@pytest.mark.parametrize("form", ["heads", "batched", "fused"])
def test_grouped_heads_are_heads_whose_keys_and_values_are_written_out_for_each(
    make, ids, run_with_gradients, form, n_kv_head
):
    """Equal forward; and a shared weight's gradient is the sum over those who share it."""
    grouped = make(attention=form, n_head=6, n_kv_head=n_kv_head)
    full = make(attention="batched", n_head=6)
    weights, names = get_weights(grouped), ("key.weight", "key.bias", "value.weight", "value.bias")

    def each(weight):  # (Hkv * D, …) -> (H * D, …)
        return weight.unflatten(0, (n_kv_head, 2)).repeat_interleave(6 // n_kv_head, dim=0).flatten(0, 1)

    load_weights(full, {name: each(w) if name.endswith(names) else w for name, w in weights.items()})
    logits, gradients = run_with_gradients(grouped, ids)
    expected, expected_gradients = run_with_gradients(full, ids)
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-12)
    for name, gradient in gradients.items():
        other = expected_gradients[name]
        if name.endswith(names) and form != "heads":  # `by_name` would count what the heads share once for each
            other = other.unflatten(0, (n_kv_head, 6 // n_kv_head, 2)).sum(1).flatten(0, 1)
        if other.shape == gradient.shape:
            torch.testing.assert_close(gradient, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("n_kv_head", [1, 3])
def test_what_grouped_heads_have_learned_opens_in_every_form(make, ids, n_kv_head):
    models = [make(attention=form, n_head=6, n_kv_head=n_kv_head) for form in ("heads", "batched", "fused")]
    weights = [get_weights(model) for model in models]
    assert weights[0]["blocks.0.attention.key.weight"].shape == (2 * n_kv_head, 12)
    for each in weights:
        assert each.keys() == weights[0].keys()
        assert all(torch.equal(each[name], weights[0][name]) for name in each)
    half = {name: weight * 0.5 for name, weight in weights[0].items()}
    for model in models:
        load_weights(model, half)
        assert all(torch.equal(weight, half[name]) for name, weight in get_weights(model).items())
    for model in models[1:]:
        torch.testing.assert_close(model(ids), models[0](ids), rtol=0, atol=1e-12)
    assert len({sum(p.numel() for p in model.parameters()) for model in models}) == 1


@pytest.mark.parametrize("n_kv_head", [1, 2, 6])
@pytest.mark.parametrize("form", ["batched", "fused"])
def test_grouped_heads_share_the_vectors_of_units_too(make, ids, run_with_gradients, form, n_kv_head):
    changes = {"n_head": 6, "n_kv_head": n_kv_head, "values": "embedding"}
    one_by_one, other = make(attention="heads", **changes), make(attention=form, **changes)
    assert get_weights(other)["blocks.0.attention.recall.table.weight"].shape == (11, 2 * n_kv_head)
    (logits, gradients), (expected, expected_gradients) = (run_with_gradients(m, ids) for m in (other, one_by_one))
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-12)
    name = "blocks.1.attention.recall.table.weight"
    torch.testing.assert_close(gradients[name], expected_gradients[name], rtol=0, atol=1e-12)
    assert gradients[name].abs().max() > 1e-3


def test_grouped_heads_keep_fewer_keys(make, ids):
    cache = Cache(10)
    model = make(n_head=6, n_kv_head=2).eval()
    with torch.no_grad():
        model(ids, cache)
    assert {k.shape for pair in cache._kept.values() for k in pair} == {(3, 2, 10, 2)}


def test_each_pair_has_a_row_of_its_own_while_there_is_room(tiny):
    V = 127
    pairs = make_pairs(tiny(vocab_size=V), "pairs")
    before, ids = torch.meshgrid(torch.arange(V), torch.arange(V), indexing="ij")
    assert sorted(pairs.row(before, ids).flatten().tolist()) == list(range(V * V))
    assert len(pairs.table.weight) == 1 + V * V <= MOST_ROWS
    assert type(pairs) is not HashedPairs


@pytest.mark.parametrize("V", [128, 3_000, 2**24])
def test_of_more_pairs_some_share_a_row_evenly(tiny, V):
    pairs = make_pairs(tiny(vocab_size=V), "pairs")
    assert isinstance(pairs, HashedPairs)
    assert len(pairs.table.weight) == MOST_ROWS
    before = torch.randint(V, (100_000,), generator=torch.Generator().manual_seed(0))
    ids = torch.randint(V, (100_000,), generator=torch.Generator().manual_seed(1))
    rows = pairs.row(before, ids)
    assert rows.min() >= 0
    assert rows.max() < MOST_ROWS - 1
    n = len(torch.unique(torch.stack([before, ids]), dim=1)[0])
    expected = (MOST_ROWS - 1) * (1 - math.exp(-n / (MOST_ROWS - 1)))
    assert len(rows.unique()) == pytest.approx(expected, rel=0.02)
    assert (pairs.row(ids, before) != rows).double().mean() > 0.9  # the order counts


@pytest.mark.parametrize("V", [11, 200])
def test_pairs_add_one_vector_a_place_and_the_first_has_its_own(tiny, V):
    pairs = make_pairs(tiny(vocab_size=V), "pairs").double()
    torch.nn.init.normal_(pairs.table.weight)
    ids = torch.tensor([[3, 4, 3, 4, 3], [4, 4, 4, 4, 9]])
    added = pairs(torch.zeros(2, 5, 12).double(), ids, NO_CACHE)
    table = pairs.table.weight
    assert torch.equal(added[:, 0], table[[0, 0]])
    assert torch.equal(added[0, 1], added[0, 3])
    assert torch.equal(added[1, 1], added[1, 3])
    assert not torch.equal(added[0, 1], added[0, 2])
    assert torch.equal(added[0, 1], table[1 + pairs.row(torch.tensor(3), torch.tensor(4))])


def test_a_cache_remembers_the_unit_before(ids):
    cache, found = Cache(8), []
    for start, end in ((0, 1), (1, 4), (4, 5), (5, 8)):
        found.append(cache.before(ids[:, start:end]))
        cache.advance(ids[:, start:end])
    assert torch.equal(torch.cat(found, dim=1), NO_CACHE.before(ids))
    assert NO_CACHE.before(ids)[:, 0].tolist() == [-1, -1, -1]
    assert torch.equal(NO_CACHE.before(ids)[:, 1:], ids[:, :-1])


@pytest.mark.parametrize("block", ["pre", "branch"])
def test_blocks_that_begin_at_zero_begin_as_ones_that_change_nothing(tiny, ids, block):
    model = build(tiny(init_zero=True, block=block, norm="rmsnorm-nogain", pairs="bigram"))
    embedded = model.tokens(ids) + model.positions.table.weight[:8]
    torch.testing.assert_close(model(ids), model.head(model.norm(embedded)))
    scaled = get_weights(build(tiny(block=block, norm="rmsnorm-nogain", pairs="bigram")))
    for name, weight in get_weights(model).items():
        if name.endswith("project.weight"):
            assert not weight.any()
        else:
            assert torch.equal(weight, scaled[name])  # the others begin as they do without it


def reference(w, ids, n_layer, n_head):
    """All the modern parts of MODERN in one, in plain tensors."""
    B, T = ids.shape
    C = w["tokens.weight"].shape[1]
    V, D = len(w["tokens.weight"]), C // n_head
    rows = torch.zeros_like(ids)
    rows[:, 1:] = 1 + V * ids[:, :-1] + ids[:, 1:]
    x = w["tokens.weight"][ids] + w["pairs.table.weight"][rows]
    angles = torch.outer(torch.arange(T), 10000 ** (-torch.arange(D // 2) / (D // 2)))
    turn = torch.polar(torch.ones_like(angles), angles).to(torch.complex128)

    def linear(x, name):
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def turned(x):
        points = torch.complex(x[..., : D // 2], x[..., D // 2 :]) * turn
        return torch.cat([points.real, points.imag], dim=-1)

    for i in range(n_layer):
        q, k, v = (
            linear(rms(x), f"blocks.{i}.attention.{part}").reshape(B, T, n_head, D).transpose(1, 2)
            for part in ("query", "key", "value")
        )
        scores = turned(rms(q)) @ turned(rms(k)).transpose(2, 3) / math.sqrt(D)
        scores = scores.masked_fill(torch.ones(T, T).triu(1).bool(), -math.inf)
        y = (scores.softmax(-1) @ v).transpose(1, 2).reshape(B, T, C)
        x = x + linear(y, f"blocks.{i}.attention.project")
        wide = F.relu(linear(rms(x), f"blocks.{i}.mlp.expand")) ** 2
        x = x + linear(wide, f"blocks.{i}.mlp.project")
    return 15 * torch.tanh(linear(rms(x), "head") / 15)


@pytest.mark.parametrize("attention", ["heads", "batched", "fused"])
def test_a_modern_model_is_its_equations(make, ids, attention):
    model = make(attention=attention, n_layer=3, **MODERN)
    torch.testing.assert_close(model(ids), reference(get_weights(model), ids, 3, 3), rtol=0, atol=1e-6)


@pytest.mark.parametrize("attention", ["head", "heads", "batched", "fused"])
def test_values_know_the_unit_itself(make, ids, attention):
    """v = W_v x + E[ids], in plain tensors: a projection of the same model with x and the units side by side."""
    n_head = 1 if attention == "head" else 3
    model = make(attention=attention, n_head=n_head, n_layer=1, values="embedding")
    plain = make(attention=attention, n_head=n_head, n_layer=1)
    w = get_weights(model)
    assert w["blocks.0.attention.recall.table.weight"].shape == (11, 12)
    seen = []
    plain.blocks[0].attention.register_forward_pre_hook(lambda _m, args: seen.append(args[0]))
    plain(ids)
    x, D = seen[0], 12 // n_head
    q, k, v = (
        x @ w[f"blocks.0.attention.{name}.weight"].T + w[f"blocks.0.attention.{name}.bias"]
        for name in ("query", "key", "value")
    )
    v = v + w["blocks.0.attention.recall.table.weight"][ids]
    q, k, v = (y.unflatten(2, (n_head, D)).transpose(1, 2) for y in (q, k, v))
    expected = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
    if attention != "head":
        expected = expected @ w["blocks.0.attention.project.weight"].T + w["blocks.0.attention.project.bias"]
    found = model.blocks[0].attention(x, NO_CACHE.reading(ids))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    assert (found - plain.blocks[0].attention(x)).abs().max() > 1e-2


def test_a_model_whose_value_vectors_are_zero_is_one_without_them(make, ids):
    model, plain = make(values="embedding", **MODERN), make(**MODERN)
    firsts = get_weights(model)
    load_weights(model, {n: torch.zeros_like(w) if "recall" in n else w for n, w in firsts.items()})
    torch.testing.assert_close(model(ids), plain(ids), rtol=0, atol=1e-12)


def test_what_is_being_read_is_told_to_none_but_who_reads_it(make, ids):
    """All models share one object for no cache: nothing may stay in it."""
    before = dict(vars(NO_CACHE))
    first, second = NO_CACHE.reading(ids), NO_CACHE.reading(ids[:, :2])
    make(values="embedding")(ids)
    assert torch.equal(first.ids, ids)
    assert torch.equal(second.ids, ids[:, :2])
    assert vars(NO_CACHE) == before
    assert NO_CACHE.ids.numel() == 0


def test_an_attention_finds_its_parts_by_the_names_in_the_config(tiny):
    find = finder(tiny(**MODERN))
    assert find("turn") is Rotary
    assert find("qk_norm") is HeadNorm
    assert type(finder(tiny())("turn")(tiny(), "here")).__name__ == "Unchanged"


def test_what_can_not_be_says_what_can(tiny):
    with pytest.raises(UsageError, match=r"n_head=6 .*n_kv_head=4 .* model.n_kv_head=3 would"):
        tiny(n_head=6, n_kv_head=4)
    with pytest.raises(UsageError, match=r"a head has 3 .* model.n_embd=16, or model.positions=learned"):
        tiny(n_head=4, positions="rotary")
    tiny(n_head=4, n_embd=16, positions="rotary")
    for field in ("norm", "qk_norm", "values", "pairs", "logits", "positions"):
        with pytest.raises(UsageError, match=f"model.{field}=nonsense is not a part there is"):
            build(tiny(**{field: "nonsense"}))
