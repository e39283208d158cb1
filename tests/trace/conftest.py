"""What the proofs about tracing share: the same mathematics once more, in a few lines of numpy; tiny runs."""

import math

import numpy as np
import pytest
import torch

from hornbook import api
from hornbook.model.build import build
from hornbook.model.config import ModelConfig
from hornbook.model.weights import get_weights, load_weights

KANNADA = "ಕನ್ನಡ ಭಾಷೆಯ ಅಕ್ಷರಗಳು ಸುಂದರವಾಗಿವೆ. ಜ್ಞಾನವೇ ಬೆಳಕು; ನಮ್ಮ ನಾಡು, ನಮ್ಮ ನುಡಿ.\nOnce upon a time\n"
TINY = {"model.n_layer": 2, "model.n_head": 2, "model.n_embd": 16, "model.block_size": 16, "recipe.batch_size": 2}
TINY |= {
    "recipe.sample_length": 5,
    "recipe.evaluate_on": 200,
    "recipe.dtype": "float32",
    "text.tokenizer": "characters",
}
TINY |= {"model.attention": "fused", "model.norm": "layernorm-nobias", "model.bias_qkv": True}


def scatter(model, seed=0, size=0.5):
    """Give a model weights that leave nothing small, equal or zero."""
    rng = np.random.default_rng(seed)
    weights = get_weights(model)
    fresh = {name: torch.tensor(rng.normal(0, size, w.shape), dtype=w.dtype) for name, w in weights.items()}
    load_weights(model, fresh)
    return model


@pytest.fixture(scope="session")
def make_model():
    """Build a model of scattered weights, and its config."""

    def make(**settings):
        sizes = {"vocab_size": 11, "n_layer": 2, "n_head": 2, "n_embd": 8, "block_size": 12, "dropout": 0.3}
        config = ModelConfig(**{**sizes, **settings})
        return scatter(build(config)).eval(), config

    return make


@pytest.fixture(scope="session")
def make_run(tmp_path_factory):
    """Train a run of two steps with settings of one's own, once; its opened model has scattered weights."""
    folder = tmp_path_factory.mktemp("runs")
    text = folder / "kn.txt"
    text.write_text(KANNADA * 12, encoding="utf-8")
    made = {}

    def make(preset="small", **settings):
        key = (preset, *sorted(settings.items()))
        if key not in made:
            out = folder / f"run{len(made)}"
            asked = {**TINY, **settings} if preset != "bigram" else {k: v for k, v in TINY.items() if "model" not in k}
            api.train(text, preset, out=out, settings=asked, steps=2, progress=False)
            made[key] = out
        run = api.open_run(made[key])
        scatter(run.model)
        return run

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HORNBOOK_CACHE", str(folder / "cache"))
        yield make


@pytest.fixture(scope="session")
def reference():
    """Compute all that a trace shows, from the weights alone: config, weights by name, ids -> a dictionary."""
    return compute


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def norm(x):
    return np.sqrt((x**2).sum(-1))


def compute(config, weights, ids):
    w = {name: weight.cpu().double().numpy() for name, weight in weights.items()}

    def linear(x, name):
        return x @ w[f"{name}.weight"].T + w.get(f"{name}.bias", 0)

    def rms(x):
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6)

    def layer_norm(x, name):
        if config.norm.startswith("rmsnorm"):
            return rms(x) * w.get(f"{name}.weight", 1)
        if f"{name}.weight" not in w:
            return x
        deviation = np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        return (x - x.mean(-1, keepdims=True)) / deviation * w[f"{name}.weight"] + w.get(f"{name}.bias", 0)

    def attention(x, name):
        T, D = len(x), config.head_size
        q, k, v = (
            linear(x, f"{name}.{part}").reshape(T, -1, D).transpose(1, 0, 2) for part in ("query", "key", "value")
        )
        if config.values != "nothing":
            v = v + w[f"{name}.recall.table.weight"][ids].reshape(T, -1, D).transpose(1, 0, 2)
        if config.qk_norm != "identity":
            q, k = rms(q), rms(k)
        if config.positions == "rotary":  # the two halves of the channels are points of a plane
            turn = np.exp(1j * np.outer(np.arange(T), 10000 ** (-np.arange(D // 2) / (D // 2))))
            q, k = ((x[..., : D // 2] + 1j * x[..., D // 2 :]) * turn for x in (q, k))
            q, k = (np.concatenate([x.real, x.imag], -1) for x in (q, k))
        k, v = (x.repeat(config.n_head // len(x), 0) for x in (k, v))
        scores = q @ k.transpose(0, 2, 1) / math.sqrt(D) + np.where(np.tri(T), 0, -np.inf)
        looks = softmax(scores)
        y = (looks @ v).transpose(1, 0, 2).reshape(T, -1)
        return (linear(y, f"{name}.project") if f"{name}.project.weight" in w else y), looks

    def mlp(x, name):
        if config.mlp == "identity":
            return x
        gate = linear(x, f"{name}.gate") if config.mlp == "swiglu" else None
        x = linear(x, f"{name}.expand")
        bends = {
            "relu": lambda: np.maximum(x, 0),
            "relu2": lambda: np.maximum(x, 0) ** 2,
            "gelu": lambda: x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2,
            "swiglu": lambda: gate / (1 + np.exp(-gate)) * x,
        }
        return linear(bends[config.mlp](), f"{name}.project")

    if config.kind == "bigram":
        logits = w["table.weight"][ids]
        return {"logits": logits, "probabilities": softmax(logits), "blocks": []}
    T, C = len(ids), config.n_embd
    tokens = w["tokens.weight"][ids]
    pairs = np.zeros((T, C))
    if config.pairs != "nothing":
        pairs = w["pairs.table.weight"][[0, *(1 + config.vocab_size * ids[:-1] + ids[1:])]]
    scaled = tokens + pairs
    if config.positions == "learned":
        position = w["positions.table.weight"][:T]
    elif config.positions == "sinusoidal":
        c = np.arange(C)
        angle = np.arange(T)[:, None] / 10000 ** ((c - c % 2) / C)
        position, scaled = np.where(c % 2, np.cos(angle), np.sin(angle)), scaled * math.sqrt(C)
    else:
        position = np.zeros((T, C))
    x = scaled + position
    found = {"tokens": tokens, "pairs": pairs, "scaled": scaled, "position": position, "whole": x, "blocks": []}
    for i in range(config.n_layer):
        name, before = f"blocks.{i}", x
        first, second = f"{name}.attention_norm", f"{name}.mlp_norm"
        if config.block in ("pre", "plain"):
            a, looks = attention(layer_norm(x, first), f"{name}.attention")
            x = a if config.block == "plain" else x + a
            m = mlp(layer_norm(x, second), f"{name}.mlp")
            x = m if config.block == "plain" else x + m
        elif config.block == "branch":
            a, looks = attention(x, f"{name}.attention")
            a = layer_norm(a, first)
            x = x + a
            m = layer_norm(mlp(x, f"{name}.mlp"), second)
            x = x + m
        else:
            a, looks = attention(x, f"{name}.attention")
            x = layer_norm(x + a, first)
            m = mlp(x, f"{name}.mlp")
            x = layer_norm(x + m, second)
        sizes = {"before": norm(before), "attention": norm(a), "mlp": norm(m), "after": norm(x)}
        found["blocks"].append({"weights": looks, **sizes})
    found["before_norm"] = norm(x)
    x = x if config.block == "post" else layer_norm(x, "norm")
    found["after_norm"] = norm(x)
    head = w.get("head.weight", w["tokens.weight"])
    found["logits"] = x @ head.T + w.get("head.bias", 0)
    if config.logits == "capped":
        found["logits"] = 15 * np.tanh(found["logits"] / 15)
    found["probabilities"] = softmax(found["logits"])
    return found
