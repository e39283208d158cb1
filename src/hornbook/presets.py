"""Presets: a text, a model and a recipe under one name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from hornbook.errors import UsageError, nearest
from hornbook.model.config import ModelConfig
from hornbook.settings import check_names, convert
from hornbook.text.settings import AUTO, TextSettings
from hornbook.training.recipe import Recipe

USED_BY_BIGRAM = {"kind", "block_size", "init_std"}  # the other settings of a model are about what a table has not

GROUPS: dict[str, type] = {"model": ModelConfig, "recipe": Recipe, "text": TextSettings}


@dataclass(frozen=True)
class Preset:
    """What `hornbook train --preset NAME` does.

    `source` names the text that is taken where none is given; None is the first named text that can be had. `changes`
    are the settings that were changed since, by name. A preset that does what others described says in `after` who,
    and in `described` which settings that fixes: what is not among them was left open, and is chosen here. `forms` are
    forms of attention to be timed side by side before the training begins. One that is `planned` has its sizes picked
    for the text, the minutes and the machine (`planning.py`), where they are not asked for.
    """

    name: str
    about: str
    recipe: Recipe
    model: Mapping[str, Any] = field(default_factory=dict)
    text: TextSettings = field(default_factory=TextSettings)
    source: str | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    after: str = ""
    described: frozenset[str] = frozenset()
    forms: tuple[str, ...] = ()
    planned: bool = False

    def model_config(self, vocab_size: int) -> ModelConfig:
        """Return the model for a vocabulary."""
        return ModelConfig(**{"vocab_size": vocab_size, **self.model})

    def changed(self, settings: Mapping[str, Any]) -> Preset:
        """Return the preset with settings such as {"model.n_layer": 8} changed. Raises `UsageError`."""
        check_names(settings, GROUPS)
        changes: dict[str, dict[str, Any]] = {group: {} for group in GROUPS}
        for name, value in settings.items():
            group, _, key = name.partition(".")
            changes[group][key] = convert(name, value, GROUPS[group])
        if "vocab_size" in changes["model"]:
            raise UsageError("model.vocab_size comes from the text; it can't be set.")
        said = {f"{group}.{key}": value for group, values in changes.items() for key, value in values.items()}
        budget = {"steps", "minutes"} & changes["recipe"].keys()
        if len(budget) == 1:  # one takes the place of the other
            changes["recipe"] = {"steps": None, "minutes": None, **changes["recipe"]}
        return replace(
            self,
            model={**self.model, **changes["model"]},
            recipe=replace(self.recipe, **changes["recipe"]),
            text=replace(self.text, **changes["text"]),
            changes={**self.changes, **said},
        )


# The rungs: five small models on the way to a GPT, after Karpathy's lecture "Let's build GPT" (2023). AdamW as torch
# has it by default, one rate throughout.
_RUNG = Recipe(batch_size=32, learning_rate=1e-3, beta2=0.999, weight_decay=0.01, clip=0)
_SMALL_HEADS = {"n_embd": 32, "block_size": 8, "mlp": "relu", "init_scaled": False, "bias_qkv": False}
_BARE = {"block": "plain", "mlp": "identity", "norm": "identity", "n_layer": 1, "init_std": 0.1}  # no norm scales it up

# The beginnings: projects that this one grew out of, and nanoGPT's two recipes. Where a source fixes the number of
# parameters, it fixes what they are made of.
_SIZES = "model.n_layer model.n_head model.n_embd model.block_size model.n_hidden model.dropout model.block"
_MADE_OF = (
    "model.kind model.mlp model.norm model.positions model.tied model.bias_qkv model.bias_projection model.bias_mlp "
    "model.bias_head model.n_kv_head model.qk_norm model.values model.pairs model.logits"
)
_TEXT = " ".join(f"text.{each.name}" for each in fields(TextSettings))  # nothing else was done to it
_LECTURE = frozenset(
    f"{_SIZES} {_MADE_OF} {_TEXT} recipe.batch_size recipe.learning_rate recipe.steps recipe.minutes "
    "recipe.evaluate_every recipe.random_batches".split()
)
_LECTURE_MODEL = {
    "n_layer": 6,
    "n_head": 6,
    "n_embd": 384,
    "block_size": 256,
    "dropout": 0.2,
    "embedding_dropout": 0.0,
    "mlp": "relu",
    "bias_qkv": False,
    "init_scaled": False,
}
_LECTURE_RECIPE = Recipe(
    steps=5_000,
    batch_size=64,
    learning_rate=3e-4,
    beta2=0.999,
    weight_decay=0.01,
    clip=0,
    evaluate_every=500,
    random_batches=200,
)
_NANOGPT = frozenset(
    f"{_SIZES} {_MADE_OF} {_TEXT} model.attention_dropout model.embedding_dropout model.init_std model.init_scaled "
    "model.init_zero recipe.steps recipe.minutes recipe.batch_size recipe.accumulate recipe.learning_rate "
    "recipe.warmup recipe.schedule recipe.floor recipe.beta1 recipe.beta2 recipe.weight_decay recipe.clip "
    "recipe.evaluate_every recipe.random_batches recipe.optimizer recipe.muon_rate recipe.muon_momentum recipe.hold "
    "recipe.decay_schedule recipe.average recipe.length_warmup".split()
)
_NANOGPT_MODEL = {
    "n_layer": 6,
    "n_head": 6,
    "n_embd": 384,
    "block_size": 256,
    "dropout": 0.2,
    "norm": "layernorm-nobias",
    "bias_qkv": False,
    "bias_projection": False,
    "bias_mlp": False,
    "bias_head": False,
    "tied": True,
}
_NANOGPT_RECIPE = Recipe(
    steps=5_000,
    batch_size=64,
    learning_rate=1e-3,
    warmup=100,
    schedule="cosine",
    floor=0.1,
    weight_decay=0.1,
    evaluate_every=250,
    random_batches=200,
)

PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            "quick",
            "a small GPT in the time of a cup of tea: what `hornbook train` does",
            Recipe(
                minutes=1.4,
                batch_size=16,
                optimizer="muon",
                learning_rate=4e-3,
                warmup=20,
                schedule="linear",
                hold=0.4,
                beta2=0.95,
                weight_decay=0.1,
                length_warmup=0.3,
                evaluate_on=16_384,
            ),
            {
                "n_layer": 4,
                "n_head": 2,
                "n_embd": 128,
                "block_size": 128,
                "attention": "batched",
                "attention_dropout": 0.0,
                "mlp": "relu2",
                "norm": "rmsnorm-nogain",
                "qk_norm": "rmsnorm-nogain",
                "positions": "rotary",
                "pairs": "bigram",
                "logits": "capped",
                "init_zero": True,
                "bias_qkv": False,
                "bias_projection": False,
                "bias_mlp": False,
                "bias_head": False,
            },
            TextSettings(AUTO),
            planned=True,
        ),
        Preset(
            "bigram",
            "rung 1: a table of what follows what",
            replace(_RUNG, learning_rate=1e-2, steps=3_000),
            {"kind": "bigram", "block_size": 8, "init_std": 1.0},
        ),
        Preset(
            "head",
            "rung 2: one head of self-attention",
            replace(_RUNG, steps=5_000),
            {**_SMALL_HEADS, **_BARE, "n_head": 1, "attention": "head"},
        ),
        Preset(
            "heads",
            "rung 3: four heads side by side",
            replace(_RUNG, steps=5_000),
            {**_SMALL_HEADS, **_BARE, "n_head": 4, "attention": "heads"},
        ),
        Preset(
            "block",
            "rung 4: three blocks of heads and MLP on a residual stream",
            replace(_RUNG, steps=5_000),
            {**_SMALL_HEADS, "n_head": 4, "attention": "heads", "n_layer": 3},
        ),
        Preset(
            "small",
            "rung 5: a whole GPT, small",
            replace(_RUNG, steps=5_000),
            {**_SMALL_HEADS, "n_embd": 64, "block_size": 32, "n_head": 4, "attention": "batched", "n_layer": 4},
        ),
        Preset(
            "kannada-micro",
            "a GPT of about 209 thousand parameters for Kannada, character by character",
            Recipe(
                steps=3_000,
                batch_size=32,
                learning_rate=3e-3,
                warmup=30,
                schedule="linear",
                floor=0.02,
                weight_decay=0.1,
            ),
            {
                **_LECTURE_MODEL,
                "n_layer": 4,
                "n_head": 4,
                "n_embd": 64,
                "block_size": 128,
                "dropout": 0.1,
            },
            source="kannada",
            after="a micro GPT for Kannada, in the form of Karpathy's lecture; its source counts ~209K parameters",
            described=frozenset(f"{_SIZES} {_TEXT} model.kind model.mlp".split()),
        ),
        Preset(
            "mini",
            "a GPT of three blocks, its heads one by one and all at once",
            Recipe(
                steps=2_000,
                batch_size=32,
                learning_rate=2e-3,
                warmup=30,
                schedule="linear",
                floor=0.02,
                weight_decay=0.1,
            ),
            {"n_layer": 3, "n_head": 4, "n_embd": 64, "block_size": 64, "attention": "batched"},
            source="tinyshakespeare",
            after="a mini GPT after nanoGPT, trained from train.bin and val.bin, with modular and batched attention",
            described=frozenset(f"model.n_layer model.n_head model.kind model.attention {_TEXT}".split()),
            forms=("heads", "batched"),
        ),
        Preset(
            "shakespeare-10m",
            "the lecture's GPT of 10.8 million parameters: for a GPU",
            _LECTURE_RECIPE,
            _LECTURE_MODEL,
            source="tinyshakespeare",
            after="Karpathy's lecture \"Let's build GPT\" (2023), whose sizes and recipe it has",
            described=_LECTURE,
        ),
        Preset(
            "microgpt",
            "the same with the norm on what each branch adds: for a GPU",
            _LECTURE_RECIPE,
            {**_LECTURE_MODEL, "block": "branch"},
            source="tinyshakespeare",
            after="a micro GPT with branch norm, in the lecture's sizes; its source reports train 1.1111, val 1.4815",
            described=_LECTURE,
        ),
        Preset(
            "nanogpt",
            "nanoGPT's recipe for Tiny Shakespeare: for a GPU",
            _NANOGPT_RECIPE,
            _NANOGPT_MODEL,
            source="tinyshakespeare",
            after="nanoGPT, config/train_shakespeare_char.py; its README reports val 1.4697",
            described=_NANOGPT,
        ),
        Preset(
            "nanogpt-cpu",
            "nanoGPT's smaller recipe, for a computer without a GPU",
            replace(_NANOGPT_RECIPE, steps=2_000, batch_size=12, random_batches=20),
            {**_NANOGPT_MODEL, "n_layer": 4, "n_head": 4, "n_embd": 128, "block_size": 64, "dropout": 0.0},
            source="tinyshakespeare",
            after="nanoGPT, the command of its README for a CPU, which reports val 1.88",
            described=_NANOGPT,
        ),
    )
}


def find_preset(name: str) -> Preset:
    """Return a preset by its name. Raises `UsageError` with the nearest right one."""
    if name not in PRESETS:
        raise UsageError(f"there is no preset {name!r}; {nearest(name, PRESETS)}")
    return PRESETS[name]
