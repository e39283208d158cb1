"""Presets: a text, a model and a recipe under one name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hornbook.errors import UsageError, nearest
from hornbook.model.config import ModelConfig
from hornbook.settings import check_names, convert
from hornbook.text.shards import check_split
from hornbook.text.tokenizer import named
from hornbook.training.recipe import Recipe


@dataclass(frozen=True)
class TextSettings:
    """How a text is made into ids."""

    tokenizer: str = "characters"
    """what a unit is: characters"""
    split: float = 0.9
    """the share at the beginning that is trained on; the rest validates"""

    def __post_init__(self) -> None:
        named(self.tokenizer)
        check_split(self.split)


USED_BY_BIGRAM = {"kind", "block_size", "init_std"}  # the other settings of a model are about what a table has not

GROUPS: dict[str, type] = {"model": ModelConfig, "recipe": Recipe, "text": TextSettings}


@dataclass(frozen=True)
class Preset:
    """What `hornbook train --preset NAME` does.

    `source` names the text that is taken where none is given; None is the first named text that can be had. `changes`
    are the settings that were changed since, by name.
    """

    name: str
    about: str
    recipe: Recipe
    model: Mapping[str, Any] = field(default_factory=dict)
    text: TextSettings = TextSettings()
    source: str | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)

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

PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            "quick",
            "a small GPT in the time of a cup of tea: what `hornbook train` does",
            Recipe(
                minutes=1.4,
                batch_size=32,
                learning_rate=4e-3,
                warmup=30,
                schedule="linear",
                floor=0.02,
                weight_decay=0.1,
                evaluate_on=16_384,
            ),
            {"n_layer": 4, "n_head": 4, "n_embd": 64, "block_size": 64, "mlp": "relu", "norm": "layernorm-nobias"},
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
    )
}


def find_preset(name: str) -> Preset:
    """Return a preset by its name. Raises `UsageError` with the nearest right one."""
    if name not in PRESETS:
        raise UsageError(f"there is no preset {name!r}; {nearest(name, PRESETS)}")
    return PRESETS[name]
