"""What the proofs about training share: made-up texts, tiny models, and runs that can be compared byte for byte."""

import os
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest

from hornbook.model.build import build
from hornbook.model.config import ModelConfig
from hornbook.runs.folder import RunFolder
from hornbook.text import shards
from hornbook.text.corpora import Source
from hornbook.text.settings import TextSettings
from hornbook.training.progress import Silent
from hornbook.training.recipe import Recipe
from hornbook.training.task import Task

WORDS = ["the", "old", "reed", "hums", "low", "ನದಿ", "ದಡದ", "ಹಕ್ಕಿ", "ಹಾಡು", "and", "no", "one", "hears"]
SIZES = {"block_size": 8, "n_layer": 2, "n_head": 2, "n_embd": 8, "dropout": 0.1}


@pytest.fixture(autouse=True, scope="module")
def here(tmp_path_factory):
    """Keep what is cached out of the user's own folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HORNBOOK_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def made_up():
    """Make n characters of text by a rule: words in two scripts, in an order that a model can partly learn."""

    def make(n):
        words, x = [], 1
        while sum(len(word) + 1 for word in words) <= n:
            x = (x * 1103515245 + 12345) % 2**31
            words.append(WORDS[(len(words) + (x >> 16) % 3) % len(WORDS)])
        return "\n".join(" ".join(words[i : i + 7]) for i in range(0, len(words), 7))[:n]

    return make


@pytest.fixture(scope="module")
def shards_of(tmp_path_factory):
    """Prepare the ids of a text that is given as a string."""

    def prepare(text, split=0.9):
        path = tmp_path_factory.mktemp("text") / "text.txt"
        path.write_bytes(text.encode("utf-8"))
        return shards.prepare(Source("text", (path,), "a test"), settings=TextSettings(split=split))

    return prepare


@pytest.fixture(scope="module")
def tiny_task(shards_of, made_up):
    """Make a task whose model is new each time: 6 steps with dropout, the batch in two pieces."""
    data = shards_of(made_up(900))

    def make(seed=1, data=data, steps=6, model=None, **recipe):
        settings = {"batch_size": 4, "accumulate": 2, "learning_rate": 1e-2, "warmup": 2, "schedule": "cosine"}
        settings |= {"evaluate_every": 3, "evaluate_on": 64, "sample_length": 5, "weight_decay": 0.1}
        sizes = {**SIZES, **(model or {})}
        built = build(ModelConfig(data.tokenizer.vocab_size, **sizes), seed)
        return Task(built, sizes["block_size"], data, Recipe(**{**settings, **recipe}), steps, seed, "float32")

    return make


@pytest.fixture
def new_folder(tmp_path):
    """Make one more folder for a run."""
    numbers = count()
    return lambda: RunFolder.create(tmp_path / f"run{next(numbers)}", "")


@pytest.fixture(scope="session")
def silent():
    return Silent()


@pytest.fixture(scope="session")
def content():
    """Return all the bytes of a run that its seed determines: the log, the samples, the losses, the checkpoints."""

    def read(path):
        names = ("log.jsonl", "samples.txt", "loss.csv")
        files = [path / name for name in names if (path / name).exists()]
        files += sorted(path.glob("checkpoints/step-*/*"))
        return {file.relative_to(path).as_posix(): file.read_bytes() for file in files}

    return read


@pytest.fixture(scope="session")
def python():
    """Start a Python of its own, as a user would; `source` is where it takes hornbook from, if not from here."""

    def start(*words, source=None, **options):
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"}
        if source:
            environment["PYTHONPATH"] = str(source)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8"}
        return subprocess.Popen([sys.executable, *map(str, words)], env=environment, **pipes, **options)

    return start


@pytest.fixture(scope="session")
def shared_text():
    """Return one of the real texts, or skip where it is not to be had."""

    def find(name):
        path = Path(__file__).parents[2].parent / "shared" / "data" / name
        if not path.exists():
            pytest.skip(f"needs ../shared/data/{name}, which is not here")
        return path

    return find
