"""What a learner edits comes out in the print; what can't be printed is refused by name."""

import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import hornbook
from hornbook.errors import UsageError
from hornbook.model.build import build, with_parts
from hornbook.model.config import ModelConfig
from hornbook.model.weights import get_weights
from hornbook.presets import PRESETS
from hornbook.trace.program import Given
from hornbook.trace.source import Asked, write_file

MINE = '''
"""Parts of a learner's own."""

import math
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hornbook.model.config import ModelConfig
from hornbook.model.dropout import Dropout
from hornbook.model.mlp import MLP

SHARPNESS = 1.702


def bend(x: Tensor) -> Tensor:
    """A cheap GELU."""
    return x * torch.sigmoid(SHARPNESS * x)  # Hendrycks 2016


class Gated(nn.Module):
    """Two ways in, one of them a gate."""

    def __init__(self, config: ModelConfig, site: str, scale: float = 1.0) -> None:
        super().__init__()
        key = config.mlp_size  # a name that chance has too
        self.gate, self.expand = nn.Linear(config.n_embd, key), nn.Linear(config.n_embd, key)
        self.project = nn.Linear(key, config.n_embd)
        self.dropout = Dropout(config.dropout, f"{site}.inside")
        if config.bias_mlp:
            self.scale = scale
        else:
            self.scale = 2.0

    def forward(self, x: Tensor) -> Tensor:
        # the gate decides how much goes through
        return self.project(self.dropout(bend(self.gate(x)) * self.expand(x))) * self.scale


class MLP(MLP):
    """The same name as the book's, and more."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + x * math.pi


def made(config: ModelConfig, site: str) -> nn.Module:
    """Make a part in a function."""
    return Gated(config, site, scale=3.0)


def stranger(config, site):
    import regex

    return regex.compile(site)


class Stranger(nn.Module):
    def __init__(self, config, site):
        super().__init__()
        import safetensors

        self.project = nn.Linear(config.n_embd, config.n_embd)

    def forward(self, x):
        return self.project(x)


def scaled(scale: float, config: ModelConfig, site: str) -> nn.Module:
    """Make a part that is told how large it is first."""
    return Gated(config, site, scale=scale)


more = partial(Gated, scale=0.5)
first = partial(scaled, 0.5)
opaque = partial(Gated, scale=torch.ones(2))
inner = (lambda: type("Made", (Gated,), {}))()
'''


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    """A learner's file, imported."""
    path = tmp_path_factory.mktemp("mine") / "my_parts.py"
    path.write_text(MINE, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("my_parts", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["my_parts"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["my_parts"]


def printed_with(part, **settings):
    """The print of a small model with a part as its MLP, run; the text; and the package's model."""
    sizes = {"n_layer": 2, "n_embd": 16, "n_head": 2, "block_size": 8, "mlp": "mine", "dropout": 0.1}
    config = ModelConfig(vocab_size=11, **{**sizes, **settings})
    recipe = replace(PRESETS["nanogpt-cpu"].recipe, steps=9, minutes=None, batch_size=2)
    parts = with_parts(mlp={"mine": part})
    text = write_file(Asked(config, recipe, Given(1, "float32", "cpu", None, "ids"), parts=parts), "mine")
    names = {"__name__": "printed"}
    exec(compile(text, "printed.py", "exec"), names)
    return names, text, build(config, 1, parts)


@pytest.mark.parametrize("part", ["Gated", "MLP", "made", "more", "first"])
@pytest.mark.parametrize("bias", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_part_from_a_table_comes_out(mine, part, bias):
    made = mine.__dict__[part]
    if part == "MLP":
        from functools import partial

        made = partial(made, activation=torch.nn.SiLU)
    names, text, model = printed_with(made, bias_mlp=bias)
    ours = names["make_model"]().eval()
    expected = get_weights(model)
    assert expected.keys() == ours.state_dict().keys()
    ids = torch.arange(8)[None]
    assert torch.equal(ours(ids), model.eval()(ids))
    if part != "MLP":
        assert "the gate decides how much goes through" in text  # comments are kept
        assert "Hendrycks 2016" in text
        assert "SHARPNESS = 1.702" in text
        assert (
            "else" in text.split("class Gated")[1].split("def forward")[0]
        ) is False  # only the branch that is taken
    assert text.count("\n") <= 275


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda mine: mine.inner, "my_parts.Made can't be printed"),
        (lambda mine: mine.Stranger, "it imports safetensors"),
        (lambda mine: mine.opaque, "an argument can't be printed: a Tensor fixed by `partial`"),
    ],
)
def test_what_can_not_be_printed_is_named(mine, make, says):
    with pytest.raises(UsageError, match=says.replace(".", r"\.")):
        printed_with(make(mine))


def test_a_part_made_in_a_function_is_named():
    class Local(torch.nn.Module):
        def __init__(self, config, site):
            super().__init__()

        def forward(self, x):
            return x * 2

    with pytest.raises(UsageError, match=r"Local can't be printed: it is made inside a function; define it"):
        printed_with(Local)


def test_an_edited_file_is_printed(tmp_path):
    """The package copied, its mlp.py changed as a learner would; no cached print, no second copy."""
    copy = tmp_path / "hornbook"
    shutil.copytree(Path(hornbook.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    path = copy / "model" / "mlp.py"
    old = "return self.project(self.activation(self.expand(x)))"
    text = path.read_text(encoding="utf-8")
    assert old in text
    new = "return self.project(self.activation(self.expand(x)) ** 2)  # squared: mine"
    path.write_text(text.replace(old, new), encoding="utf-8")
    table = copy / "model" / "build.py"
    text = table.read_text(encoding="utf-8")
    line = '        "relu": partial(MLP, activation=nn.ReLU),\n'
    assert line in text
    table.write_text(text.replace(line, line + '        "silu": partial(MLP, activation=nn.SiLU),\n'), encoding="utf-8")
    script = (
        "from dataclasses import replace\n"
        "from hornbook.presets import PRESETS\n"
        "from hornbook.trace.program import Given\n"
        "from hornbook.trace.source import Asked, write_file\n"
        "preset = PRESETS['quick'].changed({'model.mlp': 'silu'})\n"
        "recipe = replace(preset.recipe, steps=9, minutes=None)\n"
        "print(write_file(Asked(preset.model_config(65), recipe, Given(1, 'float32', 'cpu', None, 'ids')), 'x'))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONUTF8": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr.decode("utf-8")
    out = done.stdout.decode("utf-8")
    assert new in out
    assert "self.activation = nn.Linear(n_embd, mlp_size, bias=False), nn.SiLU()" in out
