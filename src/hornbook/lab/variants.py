"""What is compared: presets, each with settings that were changed, and a short name that says how they differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

from hornbook.errors import UsageError
from hornbook.presets import GROUPS, Preset, find_preset
from hornbook.settings import parse_pairs, read_toml

Word = str | Path | Mapping[str, Any]
"""A preset, a TOML file, settings such as model.n_layer=2, or several of these joined by commas; or a mapping."""

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
CUT_ALIKE = {"tokenizer", "vocab_size", "min_count", "rare"}  # settings that leave the validation text as it is


@dataclass(frozen=True)
class Variant:
    """A preset with its changes; `letter` and `label` are what it is called in the table and the picture."""

    letter: str
    label: str
    preset: Preset

    def __str__(self) -> str:
        return f"{self.letter} {self.label}"

    def settings(self) -> dict[str, Any]:
        """Return what its training is a function of, besides text and seed."""
        model = self.preset.model_config(vocab_size=2).to_json()
        return {"model": model, "recipe": self.preset.recipe.to_json(), "text": asdict(self.preset.text)}


def read_variants(words: Sequence[Word], vary: Iterable[str], preset: str, common: Mapping[str, Any]) -> list[Variant]:
    """Return what the words ask for, and behind it each combination of the values that `vary` lists by a name.

    A word's settings change the preset that it names, else `preset`, after its TOML files and after `common`, the
    settings of all. Raises `UsageError` for fewer than two variants, for equal ones, and for too many for a table.
    """
    rows = [[f"{name}={value}" for value in values] for name, values in map(_values, vary)]
    many = len(words) + (prod(len(row) for row in rows) if rows else 0)
    if many < 2:
        raise UsageError(
            "a comparison needs two variants at least, such as quick model.mlp=nothing; --vary model.n_embd=32,64 "
            "makes a row of them."
        )
    if many > len(LETTERS):
        raise UsageError(f"{many:,} variants are too many for one table: compare {len(LETTERS)} at most.")
    words = [*words, *(",".join(row) for row in product(*rows) if row)]
    read = [_read(word, preset, common) for word in words]
    one_preset = len({said[0] for _, said in read}) == 1
    variants = [
        Variant(letter, ",".join(map(_short, said[one_preset:])) or said[0], changed)
        for letter, (changed, said) in zip(LETTERS, read, strict=False)
    ]
    for i, one in enumerate(variants):
        for other in variants[:i]:
            if one.settings() == other.settings():
                raise UsageError(f"{other.label} and {one.label} are the same settings: leave one of them out.")
    _check_texts(variants)
    return variants


def _values(words: str) -> tuple[str, list[str]]:
    name, equals, values = words.partition("=")
    if not (name and equals and all(values.split(","))):
        raise UsageError(f"--vary {words} is not of the form NAME=VALUE,VALUE,…, such as model.n_embd=32,64,128.")
    return name, values.split(",")


def _read(word: Word, preset: str, common: Mapping[str, Any]) -> tuple[Preset, list[str]]:
    """Return a variant's preset as changed, and the parts of its name, the preset's first."""
    if isinstance(word, Mapping):
        parts, own = [], dict(word)
    else:
        parts = [str(word)] if isinstance(word, Path) else word.split(",")
        own = parse_pairs((part for part in parts if "=" in part and not part.endswith(".toml")), "")
    files = [part for part in parts if part.endswith(".toml")]
    presets = [part for part in parts if part not in files and "=" not in part] or [preset]
    if len(presets) > 1:
        raise UsageError(f"{word} names two presets, {presets[0]!r} and {presets[1]!r}: a variant has one.")
    if twice := sorted(own.keys() & common.keys()):
        raise UsageError(f"{twice[0]} is given twice, for all variants and in {word}: leave one out.")
    changed = find_preset(presets[0])
    for settings in (*map(read_toml, map(Path, files)), common, own):
        changed = changed.changed(settings)
    return changed, [presets[0], *files, *(f"{name}={value}" for name, value in own.items())]


def _short(part: str) -> str:
    """Return a setting without its group, where no other group has one of that name."""
    name, equals, value = part.partition("=")
    key = name.partition(".")[2]
    alone = equals and sum(key == each.name for kind in GROUPS.values() for each in fields(kind)) == 1
    return f"{key}={value}" if alone else part


def _check_texts(variants: Sequence[Variant]) -> None:
    """Raise `UsageError` unless all are tested on the same text, each character of which costs something."""
    texts = [variant.settings()["text"] for variant in variants]
    for name, value in texts[0].items():
        if name not in CUT_ALIKE and (others := [text[name] for text in texts if text[name] != value]):
            raise UsageError(
                f"text.{name} is {value} here and {others[0]} there, and so is the text to be tested on: losses can't "
                f"be compared; take one for all, such as --set text.{name}={value}."
            )
    if any(text != texts[0] for text in texts) and any(text["rare"] == "unknown" for text in texts):
        raise UsageError(
            "with text.rare=unknown a model need not tell rare characters apart, so its loss can't be compared with "
            "that of other units: take text.rare=keep or bytes."
        )
