"""A run's file, where there is no hornbook: it trains to the run's losses, loads its weights, writes its text."""

import json
import subprocess
import sys

import pytest

from hornbook import api
from hornbook.cli.app import run as hornbook
from hornbook.errors import UsageError
from hornbook.text.shards import cached_folder
from hornbook.trace.source import print_source

WORDS = "the old reed hums low ನದಿ ದಡದ ಹಕ್ಕಿ ಹಾಡು and no one hears\n"
TINY = {"model.n_layer": 2, "model.n_head": 2, "model.n_embd": 16, "model.block_size": 16, "recipe.batch_size": 4}
TINY |= {"recipe.sample_length": 5, "recipe.evaluate_on": 200, "recipe.dtype": "float32", "model.dropout": 0.1}
CHECKED = """\
import sys, runpy
printed = runpy.run_path(sys.argv[1])
model = printed["make_model"]()
ids = printed["read_ids"](printed["pathlib"].Path(sys.argv[2]))
for loss in printed["train"](model, ids):
    print(repr(loss.item()))
assert not any(name.partition(".")[0] in ("hornbook", "safetensors") for name in sys.modules)
"""


@pytest.fixture(scope="module", params=["fused", pytest.param("heads", marks=pytest.mark.slow)])
def run(request, tmp_path_factory):
    """A run of 30 steps on a text in two scripts."""
    folder = tmp_path_factory.mktemp("source")
    (folder / "text.txt").write_text(WORDS * 40, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HORNBOOK_CACHE", str(folder / "cache"))
        settings = {**TINY, "model.attention": request.param}
        yield api.train(folder / "text.txt", out=folder / "run", settings=settings, steps=30, seed=7, progress=False)


@pytest.fixture(scope="module")
def printed(run):
    path = run.path.parent / "gpt.py"
    path.write_text(print_source(str(run.path)), encoding="utf-8", newline="\n")
    return path


def python(*words, cwd):
    """Run Python without what stands in the user's own folders; warnings are errors."""
    done = subprocess.run(
        [sys.executable, "-I", "-W", "error", *map(str, words)], cwd=cwd, capture_output=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr.decode("utf-8")
    return done.stdout.decode("utf-8").replace("\r\n", "\n")


def test_it_trains_to_the_losses_in_the_log(run, printed, tmp_path):
    (tmp_path / "check.py").write_text(CHECKED, encoding="utf-8")
    ids = cached_folder(run.config["text"]["ids"])
    losses = [float(line) for line in python(tmp_path / "check.py", printed, ids, cwd=tmp_path).split()]
    assert losses == [line["batch_loss"] for line in run.history if "batch_loss" in line]
    assert len(losses) == 30


def test_it_writes_what_the_run_writes(run, printed, tmp_path):
    (weights,) = [c.path / "weights.safetensors" for c in run.checkpoints if c.step == run.checkpoint.step]
    assert python(printed, weights, "ನದಿ", "the", cwd=tmp_path) == run.generate("ನದಿ the") + "\n"  # 31 times the block


def test_an_unknown_letter_is_said_in_one_line_before_anything_is_trained(run, printed, tmp_path):
    (weights,) = [c.path / "weights.safetensors" for c in run.checkpoints if c.step == run.checkpoint.step]
    for path in (weights, cached_folder(run.config["text"]["ids"])):
        words = [sys.executable, "-I", str(printed), str(path), "the Ω"]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, check=False, timeout=120)
        (line,) = done.stderr.decode("utf-8").splitlines()
        assert line.startswith("the model does not know ")
        assert (done.returncode, done.stdout) == (1, b"")


def test_without_a_word_it_writes_with_the_runs_own_weights(run, printed, tmp_path):
    assert python(printed, cwd=tmp_path) == run.generate() + "\n"


def test_with_ids_it_trains_and_then_writes(run, printed, tmp_path):
    out = python(printed, cached_folder(run.config["text"]["ids"]), "the", cwd=tmp_path)
    last = [line for line in run.history if "batch_loss" in line][-1]
    first, _, text = out.partition("\n")
    assert first == f"step 30 of 30  loss {last['batch_loss']:.4f}"
    assert text.startswith("the")
    assert len(text) == len("the") + 500 + 1


def test_the_verb_prints_the_file(run, printed, capsys):
    capsys.readouterr()
    assert hornbook(["source", str(run.path)]) == 0
    assert capsys.readouterr().out == printed.read_text(encoding="utf-8")
    assert hornbook(["source", "bigram", "--vocab-size", "9", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["source"] == print_source("bigram", 9)
    assert answer["lines"] == answer["source"].count("\n")
    assert "vocab_size = 9 " in answer["source"]


def test_a_run_without_a_checkpoint_prints_all_the_same(run, tmp_path):
    (tmp_path / "begun").mkdir()
    for path in (run.folder.config_path, run.folder.vocabulary_path):
        (tmp_path / "begun" / path.name).write_bytes(path.read_bytes())
    assert "class GPT" in print_source(str(tmp_path / "begun"))


def test_what_is_no_run_and_no_preset_is_refused(run, tmp_path):
    with pytest.raises(UsageError, match="as the name of a preset: did you mean 'quick'"):
        print_source("quik")
    (tmp_path / "config.json").write_text(run.folder.config_path.read_text(encoding="utf-8")[:90], encoding="utf-8")
    with pytest.raises(UsageError, match=r"config\.json"):
        print_source(str(tmp_path))
