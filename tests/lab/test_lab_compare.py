"""Comparing: the figures are those of the runs; what is done is kept; what is not what was asked is not taken."""

import json
import math
import os
import shutil
import signal
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev

import pytest
import torch

import hornbook as hb
from hornbook import api
from hornbook.lab import compare as module
from hornbook.lab import picture, table
from hornbook.lab.compare import Point, training_seconds
from hornbook.lab.evidence import weigh
from hornbook.training import saving

TINY = {
    "model.n_embd": 8,
    "model.n_head": 1,
    "model.block_size": 8,
    "recipe.sample_length": 2,
    "recipe.evaluate_on": 200,
    "recipe.evaluate_every": 8,
    "recipe.batch_size": 4,
    "recipe.dtype": "float32",
    "recipe.warmup": 0,
    "recipe.schedule": "constant",
}
TEXT = "to be or not to be that is the question whether tis nobler in the mind to suffer\n" * 20
WORDS = ("model.n_layer=1", "model.n_layer=2", "model.n_layer=1,recipe.learning_rate=4e-4")


def ask(*words, **how):
    """Compare, on a text of two thousand characters; no run's own picture is drawn, which takes most of the time."""
    how = {"text": "my.txt", "settings": TINY, "seeds": 2, "steps": 24, "progress": False, **how}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(api.picture, "draw", lambda folder, *losses, **more: folder.png_path.touch())
        patch.setattr(os, "fsync", lambda file: None)
        patch.setattr(saving, "NICE", 0)
        return hb.compare(*words, **how)


@pytest.fixture(scope="module")
def shelf(in_folder):
    """A folder with a text, and a comparison of three variants made there with three seeds."""
    with in_folder(TEXT) as folder:
        return folder, ask(*WORDS, seeds=3, target=2.7)


@pytest.fixture
def found(shelf):
    return shelf[1]


@pytest.fixture
def desk(shelf, tmp_path, monkeypatch):
    """A copy of the folder."""
    shutil.copytree(shelf[0], tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HORNBOOK_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def trained(monkeypatch):
    """The folders of the runs that are trained from now on, from their beginning or from a checkpoint."""
    folders = []
    for name in ("train", "resume"):
        old = getattr(api, name)

        def new(*words, _old=old, **how):
            folder = Path(how.get("out") or words[0])
            kept = (folder / "config.json").exists() and hb.open(folder).final
            folders.extend([] if kept else [folder])
            return _old(*words, **how)

        monkeypatch.setattr(api, name, new)
    return folders


def run_folders(desk):
    return sorted(path.parent for path in (desk / "runs/compare").glob("*/config.json"))


def test_the_figures_are_those_of_the_runs(shelf, found):
    runs = [[hb.open(shelf[0] / trial.path) for trial in result.trials] for result in found.results]
    losses = [[run.final["final_val_loss"] for run in row] for row in runs]
    assert [[run.config["seed"] for run in row] for row in runs] == [[1, 2, 3]] * 3
    assert [run.model_config.n_layer for run, *_ in runs] == [1, 2, 1]
    for result, row, (first, *_) in zip(found.results, losses, runs, strict=True):
        assert (result.loss, result.spread) == (fmean(row), stdev(row))
        assert result.parameters == first.config["parameters"]
        assert result.tokens == 24 * 4 * 8
        assert result.seconds > 0
        points = result.trials[0].points
        assert [(point.step, point.loss) for point in points] == [(e["step"], e["val_loss"]) for e in first.evaluations]
        assert [point.tokens for point in points] == [point.step * 32 for point in points]
    for result, row in zip(found.results[1:], losses[1:], strict=True):
        assert result.effect == weigh([b - a for a, b in zip(losses[0], row, strict=True)], 2)
    assert (found.results[0].effect, found.unit, found.seeds) == (None, "nats a character", 3)


def test_a_pair_reads_the_same_windows_and_begins_with_the_same_weights(shelf, found):
    one, _, other = (hb.open(shelf[0] / result.trials[1].path) for result in found.results)
    assert one.config["text"]["ids"] == other.config["text"]["ids"]
    assert one.evaluations[0] == other.evaluations[0]


def test_a_rate_that_is_ten_times_too_low_is_found_to_be_worse(found):
    assert found.results[2].effect.verdict == "worse"
    assert "worse by " in table.tell(found)


def test_what_is_there_is_not_made_again(desk, found, trained):
    assert ask(*WORDS, seeds=3, target=2.7) == found
    assert trained == []
    again = ask(*reversed(WORDS), seeds=2)
    assert trained == []
    assert [result.loss for result in again.results] == [
        fmean(trial.loss for trial in result.trials[:2]) for result in reversed(found.results)
    ]


def test_more_seeds_and_more_variants_train_only_these(desk, trained):
    ask(WORDS[0], WORDS[1], {"model.n_layer": 1, "model.tied": True}, seeds=1)
    ask(*WORDS[:2], seeds=4)
    assert [hb.open(path).config["seed"] for path in trained] == [1, 4, 4]


class WouldTrainError(Exception):
    """Raised in place of a training."""


@pytest.mark.parametrize("what", ["", "text", "steps", "setting", "source", "threads", "processor"])
def test_a_run_that_is_not_what_would_be_asked_is_not_taken(desk, monkeypatch, what):
    def train(*words, **how):
        raise WouldTrainError

    monkeypatch.setattr(api, "train", train)
    if what == "text":
        (desk / "my.txt").write_text(TEXT + "!", encoding="utf-8")
    elif what == "source":
        monkeypatch.setattr(module, "source_hash", lambda: "another")
    elif what == "processor":
        monkeypatch.setattr(module.environment, "describe", lambda: dict.fromkeys(("hornbook", "torch", "processor")))
    elif what == "threads":
        monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    how = {"steps": {"steps": 23}, "setting": {"settings": {**TINY, "recipe.clip": 0.5}}}.get(what, {})
    if not what:
        ask(*WORDS, seeds=3)
        return
    with pytest.raises(WouldTrainError):
        ask(*WORDS, seeds=3, **how)


def test_the_source_hash_knows_code_from_comments(monkeypatch, tmp_path):
    shutil.copytree(Path(module.__file__).parents[1], tmp_path / "hornbook")
    monkeypatch.setattr(module, "__file__", str(tmp_path / "hornbook/lab/compare.py"))
    hashes = []
    for name, old, new in (
        ("model/mlp.py", "", ""),
        ("model/mlp.py", "\n", "\n# a comment\n"),
        ("cli/compare.py", "import", "import os, "),
        ("model/mlp.py", "4", "5"),
        ("chance.py", "1", "2"),
        ("training/step.py", "0", "1"),
    ):
        path = tmp_path / "hornbook" / name
        path.write_text(path.read_text(encoding="utf-8").replace(old, new, 1) if old else path.read_text("utf-8"))
        module.source_hash.cache_clear()
        hashes.append(module.source_hash())
    module.source_hash.cache_clear()
    assert len(set(hashes[:3])) == 1
    assert len(set(hashes[2:])) >= 2


def test_a_run_that_is_another_than_its_name_says_is_refused(desk):
    for path in run_folders(desk):
        config = json.loads((path / "config.json").read_text(encoding="utf-8"))
        config["recipe"]["learning_rate"] = 0.5
        (path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(hb.UsageError, match="is not the run that its name says: delete it"):
        ask(*WORDS)


@pytest.mark.parametrize("damage", ["config.json", "times.jsonl", "log.jsonl"])
def test_a_damaged_run_is_named_in_one_line(desk, damage):
    for path in run_folders(desk):
        (path / damage).write_text('{"step": 1}\n' * 9, encoding="utf-8")
    with pytest.raises(hb.UsageError) as error:
        ask(*WORDS)
    assert damage in str(error.value)


def test_who_stops_it_finds_all_that_was_done(desk, found, trained, monkeypatch):
    """A Ctrl-C in the middle of the second run of four."""
    shutil.rmtree(desk / "runs")
    look, looks = module.api.Task.look, []

    def interrupted(task, step):
        looks.append(step)
        if len(looks) == 7:
            signal.raise_signal(signal.SIGINT)
        return look(task, step)

    monkeypatch.setattr(module.api.Task, "look", interrupted)
    said = StringTerminal()
    with pytest.raises(KeyboardInterrupt):
        ask(*WORDS[:2], progress=said)
    assert "stopped; the runs are kept in runs" in said.text
    assert [hb.open(path).state for path in run_folders(desk)].count("stopped") == 1
    again = ask(*WORDS[:2])
    assert len(trained) == 2 + 3
    assert trained[1] == trained[2]
    losses = [[trial.loss for trial in result.trials] for result in again.results]
    assert losses == [[trial.loss for trial in result.trials[:2]] for result in found.results[:2]]


class StringTerminal:
    """A stream that is no terminal."""

    encoding = "utf-8"

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text
        return len(text)

    def flush(self):
        pass

    def isatty(self):
        return False


def test_it_tells_which_run_of_how_many(desk):
    said = StringTerminal()
    ask(WORDS[0], "model.n_layer=1,model.mlp=nothing", seeds=2, progress=said)
    lines = [line for line in said.text.splitlines() if line.startswith("run ")]
    assert [line.split(":")[0] for line in lines] == [f"run {n} of 4" for n in (1, 2, 3, 4)]
    assert lines[0].endswith(", kept from before")
    assert " B n_layer=1,mlp=nothing, seed 1: " in lines[1]
    assert "; about " in lines[1]
    assert "left" not in lines[3]
    assert "step" not in said.text


def test_other_units_are_compared_by_bits_a_byte(desk, shelf):
    text = "ಕನ್ನಡ ಭಾಷೆಯ ಅಕ್ಷರಗಳು ಸುಂದರವಾಗಿವೆ. ನಮ್ಮ ನಾಡು ನಮ್ಮ ನುಡಿ\n" * 30
    name = "ಕನ್ನಡ" * 12 + ".txt"  # as long as a name can be
    (desk / name).write_text(text, encoding="utf-8")
    words = ("text.tokenizer=characters", "text.tokenizer=aksharas", "text.tokenizer=bytes")
    found = ask(*words, text=name, seeds=1, target=4)
    assert found.unit == "bits a byte"
    for result in found.results:
        for trial in result.trials:
            run = hb.open(trial.path)
            assert trial.loss == run.final["bits_per_byte"]
            nats = run.evaluations[-1]["val_loss"]
            assert trial.points[-1].loss == pytest.approx(nats / math.log(2) * len(text) / len(text.encode()), rel=0.05)
    assert "only bits a byte can be compared" in table.tell(found)


def test_what_makes_no_difference_is_the_same_bit_for_bit(desk):
    found = ask("bigram", "bigram,model.n_layer=9", settings={"recipe.evaluate_on": 200, "recipe.sample_length": 2})
    assert found.results[1].effect.verdict == "the same"
    assert "B  the same, bit for bit" in table.tell(found)


@pytest.mark.parametrize("first", [False, True])
def test_a_run_that_diverges_is_told_and_the_others_go_on(desk, first):
    wild = "model.n_layer=1,recipe.learning_rate=1e30"
    settings = {**TINY, "recipe.clip": 0.0}
    words = (wild, "model.n_layer=1") if first else ("model.n_layer=1", wild, "model.n_layer=2")
    for _ in range(2):
        found = ask(*words, settings=settings, seeds=1, target=3)
        lost = found.results[0 if first else 1]
        assert (lost.loss, lost.effect) == (None, None)
        assert lost.diverged.startswith("diverged in 1 of 1: the ")
        said = table.tell(found)
        assert "diverged" in said
        assert ("nothing to compare with: A diverged" in said) == first
        if not first:
            assert found.results[2].effect is not None
        json.dumps(found.to_json(), allow_nan=False)


def test_when_the_target_was_reached(found):
    for result in found.results[:2]:
        for trial in result.trials:
            below = [point for point in trial.points if point.loss <= 2.7]
            assert trial.target == below[0]
    said = table.tell(found)
    assert "first evaluation at 2.7 or below, mean over the seeds that came there:\nA  3 of 3: at step " in said
    assert "C  0 of 3: not reached" in said
    assert f"no run came down to 0.01: the lowest evaluation was {found.lowest:.4f}" in table.tell(
        replace(found, target=0.01)
    )


def test_the_table_fits_a_terminal(found, shelf):
    for each in (found, replace(found, text="ಕ" * 200), replace(found, results=long_names(found))):
        assert max(map(len, table.tell(each).splitlines())) <= 80
    assert "A n_layer=1 " in table.tell(found)
    said = table.tell(replace(found, results=long_names(found)))
    assert "\nB \\x1b[31m" in said  # in full, once, and harmless
    assert "\x1b" not in said


def long_names(found):
    return tuple(replace(result, name=f"{result.name[0]} \x1b[31m{'wide,' * 40}") for result in found.results)


def test_json_holds_all_of_it(found):
    plain = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert plain["level"] == 0.99
    second = plain["results"][1]
    assert second["changed"]["model.n_layer"] == 2
    assert second["effect"]["verdict"] in ("better", "worse", "unknown")
    assert second["trials"][2]["points"][0] == {
        "step": 0,
        "tokens": 0,
        "seconds": second["trials"][2]["points"][0]["seconds"],
        "loss": second["trials"][2]["points"][0]["loss"],
    }


def test_the_picture_is_the_same_bytes_each_time(found, tmp_path):
    first, again = (drawn(found, tmp_path / name) for name in ("a", "b"))
    assert first == again
    ET.fromstring(first[0])
    assert first[1].startswith(b"\x89PNG")


def drawn(found, folder):
    folder.mkdir()
    paths = tuple(folder / f"picture.{kind}" for kind in ("svg", "png"))
    picture.draw(replace(found, pictures=tuple(map(str, paths))))
    return [path.read_bytes() for path in paths]


def test_odd_comparisons_are_drawn(found, tmp_path):
    lost = [replace(trial, loss=None, points=(), diverged="nan") for trial in found.results[1].trials]
    nowhere = [replace(trial, points=trial.points[:1]) for trial in found.results[1].trials]
    one = replace(found.results[1], effect=weigh([0.5]))
    for n, results in enumerate(
        [
            [found.results[0], replace(found.results[1], trials=tuple(lost), effect=None)],
            [replace(result, trials=tuple(lost), effect=None) for result in found.results],
            [replace(result, trials=tuple(nowhere)) for result in found.results],
            [replace(found.results[0], name="A $x_{"), replace(one, name="B ಕನ್ನಡ")],
            [replace(found.results[0], name="A \x07"), one],
            [found.results[0]] * 26,
        ]
    ):
        assert len(drawn(replace(found, results=tuple(results)), tmp_path / str(n))) == 2


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"seeds": 0}, "--seeds 0 has to be from 1 to 1,000"),
        ({"seeds": 1001}, "--seeds 1001 has to be"),
        ({"target": 0.0}, "--target 0.0 is no loss"),
        ({"target": math.nan}, "--target nan is no loss"),
        ({"steps": 1, "minutes": 1}, "not both"),
        ({"settings": {"recipe.steps": 3}}, "recipe.steps is given twice, by itself"),
        ({"minutes": 1e-9, "steps": None}, "A n_layer=1: 1e-09 minutes are too few: "),
        ({"device": "gpu"}, "there is no device 'gpu'"),
        ({"text": "none.txt"}, "no such file: none.txt"),
        ({"text": ""}, "no such file: ''"),
        ({"settings": {**TINY, "model.block_size": 5_000}}, "A n_layer=1: the text has "),
        ({"settings": {**TINY, "model.mlp": "gellu"}}, "model.mlp=gellu is not a part there is"),
        ({"out": "my.txt"}, "no folder for the run can be made at "),
    ],
)
def test_what_can_not_be_done_is_one_line_and_leaves_nothing(desk, how, says):
    before = sorted(desk.glob("runs/**/*"))
    with pytest.raises(hb.UsageError) as error:
        ask(*WORDS[:2], **{"steps": 3, **how})
    assert says in str(error.value)
    assert sorted(desk.glob("runs/**/*")) == before


def test_presets_with_texts_of_their_own_need_one_for_all(desk):
    with pytest.raises(hb.UsageError, match=r"\(kannada, tinyshakespeare\): name one for all, --text"):
        ask("kannada-micro", "nanogpt", text=None)


def test_the_seconds_of_several_sessions_add_up():
    def line(first, step, seconds):
        return {"first": first, "step": step, "training_seconds": seconds}

    assert training_seconds([]) == {}
    assert training_seconds([line(0, 0, 0.0), line(0, 10, 2.0), line(0, 20, 5.0)]) == {0: 0.0, 10: 2.0, 20: 5.0}
    # stopped at step 15, which no evaluation saw: five steps at the pace of the session after it
    assert training_seconds([line(0, 0, 0.0), line(0, 10, 2.0), line(15, 25, 4.0)]) == {0: 0.0, 10: 2.0, 25: 8.0}
    # stopped right after an evaluation; and before the first step
    assert training_seconds([line(0, 10, 2.0), line(10, 20, 1.0)]) == {10: 2.0, 20: 3.0}
    assert training_seconds([line(0, 0, 0.0), line(0, 10, 3.0)]) == {0: 0.0, 10: 3.0}


def test_points_are_plain():
    assert Point(1, 2, 3.0, 4.0).loss == 4.0
