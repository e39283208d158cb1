"""What a printed file does when it is run: the glue between parts that are the package's own.

`source` prints these functions like all the others, with what they call; so they need torch, numpy and the standard
library, and nothing else. Shapes: B batch, T time, V vocabulary.
"""

import itertools
import json
import pathlib
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hornbook import chance
from hornbook.generation.generator import predict
from hornbook.generation.sampling import Sampling, draw, probabilities
from hornbook.model.config import ModelConfig
from hornbook.model.weights import initialise, load_weights
from hornbook.text.batches import batch, starts
from hornbook.training.optimizers import make_optimizer
from hornbook.training.recipe import Recipe
from hornbook.training.schedule import batch_shape
from hornbook.training.step import TrainStep


@dataclass(frozen=True)
class Given:
    """What a file is printed for, beside the model and the recipe."""

    seed: int
    """where all chance comes from"""
    dtype: str
    """what matrix products are computed in"""
    device: str
    """where to compute"""
    threads: int | None
    """as many as the run had: others may round a sum differently"""
    path: str
    """what to take if nothing is named: ids to train on, or weights to write with"""
    tokens: int = 500
    """how many units to write"""


def read_json(path: pathlib.Path) -> Any:
    """Return what a JSON file says."""
    return json.loads(path.read_text(encoding="utf-8"))


def read_ids(folder: pathlib.Path) -> Any:
    """Return the ids to train on (n,), as they lie on disk."""
    return np.memmap(folder / "train.bin", np.dtype(read_json(folder / "header.json")["dtype"]).newbyteorder("<"), "r")


def read_weights(path: pathlib.Path) -> dict[str, Tensor]:
    """Read a safetensors file: how long its header is (8 bytes), the header in JSON, the numbers in float32."""
    data = bytearray(path.read_bytes())
    begin = 8 + int.from_bytes(data[:8], "little")
    rest, header = torch.frombuffer(data, dtype=torch.uint8, offset=begin), json.loads(data[8:begin])
    return {name: rest[slice(*w["data_offsets"])].view(torch.float32).view(w["shape"]) for name, w in header.items()}


def all_weights(model: nn.Module) -> dict[str, Tensor]:
    """Return every weight by its name, where none has two."""
    return model.state_dict()


def make_model(config: ModelConfig, find: Callable[[str], Any], given: Given) -> Any:
    """Put the model together and give it its first values."""
    model = find("kind")(config, find)
    initialise(model, config, given.seed)
    return model.to(given.device)


def train(model: nn.Module, ids: Any, config: ModelConfig, recipe: Recipe, given: Given) -> Iterator[Tensor]:
    """Train on ids (n,): yield the loss of each step."""
    assert recipe.steps is not None
    update = TrainStep(model, make_optimizer(model, recipe), recipe, recipe.steps, given.seed, given.dtype)
    for step in range(1, recipe.steps + 1):
        whole = recipe.batch_size, config.block_size
        B, T = batch_shape(step, recipe.steps, config.block_size, recipe) if recipe.length_warmup else whole
        x, y = map(torch.from_numpy, batch(ids, starts(len(ids), T, given.seed, step, range(B)), T))  # (B, T)
        yield update(step, x.to(given.device), y.to(given.device))[0]
    if recipe.average:
        update.average.swap()


def write(
    model: nn.Module, units: list[str], ids: list[int], config: ModelConfig, sampling: Sampling, given: Given
) -> Iterator[str]:
    """Continue a text of these ids, unit by unit."""
    for step in range(given.tokens):
        with torch.inference_mode():
            logits = predict(model.eval(), torch.tensor([ids], device=given.device), config.block_size)  # (1, V)
        number = chance.uniform(chance.key(1, "sample", 0), step)  # another seed, another text
        ids.append(int(draw(probabilities(logits, sampling), torch.tensor([number], dtype=torch.float64))))
        yield units[ids[-1]]


def main(config: ModelConfig, recipe: Recipe, sampling: Sampling, given: Given, find: Callable[[str], Any]) -> None:
    """Train on a folder of ids, or load weights; then write.

    The prompt is cut into the longest units that there are, from left to right; an empty one is a newline, where the
    text has any.
    """
    sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
    if given.threads:
        torch.set_num_threads(given.threads)
    path, prompt = pathlib.Path([*sys.argv, given.path][1]), " ".join(sys.argv[2:])
    model = make_model(config, find, given)
    losses: Iterable[Tensor]
    if path.is_file():
        load_weights(model, read_weights(path))
        units, losses = read_json(path.absolute().parents[2] / "vocabulary.json")["units"], []  # where a run has it
    else:
        units = read_json(path / "header.json")["tokenizer"]["units"]
        losses = train(model, read_ids(path), config, recipe, given)
    known = re.compile("|".join(sorted(map(re.escape, units), key=len, reverse=True)))
    for letter in known.sub("", prompt):
        sys.exit(f"the model does not know {letter!r}: begin with other words")
    for step, loss in enumerate(losses, 1):
        if step % 100 == 0 or step == recipe.steps:
            print(f"step {step} of {recipe.steps}  loss {loss.item():.4f}", flush=True)
    ids = [units.index(unit) for unit in known.findall(prompt or next((c for c in "\n " if c in units), units[0]))]
    for piece in itertools.chain([prompt], write(model, units, ids, config, sampling, given), "\n"):
        print(piece, end="", flush=True)
