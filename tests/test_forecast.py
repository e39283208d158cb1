"""What loss is to be expected: a line through runs that were made, told only where such runs were."""

import math
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hornbook import api, planning
from hornbook.forecast import READ, SPREAD, WEIGHTS, features, forecast
from hornbook.presets import PRESETS

MARKS = {"guess": 4.1744, "bigram": 2.4838, "5-gram": 1.5611}


def test_it_is_the_weighed_sum_of_its_features():
    found = forecast(MARKS, 4e6)
    assert features(4e6) == (1, 0.5)
    loss = 1.5611 * math.exp(WEIGHTS[0] + WEIGHTS[1] / 2)
    assert found.loss == pytest.approx(loss)
    assert (found.low, found.high) == pytest.approx((loss * math.exp(-SPREAD), loss * math.exp(SPREAD)))
    assert str(found) == f"expect a loss of about {loss:.2f} ({found.low:.2f} to {found.high:.2f}, nine times in ten)"


@given(st.floats(*READ), st.floats(1.01, 4))
def test_who_reads_more_may_expect_less(read, more):
    if read * more <= READ[1]:
        assert forecast(MARKS, read * more).loss < forecast(MARKS, read).loss


@pytest.mark.parametrize(
    ("marks", "read"),
    [
        ({"guess": 4.17, "bigram": 2.48}, 1e6),  # of an older version
        ({**MARKS, "5-gram": 0.0}, 1e6),  # a text of one letter
        (MARKS, READ[0] / 2),
        (MARKS, READ[1] * 2),
        (MARKS, 0),
    ],
)
def test_nothing_is_said_where_nothing_is_known(marks, read):
    assert forecast(marks, read) is None


@pytest.fixture
def planned(tmp_path, monkeypatch, capsys):
    """Plan for a short text on a machine of known speed; return the plan and what was told."""
    monkeypatch.setenv("HORNBOOK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(planning, "measure", lambda *_: 50_000.0)
    monkeypatch.setattr(api, "fit_steps", lambda *_: 100)
    text = tmp_path / "a.txt"
    text.write_text("Was it a cat I saw? No lemon, no melon.\n" * 50, encoding="utf-8")

    def plan(preset="quick", **settings):
        asked = {"recipe.evaluate_on": 100, "recipe.sample_length": 3, "recipe.minutes": 0.05, **settings}
        return api.plan(text, preset, settings=asked), capsys.readouterr().out

    return plan


def test_a_plan_says_what_to_expect_of_what_it_picked(planned):
    found, told = planned()
    read = found["steps"] * found["recipe"]["batch_size"] * found["model"]["block_size"]
    expected = forecast(found["landmarks"], read)
    assert found["expected"] == asdict(expected)
    assert f"plan: {expected}" in told


@pytest.mark.parametrize(
    ("preset", "settings"),
    [("quick", {"model.n_layer": 2}), ("quick", {"recipe.learning_rate": 1e-3}), ("small", {})],
)
def test_of_anything_else_it_says_nothing(planned, preset, settings):
    found, told = planned(preset, **settings)
    assert found["expected"] is None
    assert "expect a loss" not in told


def test_settings_that_change_no_loss_are_settings():
    quick = PRESETS["quick"]
    assert planning.is_all_picked(quick.changed({"recipe.minutes": 3, "text.split": 0.5}))
    assert all(hasattr(quick.recipe, name) for name in planning.CHANGE_NO_LOSS)
    assert not planning.is_all_picked(quick.changed({"recipe.batch_size": 8}))
