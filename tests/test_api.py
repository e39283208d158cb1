"""The Python side: what a reader of the first page would type."""

import importlib
import inspect
import os
import shutil
import subprocess
import sys
import threading
import typing
from dataclasses import fields, is_dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

import hornbook as hb

TINY = {
    "model.n_embd": 16,
    "model.n_layer": 1,
    "model.n_head": 2,
    "model.block_size": 16,
    "recipe.sample_length": 20,
    "recipe.evaluate_on": 500,
    "recipe.batch_size": 4,
    "recipe.dtype": "float32",
}
TEXT = "to be or not to be that is the question whether tis nobler in the mind to suffer\n" * 50


def train(out, **how):
    return hb.train("my.txt", out=out, **{"settings": TINY, "steps": 20, "progress": None, **how})


@pytest.fixture(scope="module")
def shelf(in_folder):
    with in_folder(TEXT) as folder:
        train("run")
    return folder


@pytest.fixture(autouse=True)
def desk(shelf, tmp_path, monkeypatch):
    """A fresh working folder with my.txt."""
    (tmp_path / "my.txt").write_text(TEXT, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HORNBOOK_CACHE", str(shelf / "cache"))
    return tmp_path


@pytest.fixture
def run(shelf):
    return hb.open(shelf / "run")


def in_python(code):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, encoding="utf-8", check=True, timeout=60
    ).stdout


def test_importing_hornbook_loads_nothing_heavy():
    code = "import sys, hornbook; print(*{'torch', 'numpy', 'rich', 'cyclopts'} & set(sys.modules)); dir(hornbook)"
    assert in_python(code).strip() == ""


def test_the_first_page(capsys):
    run = hb.train("my.txt", preset="quick", steps=2, settings=TINY)
    said = capsys.readouterr()
    assert "step 2 of 2" in said.out
    assert said.err == ""
    assert run.path == Path("runs/my-quick")
    text = run.generate("to be")
    assert text.startswith("to be")
    assert len(text) == len("to be") + 500
    assert hb.open("runs/my-quick").generate("to be") == text
    assert hb.open(Path("runs/my-quick")).path == run.path
    assert repr(run) == f"Run({str(run.path)!r})"
    assert capsys.readouterr() == ("", "")


def test_progress_none_is_silent(capfd):
    train("silent", steps=2)
    hb.resume("silent", progress=None)
    hb.open("silent").evaluate()
    assert capfd.readouterr() == ("", "")


def test_progress_goes_where_it_is_sent(capsys, tmp_path):
    with (tmp_path / "said.txt").open("w", encoding="utf-8") as file:
        train("run", steps=2, progress=file)
    said = (tmp_path / "said.txt").read_text(encoding="utf-8")
    assert "step 2 of 2" in said
    assert "\r" not in said
    assert "\x1b" not in said
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("kind", ["path", "several", "glob"])
def test_a_text_can_be_given_in_any_way(desk, kind):
    (desk / "b.txt").write_text("xyz " * 200, encoding="utf-8")
    text = {"path": desk / "my.txt", "several": ["my.txt", desk / "b.txt"], "glob": "*.txt"}[kind]
    run = hb.train(text, out="run", settings=TINY, steps=1, progress=None)
    size = len(TEXT) if kind == "path" else len(TEXT) + 800
    assert run.config["text"]["characters"] == size


def test_run_tells_its_story(run):
    assert run.state == "done"
    assert run.config["steps"] == 20
    assert [line["step"] for line in run.history] == sorted(line["step"] for line in run.history)
    steps = [line["step"] for line in run.history if "batch_loss" in line]
    assert steps == list(range(1, 21))
    losses = [line["batch_loss"] for line in run.history if "batch_loss" in line]
    assert sum(losses[-5:]) < sum(losses[:5])
    assert run.evaluations == [line for line in run.history if "val_loss" in line]
    assert run.evaluations[0]["step"] == 0
    assert run.evaluations[-1]["step"] == 20
    assert run.final["final_val_loss"] > 0
    best = min(run.evaluations, key=lambda line: line["val_loss"])
    assert run.checkpoint.step == best["step"]
    assert run.tokenizer.decode(run.tokenizer.encode(TEXT)) == TEXT


def test_run_holds_a_model_that_can_be_called(run):
    ids = torch.from_numpy(run.tokenizer.encode("to be or").astype(np.int64))[None]
    with torch.no_grad():
        logits = run.model(ids.to(next(run.model.parameters()).device))
    assert logits.shape == (1, 8, run.tokenizer.vocab_size)
    assert not run.model.training
    assert run.model is run.model  # loaded once
    assert sum(weight.numel() for weight in run.model.parameters()) == run.config["parameters"]


def test_evaluate_scores_the_validation_text_or_another(run, desk):
    score = run.evaluate()
    assert score.characters == len(TEXT) - int(0.9 * len(TEXT)) - 1
    assert score == run.evaluate()
    assert score.bits_per_character == pytest.approx(score.loss / np.log(2))
    (desk / "other.txt").write_text("to be or not to be", encoding="utf-8")
    assert run.evaluate("other.txt").characters == 17
    assert run.evaluate(desk / "other.txt") == run.evaluate(["other.txt"])
    (desk / "kn.txt").write_text("ಕನ್ನಡ to be", encoding="utf-8")
    with pytest.raises(hb.UsageError, match=r"U\+0C95"):
        run.evaluate("kn.txt")
    assert run.evaluate("kn.txt", unknown="skip").characters == 5
    assert run.evaluate_random(4) == run.evaluate_random(4)


def test_stream_yields_what_generate_joins(run):
    pieces = list(run.stream("to", tokens=30, seed=3))
    assert len(pieces) > 20
    assert {sample for sample, _ in pieces} == {0}
    assert "to" + "".join(piece for _, piece in pieces) == run.generate("to", tokens=30, seed=3)
    two = list(run.stream("to", tokens=30, seed=3, samples=2))
    assert [piece for sample, piece in two if sample == 0] == [piece for _, piece in pieces]
    assert {sample for sample, _ in two} == {0, 1}
    first = next(iter(run.stream("to", tokens=None)))  # without an end: nothing waits for it
    assert first[0] == 0


def test_generate_with_several_samples_does_not_mix_them(run):
    """`generate` returns one text: asked for several, it may refuse, or return several; never a braid of both."""
    alone = run.generate("to", tokens=20)
    try:
        texts = run.generate("to", tokens=20, samples=2)
    except (TypeError, ValueError):
        return
    assert isinstance(texts, list)
    assert len(texts) == 2
    assert texts[0] == alone


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"temperature": -1}, "temperature"),
        ({"top_k": 0}, "top_k"),
        ({"top_p": 1.5}, "top_p"),
        ({"min_p": 0}, "min_p"),
        ({"repetition_penalty": -1}, "repetition_penalty"),
        ({"tokens": -1}, "tokens"),
        ({"stop": ""}, "stop"),
        ({"unknown": "ignore"}, "skip"),
    ],
)
def test_generate_refuses_what_the_command_line_refuses(run, how, says):
    with pytest.raises(hb.UsageError, match=says):
        run.generate("to", **how)


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"preset": "quik"}, "did you mean 'quick'"),
        ({"settings": {"model.n_layr": 1}}, "did you mean 'model.n_layer'"),
        ({"settings": {"model.n_head": 3}}, "does not divide"),
        ({"settings": {"model.n_layer": [1]}}, "whole number"),
        ({"settings": {"model.n_layer": None}}, "whole number"),
        ({"steps": 0}, "steps"),
        ({"steps": 1, "minutes": 1}, "not both"),
        ({"seed": -1}, "seed"),
        ({"device": "gpu"}, "did you mean 'cpu'"),
        ({"config": "missing.toml"}, "missing.toml"),
    ],
)
def test_train_refuses_what_the_command_line_refuses(desk, how, says):
    with pytest.raises(hb.UsageError, match=says):
        train("new", **how)
    assert not Path("new").exists()


def test_open_and_resume_refuse_what_is_no_run():
    for call in (hb.open, hb.resume):
        with pytest.raises(hb.UsageError, match="nowhere does not exist"):
            call("nowhere")
        with pytest.raises(ValueError, match=r"my\.txt is a file"):
            call("my.txt")


def test_two_runs_in_one_process_are_as_two_alone(run):
    first, second = train("first", seed=1), train("second", seed=2)
    again = train("again", seed=1)
    hashes = [each.checkpoints[-1].weights_sha256 for each in (run, first, second, again)]
    assert hashes[0] == hashes[1] == hashes[3] != hashes[2]
    assert first.generate("to", tokens=9) == run.generate("to", tokens=9)
    assert [line["batch_loss"] for line in first.history if "batch_loss" in line] == [
        line["batch_loss"] for line in run.history if "batch_loss" in line
    ]


def test_training_leaves_this_process_as_it_was():
    import random
    import signal

    def state():
        return (
            torch.get_rng_state().sum().item(),
            np.random.get_state()[1].sum(),  # the one that a user's code may rely on
            random.getstate()[1][:9],
            signal.getsignal(signal.SIGINT),
            signal.getsignal(signal.SIGTERM),
            torch.get_num_threads(),
            torch.get_default_dtype(),
            torch.is_grad_enabled(),
            torch.are_deterministic_algorithms_enabled(),
        )

    before = state()
    train("run", steps=2)
    hb.resume("run", progress=None)
    assert state() == before


def test_training_works_in_a_thread(run):
    """Only the main thread may ask for signals."""
    found = []

    def work():
        try:
            found.append(train("threaded"))
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)
    assert isinstance(found[0], hb.Run), found
    assert found[0].checkpoints[-1].weights_sha256 == run.checkpoints[-1].weights_sha256


def test_resume_goes_on_from_python(monkeypatch, run):
    from hornbook.training import loop

    real = loop.TrainStep.__call__

    def dies(self, step, *batch):
        if step == 7:
            raise SystemError("a power cut")
        return real(self, step, *batch)

    with monkeypatch.context() as patch:
        patch.setattr(loop.TrainStep, "__call__", dies)
        with pytest.raises(SystemError):
            train("cut")
    assert hb.open("cut").state == "stopped"
    resumed = hb.resume("cut", progress=None)
    assert resumed.state == "done"
    assert resumed.checkpoints[-1].weights_sha256 == run.checkpoints[-1].weights_sha256
    assert resumed.history == run.history


def test_names_that_are_not_there_are_an_attribute_error():
    assert set(dir(hb)) >= {"train", "open", "resume", "Run", "UsageError"}
    with pytest.raises(AttributeError, match="trian"):
        hb.trian  # noqa: B018
    names = {}
    exec("from hornbook import *", names)
    assert names["train"] is hb.train


def public():
    """Every public name, and every public method of what is a class."""
    for name in hb.__all__:
        thing = getattr(hb, name)
        yield name, thing
        if inspect.isclass(thing):
            for method, value in vars(thing).items():
                if not method.startswith("_") and (callable(value) or hasattr(value, "fget") or hasattr(value, "func")):
                    yield f"{name}.{method}", value


@pytest.mark.parametrize(("name", "thing"), list(public()))
def test_public_names_have_types_and_docstrings(name, thing):
    assert inspect.getdoc(thing), f"{name} has no docstring"
    assert len(inspect.getdoc(thing)) > 10
    function = getattr(thing, "fget", None) or getattr(thing, "func", None) or thing
    if inspect.isclass(function):
        return
    hints = typing.get_type_hints(function)
    assert "return" in hints, f"{name} does not say what it returns"
    for parameter in inspect.signature(function).parameters.values():
        assert parameter.name == "self" or parameter.name in hints, f"{name}: {parameter.name} has no type"


@pytest.mark.parametrize("module", ["api", "run", "presets", "settings", "story", "training.recipe", "model.config"])
def test_modules_behind_the_api_have_docstrings(module):
    found = importlib.import_module(f"hornbook.{module}")
    assert found.__doc__
    for name, thing in vars(found).items():
        if name.startswith("_") or getattr(thing, "__module__", None) != found.__name__:
            continue
        if inspect.isfunction(thing) or inspect.isclass(thing):
            assert inspect.getdoc(thing), f"{module}.{name}"
        if is_dataclass(thing):
            source = inspect.getsource(thing)
            for field in fields(thing):
                assert f"    {field.name}: " in source


def test_without_a_text_the_first_that_can_be_had_is_taken(desk, monkeypatch, capsys):
    """And the cache, with all that was fetched and prepared, can be deleted: a run finds its text again."""
    from hornbook.text import corpora

    monkeypatch.setenv("HORNBOOK_CACHE", str(desk / "own cache"))
    monkeypatch.setattr(corpora, "NAMES", {"pydoc": corpora.NAMES["pydoc"]})
    run = hb.train(out="run", settings=TINY, steps=2)
    assert "text: pydoc (the usual one); units: characters, as its script has no conjuncts\n" in capsys.readouterr().out
    assert run.config["text"]["asked"] == ["pydoc"]
    score = run.evaluate()
    shutil.rmtree(desk / "own cache")
    assert hb.open("run").evaluate() == score


def test_a_text_that_has_moved_is_asked_for(desk):
    run = train("run", steps=2)
    shutil.rmtree(Path(os.environ["HORNBOOK_CACHE"]) / "ids")
    (desk / "my.txt").rename(desk / "other.txt")
    with pytest.raises(hb.UsageError, match=r"my\.txt; run was begun with it: put it back there\.$"):
        run.evaluate()


def test_a_preset_may_name_its_text(desk, monkeypatch):
    from dataclasses import replace

    from hornbook import api
    from hornbook.presets import PRESETS

    monkeypatch.setattr(api, "find_preset", lambda name: replace(PRESETS["quick"], source="my.txt"))
    assert train("run", steps=2).config["text"]["label"] == "my"
    assert hb.train(out="own", settings=TINY, steps=2, progress=False).config["text"]["label"] == "my"


def test_the_story_says_what_was_changed(desk):
    from hornbook.story import asked

    run = train("run", steps=2, settings={**TINY, "model.dropout": "0.1"})
    assert run.config["changed"]["model.dropout"] == 0.1
    assert "model.dropout=0.1" in asked(run)[-1]
    assert "model.dropout=0.1" in run.folder.notes_path.read_text(encoding="utf-8")


def test_no_text_is_not_the_default_text(desk):
    for nothing in ([], ""):
        with pytest.raises(hb.UsageError, match=r"no text is named|no such file"):
            hb.train(nothing, out="run", settings=TINY, steps=2, progress=False)


def test_an_edited_vocabulary_is_named_with_what_to_do(desk):
    run = hb.train("my.txt", out="run", settings=TINY, steps=2, progress=False)
    path = run.path / "vocabulary.json"
    path.write_text('{"kind": "aksharas", "units": ["ab"]}', encoding="utf-8")
    with pytest.raises(hb.UsageError, match=r"vocabulary\.json: damaged vocabulary: 'ab' is not one of"):
        hb.open("run").generate("to")


def test_the_share_of_the_unknown_is_scored(desk):
    settings = {**TINY, "text.min_count": 3, "text.rare": "unknown", "text.tokenizer": "characters"}
    run = hb.train("my.txt", out="run", settings=settings, steps=2, progress=False)
    (desk / "other.txt").write_text("ABCD" * 20, encoding="utf-8")
    score = run.evaluate("other.txt")
    assert score.unknown > 0.5 * score.units
    assert score.to_json()["unknown"] == score.unknown
    assert run.evaluate().unknown == round(run.data().unknown * len(run.data().val))


def test_settings_without_effect_are_named(desk, capsys):
    hb.train("my.txt", preset="bigram", out="run", steps=2, settings={"model.n_layer": 8, "model.block_size": 4})
    assert "without effect on a bigram table: model.n_layer\n" in capsys.readouterr().out


def test_a_prepared_text_is_trained_on_as_it_was_prepared(desk):
    from hornbook.text import corpora, shards
    from hornbook.text.settings import TextSettings

    data = shards.prepare(corpora.resolve(["my.txt"]), TextSettings(split=0.8), folder=desk / "prepared")
    run = hb.train("prepared", out="run", settings=TINY, steps=2, progress=False)
    text = run.config["text"]
    assert (text["label"], text["split"], text["ids"]) == ("prepared", 0.8, data.key)
    assert run.evaluate().units == len(data.val) - 1
    with pytest.raises(hb.UsageError, match=r"was prepared with text\.split=0\.8: prepare it anew to change that"):
        hb.train("prepared", out="other", settings={**TINY, "text.split": 0.7}, steps=2, progress=False)
    with pytest.raises(hb.UsageError, match="prepared already can't be joined with others"):
        hb.train(["prepared", "my.txt"], out="other", settings=TINY, steps=2, progress=False)
    (desk / "prepared" / "val.bin").unlink()
    with pytest.raises(hb.UsageError, match=r"does not hold prepared text: it has no val\.bin"):
        hb.open("run").evaluate()


def test_mini_compares_its_forms_of_attention_first(desk, capsys):
    hb.train("my.txt", "mini", out="run", settings=TINY, steps=2)
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("attention in 2 forms"))
    assert " heads " in line
    assert ", batched " in line
    assert line.endswith(" at most")


@pytest.mark.parametrize(
    ("name", "what"), [("run", "run"), ("quick", "preset"), ("nothing-here", "did you mean"), ("quik", "'quick'")]
)
def test_a_name_finds_a_run_or_a_preset(shelf, monkeypatch, name, what):
    from hornbook import api
    from hornbook.presets import PRESETS

    monkeypatch.chdir(shelf)
    if what == "run":
        assert api.find(name).path == Path("run")
    elif what == "preset":
        (shelf / "quick").mkdir(exist_ok=True)  # a folder, but not a run
        assert api.find(name) is PRESETS["quick"]
    else:
        with pytest.raises(hb.UsageError, match=rf"^{name} does not exist; .*; as the name of a preset: ") as caught:
            api.find(name)
        assert what in str(caught.value) or "known: " in str(caught.value)
