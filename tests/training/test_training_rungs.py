"""What the whole is for: each rung is lower than the one before, and what a learner edits takes effect."""

import itertools
import json
import shutil
from pathlib import Path

import pytest

import hornbook as hb
from hornbook.runs import log

RUNGS = ["bigram", "head", "heads", "block", "small"]


@pytest.mark.slow
def test_each_rung_is_lower_than_the_one_before(shared_text, tmp_path):
    """On Tiny Shakespeare, with the presets as they are; several minutes.

    Two runs of a rung differ by about 0.01 from seed to seed; each step up is worth more than that.
    """
    text = shared_text("tinyshakespeare.txt")
    losses = {}
    for preset in RUNGS:
        run = hb.train(text, preset, out=tmp_path / preset, progress=None)
        assert run.final["units"] == 111_539
        losses[preset] = run.final["final_val_loss"]
    assert all(losses[low] < losses[high] - 0.02 for high, low in itertools.pairwise(RUNGS)), losses
    counted = run.config["landmarks"]["bigram"]
    assert abs(losses["bigram"] - counted) < 0.1, "a table that is learned comes near one that is counted"
    assert losses["heads"] < counted, "and attention is better than any table"


COMMAND = "import sys; from hornbook.cli import main; sys.argv[0] = 'hornbook'; sys.exit(main())"


def test_an_edit_of_the_textbook_changes_what_is_trained(python, made_up, tmp_path):
    """In a copy of the source one line of head.py is changed, as a learner would, and the command is given as ever."""
    text = tmp_path / "text.txt"
    text.write_bytes(made_up(900).encode("utf-8"))
    source = Path(hb.__file__).parent
    copies = {name: tmp_path / name for name in ("as it is", "edited")}
    for copy in copies.values():
        shutil.copytree(source, copy / "hornbook", ignore=shutil.ignore_patterns("__pycache__"))
    line = "scores = q @ k.transpose(1, 2) / math.sqrt(k.shape[-1])"
    head = copies["edited"] / "hornbook" / "model" / "head.py"
    before = head.read_text(encoding="utf-8")
    assert before.count(line) == 1
    head.write_bytes(before.replace(line, "scores = q @ k.transpose(1, 2) * 500").encode("utf-8"))
    settings = {"recipe.steps": 3, "recipe.evaluate_on": 64, "recipe.sample_length": 5, "model.init_std": 0.3}
    words = ["train", text, "--preset", "head", "--set", *(f"{name}={value}" for name, value in settings.items())]
    started = {
        name: python("-c", COMMAND, *words, "--out", tmp_path / f"run {name}", source=copy)
        for name, copy in copies.items()
    }
    logs = {}
    for name, process in started.items():
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        logs[name] = log.read(tmp_path / f"run {name}" / "log.jsonl")
    here = hb.train(text, "head", out=tmp_path / "here", settings=settings, progress=None)
    assert logs["as it is"] == here.history, "a copy is the same program"
    losses = {name: [r["batch_loss"] for r in records if "batch_loss" in r] for name, records in logs.items()}
    assert len(losses["edited"]) == 3
    assert all(abs(a - b) > 1e-4 for a, b in zip(*losses.values(), strict=True)), losses
    configs = [json.loads((tmp_path / f"run {name}" / "config.json").read_text(encoding="utf-8")) for name in copies]
    assert configs[0] == configs[1]
