"""What `quick` picks for a text, a time and a machine: always something that can be, and never what was asked for."""

import json
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hornbook import api, planning
from hornbook.model.count import count_config, total
from hornbook.presets import PRESETS, find_preset

CPU = torch.device("cpu")
QUICK = PRESETS["quick"]


def text_of(units):
    """As much of a prepared text as is looked at."""
    return SimpleNamespace(train=range(units), tokenizer=SimpleNamespace(name="characters", vocab_size=65))


@pytest.fixture
def picked(monkeypatch):
    """Pick for so many units to learn from, minutes, and units a second."""

    def pick(units, minutes, speed, **asked):
        monkeypatch.setattr(planning, "measure", lambda *_: speed)
        preset = QUICK.changed({"recipe.minutes": minutes, **asked})
        return preset, planning.plan(preset, text_of(units), CPU)

    return pick


@given(st.integers(2, 10**9), st.floats(0.001, 10**6), st.floats(0.01, 10**9), st.integers(1, 70_000))
@settings(max_examples=200)
def test_what_is_picked_can_be_built(units, minutes, speed, vocab_size):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "measure", lambda *_: speed)
        preset = QUICK.changed({"recipe.minutes": minutes})
        found = planning.plan(preset, text_of(units), CPU)
    config = preset.changed(found.settings).model_config(vocab_size)
    assert 1 <= config.block_size < units
    assert config.head_size % 2 == 0
    assert all(line.isprintable() for line in found.why)


def test_more_time_and_a_quicker_machine_get_a_larger_model(picked):
    def size(minutes, speed):
        preset, found = picked(10**8, minutes, speed)
        return total(count_config(preset.changed(found.settings).model_config(65)))

    sizes = [size(minutes, 20_000) for minutes in (0.1, 1, 20, 60, 1_000)]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) == 5
    assert size(5, 20_000) == size(10, 10_000)


def test_a_text_that_is_read_often_gets_dropout_and_one_that_is_short_a_small_model(picked):
    _, once = picked(10**7, 1, 50_000)
    assert once.settings["model.dropout"] == 0
    assert once.settings["model.pairs"] == "bigram"
    rates = [picked(units, 2, 50_000)[1].settings["model.dropout"] for units in (10**7, 10**6, 5 * 10**5, 10**5)]
    assert rates == sorted(rates)
    assert rates[-1] > 0
    preset, often = picked(20_000, 5, 50_000)
    assert often.settings["model.n_embd"] == 64
    assert often.settings["model.pairs"] == "nothing"
    changed = preset.changed(often.settings)
    assert changed.recipe.minutes is None  # it ends before its time
    times = changed.recipe.steps * changed.recipe.batch_size * changed.model["block_size"] / 20_000
    assert times == pytest.approx(planning.MOST_TIMES, rel=0.01)
    assert "ends before its 5 minutes" in often.why[-1]


def test_what_was_asked_for_stays(picked):
    _, found = picked(10**6, 5, 50_000, **{"model.n_embd": 96, "recipe.batch_size": 7, "model.dropout": 0.5})
    assert not {"model.n_embd", "recipe.batch_size", "model.dropout"} & found.settings.keys()
    assert {"model.n_layer", "model.block_size", "model.pairs"} <= found.settings.keys()


def test_when_there_is_something_to_be_picked():
    text = text_of(1_000)
    assert planning.is_needed(QUICK, text)
    assert not planning.is_needed(QUICK, text_of(1))
    assert not planning.is_needed(QUICK.changed({"recipe.steps": 5}), text)
    assert not planning.is_needed(QUICK.changed({"model.kind": "bigram"}), text)
    assert not planning.is_needed(find_preset("nanogpt").changed({"recipe.minutes": 5}), text)
    as_it_is = QUICK.changed(planning.as_it_is(QUICK))
    assert not planning.is_needed(as_it_is, text)
    assert as_it_is.model_config(65) == QUICK.model_config(65)
    assert planning.as_it_is(find_preset("nanogpt")) == {}


def test_a_plan_is_what_the_training_then_does(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HORNBOOK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(planning, "measure", lambda *_: 50_000.0)
    text = tmp_path / "a.txt"
    text.write_text("Was it a cat I saw? No lemon, no melon.\n" * 20, encoding="utf-8")
    asked = {"recipe.evaluate_on": 100, "recipe.sample_length": 3, "recipe.minutes": 0.05}
    found = api.plan(text, settings=asked)
    told = capsys.readouterr().out
    assert all(f"plan: {line}" in told for line in found["why"])
    assert "memory: " in told
    assert not (tmp_path / "runs").exists()
    json.dumps(found)
    run = api.train(text, out=tmp_path / "run", settings=asked, progress=False)
    assert run.config["model"] == found["model"]
    assert run.config["parameters"] == found["parameters"]
    assert run.config["recipe"] == found["recipe"]
    assert run.config["changed"] == asked
    assert run.config["steps"] == found["steps"]
