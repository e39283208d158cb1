"""The recipe: every value that no training can have is refused, by its name and with what it has to be."""

import json
import math
from dataclasses import FrozenInstanceError, fields

import pytest

from hornbook.errors import UsageError
from hornbook.training.recipe import BOUNDS, CHOICES, Recipe

ABOVE_0 = ("minutes", "learning_rate", "muon_rate")
NUMBERS = (*BOUNDS, *ABOVE_0)


def refused(**settings):
    with pytest.raises(UsageError) as caught:
        Recipe(**settings)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_each_field_with_a_number_is_bounded():
    assert {field.name for field in fields(Recipe)} - CHOICES.keys() == set(NUMBERS)


def test_what_is_counted_is_at_least_1_and_what_can_be_absent_at_least_0():
    at_least_1 = {"steps", "batch_size", "accumulate", "evaluate_every", "evaluate_on", "early_stop", "keep_every"}
    assert {name for name, (least, _) in BOUNDS.items() if least == 1} == at_least_1
    assert {name for name, (least, _) in BOUNDS.items() if least == 0} == BOUNDS.keys() - at_least_1


@pytest.mark.parametrize("name", BOUNDS)
def test_the_ends_of_each_range(name):
    least, most = BOUNDS[name]
    for value in (least - 1, most + 1, -(10**30), 10**400):
        assert refused(**{name: value}) == f"recipe.{name} is {value}; it has to be from {least:,} to {most:,}."
    assert getattr(Recipe(**{name: least}), name) == least
    assert getattr(Recipe(**{"batch_size": 2**20, name: most}), name) == most


def test_messages_as_they_are_read():
    assert refused(steps=0) == "recipe.steps is 0; it has to be from 1 to 1,000,000,000."
    assert refused(evaluate_on=65_537) == "recipe.evaluate_on is 65537; it has to be from 1 to 65,536."
    assert refused(floor=1.5) == "recipe.floor is 1.5; it has to be from 0 to 1."


@pytest.mark.parametrize("name", ABOVE_0)
def test_what_can_not_be_absent_is_above_0(name):
    for value in (0, -0.5):
        assert refused(**{name: value}) == f"recipe.{name} is {value}; it has to be above 0 and finite."
    assert getattr(Recipe(**{name: 1e-300}), name) == 1e-300


@pytest.mark.parametrize("name", ["beta1", "beta2", "muon_momentum", "average"])
def test_a_memory_that_never_forgets_is_refused(name):
    assert refused(**{name: 1}) == f"recipe.{name} is 1; it has to be from 0 to 0.999999."


def test_so_many_evaluations_that_nothing_else_is_done_are_refused():
    assert refused(steps=10**9, evaluate_every=9) == (
        "recipe.evaluate_every=9 makes 111,111,111 evaluations; it has to be at least 10,001."
    )
    least = int(refused(steps=10**9, evaluate_every=1).rpartition(" ")[2].strip(".").replace(",", ""))
    assert Recipe(steps=10**9, evaluate_every=least).evaluate_every == least
    assert Recipe(steps=100_000, evaluate_every=1).evaluate_every == 1


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", NUMBERS)
def test_what_is_no_finite_number_is_refused(name, value):
    assert refused(**{name: value}).startswith(f"recipe.{name} is {value}; it has to be ")


def test_a_batch_is_cut_into_equal_pieces():
    message = "recipe.batch_size=6 does not divide into recipe.accumulate=4 pieces."
    assert refused(batch_size=6, accumulate=4) == message
    assert refused(batch_size=2, accumulate=4).startswith("recipe.batch_size=2 does not divide")
    assert Recipe(batch_size=6, accumulate=3).accumulate == 3
    assert Recipe(batch_size=6, accumulate=6).accumulate == 6


def test_words_are_those_there_are():
    assert refused(schedule="cosin") == "recipe.schedule=cosin is not one; did you mean 'cosine'?"
    assert refused(schedule="x") == "recipe.schedule=x is not one; known: constant, cosine, linear."
    assert refused(dtype="float16") == "recipe.dtype=float16 is not one; did you mean 'bfloat16'?"
    assert refused(optimizer="moun") == "recipe.optimizer=moun is not one; did you mean 'muon'?"
    assert refused(decay_schedule="x") == "recipe.decay_schedule=x is not one; known: constant, cosine, linear."
    for schedule in ("constant", "linear", "cosine"):
        assert Recipe(schedule=schedule).schedule == schedule
    for dtype in ("auto", "float32", "bfloat16"):
        assert Recipe(dtype=dtype).dtype == dtype


def test_steps_or_minutes_not_both():
    assert refused(steps=10, minutes=1) == "give a number of steps or a number of minutes, not both."
    assert Recipe().steps is Recipe().minutes is None


def test_it_goes_through_json_and_back():
    recipe = Recipe(steps=7, learning_rate=0.1 + 0.2, schedule="linear", early_stop=2)
    assert Recipe(**json.loads(json.dumps(recipe.to_json()))) == recipe
    with pytest.raises(FrozenInstanceError):
        recipe.steps = 8
