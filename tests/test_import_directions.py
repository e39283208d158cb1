"""Which way imports point: DESIGN's rule, kept by reading the syntax tree of every file of the source."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import hornbook

SOURCE = Path(hornbook.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))

BOTTOM = {"errors", "chance"}
PEOPLE = {"trace", "course", "look", "lab", "share", "serve", "scale"}
MAY_IMPORT = {
    "errors": set(),
    "chance": set(),
    "model": BOTTOM,
    "text": BOTTOM,
    "runs": BOTTOM | {"model", "text"},
    "kernels": BOTTOM | {"model"},
    "generation": BOTTOM | {"model", "text", "kernels"},
    "training": BOTTOM | {"model", "text", "runs", "kernels", "generation"},
}
TRAINED = MAY_IMPORT["training"] | {"training"}
MAY_IMPORT |= {
    "settings": BOTTOM,
    "presets": TRAINED | {"settings"},
    "run": TRAINED | {"settings"},
    "story": TRAINED | {"run"},
    "planning": TRAINED | {"settings", "presets"},
    "forecast": set(),
    "api": TRAINED | {"settings", "presets", "run", "story", "planning", "forecast"},
}
OPENED = MAY_IMPORT["api"] | {"api"}
MAY_IMPORT |= dict.fromkeys(PEOPLE, OPENED)
MAY_IMPORT["__init__"] = OPENED | {"lab"}  # what a user imports: it hands on what `api` means, and `compare`
MAY_IMPORT["cli"] = OPENED | PEOPLE
MAY_IMPORT["__main__"] = {"cli"}

# What a room may import from outside, where that is restricted; the standard library always may.
FROM_OUTSIDE = {"errors": set(), "chance": set(), "model": {"torch"}}
NEVER_FROM_OUTSIDE = {"text": {"torch"}}

HAND_MADE = re.compile(r"Transformer\w*|MultiheadAttention|multi_head_attention_forward")


def room_of(path):
    """Return the room that a file belongs to: the folder or the file right under hornbook/."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported(tree, path):
    """Yield the full dotted name of everything that a file imports, at its top or inside a function."""
    package = ["hornbook", *path.relative_to(SOURCE).parent.parts]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base += node.module.split(".") if node.module else []
            yield from (".".join([*base, alias.name]) for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in ("import_module", "__import__"):
                yield str(node.args[0].value)


def offences(source, path):
    """Say what in a file's imports points the wrong way."""
    room = room_of(path)
    if room not in MAY_IMPORT:
        return [f"{room} is not one of DESIGN's rooms: say in MAY_IMPORT what it may import"]
    found = []
    for name in imported(ast.parse(source), path):
        top, *rest = name.split(".")
        if top == "hornbook":
            target = rest[0] if rest else "__init__"
            if target != room and target not in MAY_IMPORT[room] and target != "__version__":
                found.append(f"{room} imports {name}")
        elif top not in sys.stdlib_module_names and (
            top not in FROM_OUTSIDE.get(room, {top}) or top in NEVER_FROM_OUTSIDE.get(room, ())
        ):
            found.append(f"{room} imports {name}")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_imports_point_upwards(path):
    assert offences(path.read_text(encoding="utf-8"), path) == []


@pytest.mark.parametrize(
    ("file", "line", "allowed"),
    [
        ("model/head.py", "from hornbook import chance", True),
        ("model/head.py", "from hornbook.text import reading", False),
        ("model/head.py", "from hornbook import text", False),
        ("model/head.py", "from ..text import reading", False),
        ("model/head.py", "from . import cache", True),
        ("model/head.py", "import numpy as np", False),
        ("model/head.py", "import hornbook", False),
        ("model/head.py", "def f():\n    import hornbook.training.loop", False),
        ("model/head.py", "import torch.nn.functional, math", True),
        ("text/bpe.py", "import regex, numpy", True),
        ("text/bpe.py", "from torch import Tensor", False),
        ("text/bpe.py", "from hornbook.model import config", False),
        ("runs/folder.py", "from hornbook.model.config import ModelConfig", True),
        ("runs/folder.py", "from hornbook.kernels import accelerate", False),
        ("generation/sample.py", "from hornbook.training import loop", False),
        ("training/loop.py", "from hornbook.generation import sample", True),
        ("training/loop.py", "from hornbook.presets import PRESETS", False),
        ("presets.py", "import hornbook.api", False),
        ("api.py", "import hornbook.presets", True),
        ("look/page.py", "from hornbook.api import open", True),
        ("look/page.py", "from hornbook.lab import thing", False),
        ("api.py", "import importlib\nimportlib.import_module('hornbook.cli')", False),
        ("cli/train.py", "from hornbook import look, api, __version__", True),
        ("chance.py", "from hornbook.errors import nearest", False),
        ("errors.py", "import difflib", True),
        ("attic/old.py", "", False),
        ("__init__.py", "def __getattr__(name):\n    from hornbook import api", True),
        ("__init__.py", "from hornbook import cli", False),
    ],
)
def test_the_check_itself(file, line, allowed):
    assert (offences(line, SOURCE / file) == []) == allowed


def hand_made_elsewhere(source):
    """Return the names of PyTorch's ready transformers that a source mentions."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            names.append(node.attr)
        elif isinstance(node, ast.Name):
            names.append(node.id)
        elif isinstance(node, ast.alias):
            names.append(node.name.rpartition(".")[2])
    return [name for name in names if HAND_MADE.fullmatch(name)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_the_transformer_is_our_own(path):
    assert hand_made_elsewhere(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    ["nn.TransformerEncoderLayer(3)", "from torch.nn import MultiheadAttention", "F.multi_head_attention_forward()"],
)
def test_a_borrowed_transformer_would_be_seen(source):
    assert len(hand_made_elsewhere(source)) == 1


RUNS_CODE = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "runpy", "code", "imp"}
LOADS = {"torch.load", "np.load", "numpy.load", "torch.jit.load", "torch.hub.load", "yaml.load"}


def run_what_they_read(source, path):
    """Return what in a file would carry out the data that it reads: unpickling and its kin, exec and eval."""
    tree = ast.parse(source)
    found = [name for name in imported(tree, path) if name.partition(".")[0] in RUNS_CODE]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in {"exec", "eval", "compile", "__import__", *LOADS}:
                found.append(called)
            found += [word.arg for word in node.keywords if word.arg in ("allow_pickle", "weights_only")]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_nothing_that_is_read_is_carried_out(path):
    assert run_what_they_read(path.read_text(encoding="utf-8"), path) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import_module('marshal')",
        "torch.load(file, weights_only=True)",
        "np.load(file)",
        "eval(text)",
        "exec(compile(text, 'x', 'exec'))",
    ],
)
def test_what_would_carry_it_out_would_be_seen(source):
    assert run_what_they_read(source, SOURCE / "run.py")


PLAIN = [
    name
    for name, file in {
        "hornbook": "__init__.py",
        "hornbook.errors": "errors.py",
        "hornbook.chance": "chance.py",
        "hornbook.model.config": "model/config.py",
        "hornbook.runs": "runs/__init__.py",
        "hornbook.cli": "cli/__init__.py",
    }.items()
    if (SOURCE / file).exists()
]


@pytest.mark.parametrize("module", PLAIN)
def test_plain_data_comes_without_torch(module):
    """In a process of its own: what is loaded here says nothing."""
    code = f"import sys, {module}; print([m for m in ('torch', 'numpy') if m in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": str(SOURCE.parent)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
