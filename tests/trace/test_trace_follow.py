"""Every number of a trace, recomputed from the weights alone; and what a trace says where a model has less to show."""

import numpy as np
import pytest
import torch
from torch import nn

from hornbook.errors import UsageError
from hornbook.model import build as build_module
from hornbook.model.attention import FusedCore
from hornbook.model.mlp import MLP
from hornbook.model.weights import get_weights
from hornbook.trace.follow import follow, look

CONFIGS = {
    "pre": {},
    "branch": {"block": "branch"},
    "post": {"block": "post"},
    "plain": {"block": "plain"},
    "heads": {"attention": "heads"},
    "one head": {"attention": "head", "n_head": 1},
    "batched": {"attention": "batched"},
    "sinusoidal": {"positions": "sinusoidal"},
    "no positions": {"positions": "nothing"},
    "tied, no biases": {
        "tied": True, "bias_qkv": False, "bias_projection": False, "bias_mlp": False, "bias_head": False,
        "norm": "layernorm-nobias",
    },
    "no norm": {"norm": "identity", "mlp": "relu"},
    "the second rung": {"block": "plain", "mlp": "identity", "norm": "identity", "n_layer": 1},
    "three blocks of four heads": {"n_layer": 3, "n_head": 4},
    "bigram": {"kind": "bigram"},
    "modern": {
        "positions": "rotary", "norm": "rmsnorm-nogain", "qk_norm": "rmsnorm-nogain", "mlp": "relu2", "pairs": "bigram",
        "logits": "capped", "n_kv_head": 1, "values": "embedding",
    },
    "modern, one by one": {
        "attention": "heads", "n_kv_head": 1, "values": "embedding", "norm": "rmsnorm", "mlp": "swiglu",
    },
    "pairs, scaled": {"pairs": "bigram", "positions": "sinusoidal"},
}  # fmt: skip
IDS = np.array([3, 1, 4, 1, 5, 9, 2, 6, 5])


def close(seen, expected):
    np.testing.assert_allclose(seen, expected, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_number_comes_from_the_weights(name, make_model, reference):
    model, config = make_model(**CONFIGS[name])
    inside = look(model, config, IDS)
    true = reference(config, get_weights(model), IDS)
    close(inside.logits, true["logits"])
    close(inside.probabilities, true["probabilities"])
    assert len(inside.blocks) == len(true["blocks"])
    for block, expected in zip(inside.blocks, true["blocks"], strict=True):
        assert block.shape == (1, len(IDS), config.n_embd)
        close(block.before, expected["before"])
        close(block.after, expected["after"])
        close(block.weights, expected["weights"])
        assert [branch.name for branch in block.branches] == ["attention", "mlp"]
        for branch in block.branches:
            close(branch.norms, expected[branch.name])
            assert branch.added == (config.block != "plain")
    if config.kind == "bigram":
        assert inside.embedding is None
        assert inside.norm is None
        return
    embedding = inside.embedding
    close(embedding.tokens, true["tokens"])
    close(embedding.position, true["position"])
    assert (embedding.pairs is not None) == (config.pairs == "bigram")
    if embedding.pairs is not None:
        close(embedding.pairs, true["pairs"])
    close(sum(numbers for _, numbers in embedding.summands), true["whole"])
    close(embedding.whole, true["whole"])
    assert (embedding.scaled is not None) == (config.positions == "sinusoidal")
    if embedding.scaled is not None:
        close(embedding.scaled, true["scaled"])
    if config.block == "post" or config.norm == "identity":
        assert inside.norm is None
    else:
        close(inside.norm[1], true["before_norm"])
        close(inside.norm[2], true["after_norm"])


def test_a_single_unit_can_be_followed(make_model, reference):
    model, config = make_model()
    inside = look(model, config, IDS[:1])
    close(inside.logits, reference(config, get_weights(model), IDS[:1])["logits"])
    assert np.array_equal(inside.blocks[0].weights, np.ones((2, 1, 1)))


def test_looking_leaves_no_trace(make_model):
    model, config = make_model()
    model.train()
    weights = {name: weight.clone() for name, weight in get_weights(model).items()}
    look(model, config, IDS)
    assert all(part.training for part in model.modules())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())
    assert all(torch.equal(weight, weights[name]) for name, weight in get_weights(model).items())


@pytest.mark.parametrize("prompt", ["ಜ್ಞಾನವೇ", "", "Once upon a time, ಕನ್ನಡ ನಾಡು", "O"])
@pytest.mark.parametrize("temperature", [0.0, 0.8, 1.5])
def test_the_unit_drawn_is_the_first_that_generate_draws(prompt, temperature, make_run):
    run = make_run()
    for seed in range(20):
        trace = follow(run, prompt, temperature=temperature, seed=seed)
        pieces = list(run.stream(prompt, tokens=1, temperature=temperature, seed=seed))
        assert run.tokenizer.units[trace.drawn] == pieces[0][1]
        low, high = trace.interval
        assert low - 1e-4 <= trace.number <= high + 1e-4


def test_chances_are_the_probabilities_at_the_temperature(make_run, reference):
    run = make_run()
    trace = follow(run, "ಜ್ಞಾನವೇ", temperature=0.7)
    logits = reference(run.model_config, get_weights(run.model), trace.ids)["logits"][-1]
    expected = np.exp(logits / 0.7) / np.exp(logits / 0.7).sum()
    close(trace.chances, expected)
    low, high = trace.interval
    assert low == pytest.approx(expected[: trace.drawn].sum(), abs=1e-4)
    assert high == pytest.approx(expected[: trace.drawn + 1].sum(), abs=1e-4)


def test_what_came_next_is_ranked_by_its_logit(make_run, reference):
    run = make_run()
    trace = follow(run, "ಕನ್ನಡ")
    true = reference(run.model_config, get_weights(run.model), trace.ids)
    for place, (following, rank, p) in enumerate(trace.followers()):
        assert following == trace.ids[place + 1]
        assert rank == 1 + (true["logits"][place] > true["logits"][place, following]).sum()
        assert p == pytest.approx(true["probabilities"][place, following], abs=1e-5)


def test_the_likeliest_come_first_and_of_equals_the_lower_id(make_run):
    run = make_run()
    trace = follow(run, "ನ")
    ids = trace.likeliest(0, len(trace.units))
    pairs = [(-trace.inside.logits[0, i], i) for i in ids]
    assert pairs == sorted(pairs)


def test_an_empty_prompt_begins_as_generate_does(make_run):
    trace = follow(make_run(), "")
    assert trace.text == "\n"
    assert "begins from ⏎" in trace.notes[0]


def test_of_a_prompt_beyond_the_context_the_window_of_generate_is_followed(make_run):
    run = make_run()
    prompt = "Once upon a time ನಮ್ಮ ನಾಡು"  # more than 16 units
    trace = follow(run, prompt)
    assert prompt.endswith(trace.text)
    assert len(trace.ids) <= 16
    assert f"the prompt has {len(prompt)} units and the model looks at most 16 back" in trace.notes[0]
    assert f"the first {len(prompt) - len(trace.ids)} are forgotten" in trace.notes[0]


def test_exactly_as_many_units_as_the_context_holds_are_all_followed(make_run):
    trace = follow(make_run(), "Once upon a time")
    assert (len(trace.ids), trace.notes) == (16, ())


def test_unknown_characters_are_refused_left_out_or_replaced(make_run):
    run = make_run()
    with pytest.raises(UsageError, match=r"U\+2603 SNOWMAN.*--unknown skip"):
        follow(run, "ನ☃")
    skipped = follow(run, "ನ☃ಮ", unknown="skip")
    assert skipped.text == "ನಮ"
    assert skipped.notes == ("1 character of the prompt left out, which the model does not know",)
    replaced = follow(run, "☃ನ☃", unknown="replace")
    assert len(replaced.ids) == 3
    assert replaced.notes == ("2 characters of the prompt replaced, which the model does not know",)


def test_broken_weights_say_so(make_run):
    run = make_run()
    with torch.no_grad():
        run.model.head.weight[0, 0] = float("nan")
    with pytest.raises(UsageError, match="NaN"):
        follow(run, "ನ")


class Loud(MLP):
    def forward(self, x):
        return 10 * super().forward(x)


def test_an_edited_part_is_shown_as_it_is(make_run, reference, monkeypatch):
    run = make_run()
    true = reference(run.model_config, get_weights(run.model), run.tokenizer.encode("ನಮ್ಮ"))
    monkeypatch.setitem(build_module.PARTS["mlp"], "relu", lambda config, site: Loud(config, site, nn.ReLU))
    edited = make_run()
    branch = follow(edited, "ನಮ್ಮ").inside.blocks[0].branches[1]
    assert branch.part == "Loud"
    close(branch.norms, 10 * true["blocks"][0]["mlp"])


class Mean(nn.Module):
    """An attention of a learner's own: everyone takes the mean of all before, with no place to look at weights."""

    def __init__(self, config, site, find):
        super().__init__()
        self.project = nn.Linear(config.n_embd, config.n_embd)

    def forward(self, x, cache=None):
        return self.project(x.cumsum(1) / torch.arange(1, x.shape[1] + 1)[:, None])


def test_an_attention_of_ones_own_without_weights_is_named_and_the_rest_is_shown(make_model, monkeypatch):
    monkeypatch.setitem(build_module.PARTS["attention"], "mine", Mean)
    model, config = make_model(attention="mine")
    block = look(model, config, IDS).blocks[0]
    assert block.weights is None
    assert "Mean has no part named `weights`" in block.missing
    assert (block.branches[0].part, block.branches[0].added) == ("Mean", True)


def test_fused_attention_that_computes_something_else_does_not_borrow_weights(make_model, monkeypatch):
    def forward(self, q, k, v, mask, dropout):
        return v

    monkeypatch.setattr(FusedCore, "forward", forward)
    model, config = make_model()
    block = look(model, config, IDS).blocks[0]
    assert block.weights is None
    assert "computes something else" in block.missing


def test_a_model_without_attention_shows_the_rest(make_model):
    model, config = make_model(attention="nothing")
    blocks = look(model, config, IDS).blocks
    assert blocks[0].weights is None
    assert np.array_equal(blocks[0].branches[0].norms, np.zeros(len(IDS)))
    assert blocks[0].branches[0].added
    close(blocks[0].branches[1].norms > 0, True)
