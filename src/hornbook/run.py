"""A run, opened: its model, its text, its losses, and what can be done with them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch

from hornbook.errors import UsageError
from hornbook.generation.generator import quicken
from hornbook.generation.sampling import Sampling, check_whole
from hornbook.generation.streaming import stream
from hornbook.model.build import build
from hornbook.model.config import ModelConfig
from hornbook.model.count import count_config, on_paper, total
from hornbook.model.weights import check_weights, load_weights
from hornbook.runs import checkpoints, log, status
from hornbook.runs.checkpoints import Checkpoint
from hornbook.runs.files import naming
from hornbook.runs.folder import RunFolder
from hornbook.runs.landmarks import are_landmarks
from hornbook.settings import Kind, check_kinds, from_plain, of, whole, word
from hornbook.text import corpora, shards
from hornbook.text.corpora import Source
from hornbook.text.files import shown
from hornbook.text.reading import read_chunks
from hornbook.text.settings import TextSettings
from hornbook.text.shards import Shards
from hornbook.text.tokenizer import Tokenizer, from_json
from hornbook.text.units import Ids, Unknown
from hornbook.training.devices import same_device
from hornbook.training.evaluate import Score, check_comparable, evaluate, random_batches
from hornbook.training.progress import Progress, Silent, teller
from hornbook.training.recipe import Recipe

Texts = str | Path | Sequence[str | Path]
"""A path, a glob, the name of a text, or several of them; or a folder that `hornbook prepare` wrote."""

HASH = word("[0-9a-f]{64}")
CONFIG: dict[str, Kind] = {
    "preset": of(str),
    "changed": of(dict),
    "text": of(dict),
    "model": of(dict),
    "recipe": of(dict),
    "steps": whole(1, 10**9),
    "seed": whole(0, 2**64 - 1),
    "device": word("cpu|cuda|mps"),
    "dtype": word("float32|bfloat16"),
    "threads": whole(1, 1024),
    "parameters": whole(0, 2**63),
    "landmarks": are_landmarks,
}
"""What stands in a run's config.json."""

TEXT: dict[str, Kind] = {"label": of(str), "origin": of(str), "tokenizer": of(str), "split": of(float)}
TEXT |= {"asked": lambda names: type(names) is list and all(map(of(str), names)), "characters": whole(0, 2**63)}
TEXT |= {"vocabulary": HASH, "ids": HASH}
"""What stands under "text" in it."""

LARGEST_TABLE = 1 << 24  # numbers, of positions that are not learned


def _text_settings(said: dict[str, Any]) -> TextSettings:
    known = {each.name for each in fields(TextSettings)}
    return from_plain("text", {name: value for name, value in said.items() if name in known}, TextSettings)


def resolve(text: Texts) -> Source:
    """Find a text, given in any of the ways that a text can be given."""
    return corpora.resolve([text] if isinstance(text, str | Path) else text)


class Run:
    """A trained model, or one in training: its folder, and what can be done with it."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self._log_size, self._log = 0, list[dict[str, Any]]()

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @property
    def path(self) -> Path:
        """The run's folder."""
        return self.folder.path

    @cached_property
    def config(self) -> dict[str, Any]:
        """What was asked, as config.json says it. Raises `UsageError` where it is damaged."""
        config = self.folder.config()
        with naming(f"{self.folder.config_path} is damaged"):
            check_kinds(config, CONFIG)
            check_kinds(config["text"], TEXT)
            from_plain("model", config["model"], ModelConfig)
            from_plain("recipe", config["recipe"], Recipe)
            _text_settings(config["text"])
        return config

    @cached_property
    def model_config(self) -> ModelConfig:
        """The model's sizes and parts."""
        return from_plain("model", self.config["model"], ModelConfig)

    @cached_property
    def recipe(self) -> Recipe:
        """How it is trained."""
        return from_plain("recipe", self.config["recipe"], Recipe)

    @cached_property
    def text_settings(self) -> TextSettings:
        """How its text is made into ids."""
        return _text_settings(self.config["text"])

    @cached_property
    def reading(self) -> dict[str, Any]:
        """How other texts are read: as its own was, until somebody changes it (`text.reading.read_documents`)."""
        return self.text_settings.reading

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The vocabulary. Raises `UsageError` if it is not the one that the run was begun with."""
        with naming(f"the run needs its old {self.folder.vocabulary_path}"):
            tokenizer = from_json(self.folder.vocabulary())
        said = self.config["text"]["vocabulary"], self.model_config.vocab_size
        if (tokenizer.fingerprint, tokenizer.vocab_size) != said:
            raise UsageError(f"{self.folder.vocabulary_path} is not the vocabulary of this run: put the old one back.")
        return tokenizer

    @property
    def history(self) -> list[dict[str, Any]]:
        """What happened, line by line, as log.jsonl says it: losses of steps, evaluations, samples."""
        path = self.folder.log_path
        size = path.stat().st_size if path.exists() else 0
        if size != self._log_size:  # it is long, and much is asked of it: read again only once it has grown
            self._log_size, self._log = size, log.read(path)
        return list(self._log)

    @property
    def evaluations(self) -> list[dict[str, Any]]:
        """The lines of the history that hold a validation loss: step, train_loss, val_loss."""
        return log.evaluations(self.history)

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint with the lowest validation loss; if it is not whole, the newest that is."""
        step = log.best(self.history).get("step", -1)
        return checkpoints.find(self.folder, step, lambda line: print(line, file=sys.stderr))

    @cached_property
    def model(self) -> torch.nn.Module:
        """The model with the weights of `checkpoint`, in evaluation mode: ids (B, T) -> logits (B, T, V)."""
        weights = self.weights()
        model = build(self.model_config, self.config["seed"])
        load_weights(model, weights)
        return model.eval().to(same_device(self.config["device"]))

    def weights(self) -> dict[str, torch.Tensor]:
        """Return the weights of `checkpoint`, by name.

        Raises `UsageError` where they are not those of the model that config.json describes, before one is made.
        """
        weights = self.checkpoint.weights()
        numbers = sum(weight.numel() for weight in weights.values())
        with naming(f"{self.checkpoint.path} does not go with {self.folder.config_path}"), on_paper():
            if self.model_config.block_size * self.model_config.n_embd > max(numbers, LARGEST_TABLE):
                raise UsageError(f"so small a model has no context of {self.model_config.block_size:,} units.")
            check_weights(build(self._outline(len(weights))), weights)  # as many blocks would be missed among them
        return weights

    @property
    def size(self) -> int:
        """How many parameters the model has, by its config and without making it."""
        one, two = (total(count_config(self._outline(blocks))) for blocks in (1, 2))
        return one + (self.model_config.n_layer - 1) * (two - one)

    def _outline(self, blocks: int) -> ModelConfig:
        """Return the model's config with the same weights, but for all its blocks: one that is quickly made."""
        config = self.model_config
        attention = "batched" if config.attention == "heads" else config.attention
        return replace(config, n_layer=max(1, min(config.n_layer, blocks)), attention=attention)

    def data(self, tell: Progress | None = None) -> Shards:
        """Return the ids that the run trains on. Raises `UsageError` if its text is gone or has changed."""
        tell = tell or Silent()
        text = self.config["text"]
        if (cached := shards.open_cached(text["ids"])) and cached.tokenizer.fingerprint == text["vocabulary"]:
            return cached
        try:
            for name in set(text["asked"]) - corpora.NAMES.keys():  # a folder or a glob would be somebody else's words
                if not any(os.path.isfile(path) for path in (name, os.path.join(name, shards.HEADER))):  # noqa: PTH113, PTH118
                    raise UsageError(f"no such file: {shown(name)}")
            source = resolve(text["asked"])
        except UsageError as error:
            raise UsageError(f"{error}; {self.path} was begun with it: put it back there.") from None
        data = shards.prepare(source, self.text_settings, progress=tell.bar("reading the text"))
        if data.key != text["ids"]:
            first, *more = text["asked"]
            what = f"{shown(first)}{f' (and {len(more):,} more)' if more else ''}"
            raise UsageError(
                f"{what} is not the text that {self.path} was begun with: it has changed since. "
                "Put the old text back, or train on the new one in a run of its own."
            )
        return data

    def stream(
        self,
        prompt: str = "",
        *,
        tokens: int | None = 500,
        temperature: float = 0.8,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        repetition_penalty: float | None = None,
        seed: int = 1,
        samples: int = 1,
        stop: str | Sequence[str] = (),
        unknown: Unknown = "error",
    ) -> Iterator[tuple[int, str]]:
        """Continue a prompt, piece by piece: yields (number of the sample, text) as soon as it is sure.

        `tokens` is how many units at most. `temperature` 0 always takes the likeliest; `top_k`, `top_p` and `min_p`
        leave out unlikely units; a `repetition_penalty` above 1 makes those less likely that the model still sees in
        the text. A text ends before any of the `stop` strings. A character that the vocabulary lacks is a
        `UsageError`, or with `unknown="skip"` or "replace" left out or replaced.
        """
        if next(self.model.parameters()).device.type == "cpu":
            quicken(self.model)
        return stream(
            self.model,
            self.tokenizer,
            prompt,
            block_size=self.model_config.block_size,
            tokens=tokens,
            sampling=Sampling(temperature, top_k, top_p, min_p, repetition_penalty),
            seed=seed,
            samples=samples,
            stop=stop,
            unknown=unknown,
        )

    def generate(self, prompt: str = "", **how: Any) -> str:
        """Return the prompt and its continuation. Takes what `stream` takes, but for `samples`."""
        if "samples" in how:
            raise UsageError("generate returns one text; for several, take them from stream(…, samples=…).")
        return prompt + "".join(piece for _, piece in self.stream(prompt, **how))

    def evaluate(
        self, text: Texts | None = None, *, unknown: Unknown = "error", progress: TextIO | bool = False
    ) -> Score:
        """Score the whole validation split, or another text, exactly: in float32, every unit but the first once."""
        tell = teller(progress)
        ids = self._ids(text, unknown)
        try:
            return evaluate(
                self.model, ids, self.model_config.block_size, self.tokenizer, progress=tell.bar("scoring the text")
            )
        finally:
            tell.clear()

    def _ids(self, text: Texts | None, unknown: Unknown) -> Ids:
        if text is None:
            return self.data().val
        chunks = self._chunks(text)
        return np.concatenate([np.zeros(0, np.uint8), *self.tokenizer.encode_chunks(chunks, unknown)])

    def _chunks(self, text: Texts) -> Iterator[str]:
        source = resolve(text)
        if source.prepared:
            raise UsageError(f"{source.prepared} is prepared text: name the text itself, to be cut as this run's was.")
        return read_chunks(source.paths, **self.reading)

    def count_unknown(self, text: Texts) -> int:
        """Return how many characters of a text the model does not know: what "skip" and "replace" are about."""
        return self.tokenizer.lacking(self._chunks(text))

    def count_unknown_in(self, prompt: str) -> int:
        """Return how many characters of a string the model does not know."""
        return self.tokenizer.lacking([prompt])

    def evaluate_random(self, n: int, text: Texts | None = None, *, unknown: Unknown = "error") -> float:
        """Return the mean loss of n random batches of the recipe's size: the field's usual, noisy estimate.

        It is a loss a unit, to be compared with what others published: a `UsageError` where units are not characters.
        """
        check_whole("random_batches", n, 1, "200 is usual")
        check_comparable(self.tokenizer)
        ids = self._ids(text, unknown)
        size = self.recipe.batch_size
        return random_batches(self.model, ids, self.model_config.block_size, size, n, self.config["seed"])

    @property
    def checkpoints(self) -> list[Checkpoint]:
        """The checkpoints there are, by step; the weights in them are not looked at yet."""
        return checkpoints.all_checkpoints(self.folder)

    @property
    def final(self) -> dict[str, Any] | None:
        """What the best checkpoint scored on the whole validation text, once training is over."""
        return next((line for line in self.history if "final_val_loss" in line), None)

    @property
    def state(self) -> str:
        """Say how it stands: "training", "stopped", "killed" or "done"."""
        return status.state(self.folder, self.history)

    @property
    def reached(self) -> str:
        """Say how far it has come: "step 120 of 2,000"."""
        reached = max((line["step"] for line in self.history), default=0)
        return f"step {reached:,} of {self.config['steps']:,}"
