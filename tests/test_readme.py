"""README.md is run: every command and every piece of Python in it, in order, on a small text, with few steps."""

import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from hornbook import api, presets
from hornbook.cli.app import run
from hornbook.text import corpora

README = Path(__file__).parents[1] / "README.md"
STEPS = 5
TEXT = "to be or not to be that is the question\nOnce upon a time: First Citizen, ROMEO and JULIET.\n" * 60


def fenced(language):
    """The text of the fenced blocks in a language."""
    found = re.findall(r"^```(\w*)[^\n]*\n(.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [text for name, text in found if name == language]


def commands():
    """The lines of all blocks that begin with `hornbook `; one that ends with a backslash goes on in the next."""
    lines = [line for block in fenced("sh") for line in block.replace("\\\n", " ").splitlines()]
    return [
        line.strip().removeprefix("$ ") for line in lines if line.strip().removeprefix("$ ").startswith("hornbook ")
    ]


def words_of(line):
    """The words behind `hornbook`, up to a pipe or whatever else is the shell's; a training is made short."""
    words = []
    for word in shlex.split(line, comments=True)[1:]:
        if word in ("|", ">", "&&", ";", "2>", ">>"):
            break
        words.append(word)
    if words[:1] in (["train"], ["compare"]) and not {"--help", "-h"} & set(words):
        for option in ("--steps", "--minutes", "--seeds"):
            if option in words:
                at = words.index(option)
                del words[at : at + 2]
        words += ["--steps", str(STEPS), *(["--seeds", "2"] if words[0] == "compare" else [])]
    return words


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A learner's folder: my.txt is there, no network is needed, models are tiny and train for a few steps."""
    (tmp_path / "my.txt").write_text(TEXT, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HORNBOOK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(corpora, "fetch", lambda name, url=None: tmp_path / "my.txt")
    real = api.train
    short = {"steps": STEPS, "minutes": None}

    def train(*args, **how):
        return real(*args, **how if "recipe.steps" in (how.get("settings") or {}) else {**how, **short})

    monkeypatch.setattr(api, "train", train)
    for name, preset in presets.PRESETS.items():
        recipe = replace(preset.recipe, evaluate_on=500, sample_length=20)
        tiny = replace(preset, recipe=recipe, model={**preset.model, "n_embd": 24})
        monkeypatch.setitem(presets.PRESETS, name, tiny)
    return tmp_path


def test_the_two_commands_are_there_as_they_are_to_be_typed():
    lines = README.read_text(encoding="utf-8").splitlines()
    assert "pip install -c constraints.txt -e . && hornbook train" in lines
    assert "pip install -c constraints.txt -e '.[test]' && pytest" in lines


def test_every_command_does_what_it_says(home, capsys):
    found = commands()
    assert found, "README.md shows no command"
    for line in found:
        code = run(words_of(line))
        assert code == 0, f"{line}\n{capsys.readouterr().err}"


def test_every_piece_of_python_runs(home, capsys):
    found = fenced("python")
    assert found, "README.md shows no Python"
    names = {"__name__": "__main__"}
    for block in found:
        exec(compile(block, "README.md", "exec"), names)


def test_every_file_that_it_points_to_is_there():
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", README.read_text(encoding="utf-8"))
    missing = [link for link in links if not (README.parent / link).exists()]
    assert not missing
