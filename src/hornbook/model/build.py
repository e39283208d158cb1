"""From a config to a model: tables of parts, and the one place where a choice is looked up.

A part of your own goes in by the same door: `build(config, parts=with_parts(mlp={"mine": MyMLP}))` and `mlp="mine"`
in the config. What each kind of part is given, and what it maps to what:

| kind | made by | called as |
|---|---|---|
| attention | `Part(config, site, find)` | `part(x, cache)`: (B, T, C) -> (B, T, C) |
| mlp, norm | `Part(config, site)` | `part(x)`: (B, T, C) -> (B, T, C) |
| positions | `Part(config, site)` | `part(x, start)`: (B, T, C) -> (B, T, C) |
| pairs | `Part(config, site)` | `part(x, ids, cache)`: (B, T, C) -> (B, T, C) |
| qk_norm | `Part(config, site)` | `part(x)`, queries or keys: (…, T, D) -> (…, T, D) |
| turn | `Part(config, site)` | `part(x, start)`, queries or keys: (…, T, D) -> (…, T, D) |
| values | `Part(config, site)` | `part(v, ids, number)`: (B, T, G*D) -> (B, T, G*D), or of the one head (B, T, D) |
| logits | as `nn.Linear` | `part(x)`: (…, C) -> (…, V) |
| block | `Part(attention, mlp, attention_norm, mlp_norm, attention_dropout, mlp_dropout)` | `part(x, cache)` |
| kind | `part(config, find)` | a model: `hidden`, `head`, `loss` |

`site` is the part's name in the model; a `Dropout` inside it takes it as the beginning of its own. `find("mlp")` gives
the part that the config names; `turn` is named by `positions`. `cache.ids` are the units (B, T) that x was made of.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from hornbook.errors import UsageError, nearest
from hornbook.model import weights
from hornbook.model.attention import Attention, FusedCore, MatmulCore, Values
from hornbook.model.bigram import Bigram, NextUnit, ThinTable
from hornbook.model.block import BranchNorm, Nothing, Plain, PostNorm, PreNorm, Unchanged
from hornbook.model.config import Find, ModelConfig
from hornbook.model.dropout import Dropout
from hornbook.model.gpt import GPT, CappedLinear
from hornbook.model.head import Head
from hornbook.model.mlp import MLP, SquaredReLU, SwiGLU
from hornbook.model.multihead import MultiHead
from hornbook.model.norm import HeadNorm, LayerNorm, RMSNorm, Unscaled
from hornbook.model.pairs import make_pairs
from hornbook.model.positions import Learned, Rotary, Sinusoidal

Part = Callable[..., nn.Module]
Parts = Mapping[str, Mapping[str, Part]]

LARGEST_TABLE = 2048  # units: 4.2 million scores


def _bare(part: type[nn.Module], *_: object) -> nn.Module:
    """Make a part that needs to know nothing."""
    return part()


def make_bigram(config: ModelConfig, find: Find) -> nn.Module:
    """Put a table of what follows what together."""
    V = config.vocab_size
    return Bigram(nn.Embedding(V, V) if V <= LARGEST_TABLE else ThinTable(V), NextUnit())


def make_gpt(config: ModelConfig, find: Find) -> nn.Module:
    """Put a GPT together from the parts that the config names."""
    block, attention, mlp, norm = find("block"), find("attention"), find("mlp"), find("norm")

    def make_block(at: str) -> nn.Module:
        return block(
            attention(config, f"{at}.attention", find),
            mlp(config, f"{at}.mlp"),
            norm(config, f"{at}.attention_norm"),
            norm(config, f"{at}.mlp_norm"),
            Dropout(config.dropout, f"{at}.attention"),
            Dropout(config.dropout, f"{at}.mlp"),
        )

    tokens = nn.Embedding(config.vocab_size, config.n_embd)
    head = find("logits")(config.n_embd, config.vocab_size, bias=config.bias_head)
    if config.tied:
        head.weight = tokens.weight
    return GPT(
        tokens,
        find("pairs")(config, "pairs"),
        find("positions")(config, "positions"),
        Dropout(config.embedding_rate, "embedding"),
        [make_block(f"blocks.{i}") for i in range(config.n_layer)],
        nn.Identity() if getattr(block, "ends_in_norm", False) else norm(config, "norm"),
        head,
        NextUnit(),
    )


PARTS: Parts = {
    "kind": {"bigram": make_bigram, "gpt": make_gpt},
    "block": {"pre": PreNorm, "branch": BranchNorm, "post": PostNorm, "plain": Plain},
    "attention": {
        "head": Head,
        "heads": MultiHead,
        "batched": partial(Attention, core=MatmulCore),
        "fused": partial(Attention, core=FusedCore),
        "nothing": partial(_bare, Nothing),
    },
    "mlp": {
        "relu": partial(MLP, activation=nn.ReLU),
        "gelu": partial(MLP, activation=nn.GELU),
        "relu2": partial(MLP, activation=SquaredReLU),
        "swiglu": SwiGLU,
        "nothing": partial(_bare, Nothing),
        "identity": nn.Identity,
    },
    "norm": {
        "layernorm": LayerNorm,
        "layernorm-nobias": partial(LayerNorm, bias=False),
        "rmsnorm": RMSNorm,
        "rmsnorm-nogain": partial(RMSNorm, gain=False),
        "identity": nn.Identity,
    },
    "positions": {"learned": Learned, "sinusoidal": Sinusoidal, "rotary": Unchanged, "nothing": Unchanged},
    "turn": {"rotary": Rotary, "nothing": Unchanged},
    "qk_norm": {"rmsnorm-nogain": HeadNorm, "unscaled": partial(_bare, Unscaled), "identity": Unchanged},
    "values": {"embedding": Values, "nothing": Unchanged},
    "pairs": {"bigram": make_pairs, "nothing": Unchanged},
    "logits": {"plain": nn.Linear, "capped": CappedLinear},
}


def with_parts(**own: Mapping[str, Part]) -> Parts:
    """Return the tables with parts of your own added: `with_parts(mlp={"mine": MyMLP})`."""
    for kind in own:
        if kind not in PARTS:
            raise UsageError(f"there is no kind of part called {kind!r}; {nearest(kind, PARTS)}")
    return {kind: {**table, **own.get(kind, {})} for kind, table in PARTS.items()}


def finder(config: ModelConfig, parts: Parts = PARTS) -> Find:
    """Return what gives the part of a kind that a config names, out of the tables."""

    def find(kind: str) -> Part:
        name = getattr(config, kind)
        if name not in parts[kind]:
            raise UsageError(f"model.{kind}={name} is not a part there is; {nearest(name, parts[kind])}")
        return parts[kind][name]

    return find


def build(config: ModelConfig, seed: int = 0, parts: Parts = PARTS) -> Any:
    """Make the model that a config describes, with its first weights from `seed`. It is in training mode.

    Raises `UsageError` for the name of a part that the tables don't have.
    """
    find = finder(config, parts)
    with torch.random.fork_rng(devices=[]):  # a learner's part may draw from torch: from the seed too, and unnoticed
        torch.default_generator.manual_seed(seed)
        model = find("kind")(config, find)
    if not next(model.parameters()).is_meta:  # a model without memory is only counted
        weights.initialise(model, config, seed)
    return model
