"""A budget of minutes becomes a number of steps: measured here by a clock that the test turns."""

import pytest

from hornbook.errors import UsageError
from hornbook.training import budget
from hornbook.training.schedule import evaluation_steps
from hornbook.training.step import TrainStep
from hornbook.training.task import Task


@pytest.fixture
def clock(monkeypatch):
    """Let a step take 20 ms and an evaluation 300 ms of a clock that otherwise stands still."""

    class Clock:
        now = 0.0
        a_step, a_look, first = 0.02, 0.3, 5.0
        steps = looks = 0

    state = Clock()
    real_step, real_look = TrainStep.__call__, Task.look

    def step(self, number, inputs, targets):
        state.now += state.a_step if state.steps else state.first  # the first one sets things up
        state.steps += 1
        return real_step(self, number, inputs, targets)

    def look(self, number):
        state.now += state.a_look
        state.looks += 1
        return real_look(self, number)

    monkeypatch.setattr(budget.time, "perf_counter", lambda: state.now)
    monkeypatch.setattr(TrainStep, "__call__", step)
    monkeypatch.setattr(Task, "look", look)
    return state


def whole_time(task, steps, clock):
    """Return the seconds that a training of so many steps takes by that clock, the score at the end included."""
    looks = len(evaluation_steps(steps, task.recipe.evaluate_every))
    slices = 2 * min(task.recipe.evaluate_on, len(task.shards.val) - 1) // 8 * 8
    at_end = clock.a_look * len(task.shards.val) / slices
    return steps * clock.a_step + looks * clock.a_look + at_end


@pytest.mark.parametrize("minutes", [0.5, 2, 60])
def test_the_steps_fill_the_budget(tiny_task, clock, minutes):
    task = tiny_task(evaluate_every=None)
    steps = budget.fit_steps(task, minutes)
    assert 0.93 * 60 * minutes < whole_time(task, steps, clock) < 1.01 * 60 * minutes + 1


def test_steps_are_tried_from_all_parts_of_the_run(tiny_task, clock, monkeypatch):
    """Half of them with short windows, where half of the run has such."""
    tried, real = [], Task.batch
    monkeypatch.setattr(Task, "batch", lambda self, step: tried.append(real(self, step)) or tried[-1])
    budget.fit_steps(tiny_task(steps=0, length_warmup=0.5), 5)
    clock.first = clock.a_step
    tried.clear()
    clock.steps, clock.now = 0, 0.0
    budget.fit_steps(tiny_task(steps=0, length_warmup=0.5), 5)
    lengths = [inputs.shape[1] for inputs, _ in tried]
    assert len(lengths) == 50
    assert lengths.count(8) == pytest.approx(25, abs=2)
    assert lengths.count(2) == pytest.approx(12.5, abs=2)


def test_twice_the_time_holds_twice_the_steps(tiny_task, clock):
    once, twice = (budget.fit_steps(tiny_task(evaluate_every=None), minutes) for minutes in (10, 20))
    assert twice - once == pytest.approx(600 / 0.02, abs=1)


def test_evaluations_that_are_asked_for_often_are_in_the_budget(tiny_task, clock):
    task = tiny_task(evaluate_every=10)
    steps = budget.fit_steps(task, 60)
    assert 0.93 * 3600 < whole_time(task, steps, clock) < 1.05 * 3600


def test_the_first_step_does_not_count_and_calibration_ends(tiny_task, clock):
    budget.fit_steps(tiny_task(), 5)
    assert clock.steps == 4  # the first took longer than all the time there is to try
    assert clock.looks == 1
    clock.first, clock.steps, clock.now = 0.02, 0, 0.0
    budget.fit_steps(tiny_task(), 5)
    assert clock.steps == 50
    clock.a_step, clock.steps, clock.now = 0.1, 0, 0.0
    budget.fit_steps(tiny_task(), 5)
    assert 19 <= clock.steps <= 21  # two seconds


def test_too_short_a_budget_says_what_would_do(tiny_task, clock):
    task = tiny_task(evaluate_every=None)
    with pytest.raises(UsageError) as caught:
        budget.fit_steps(task, 0.01)
    message = str(caught.value)
    assert message.startswith("0.01 minutes are too few: a step takes 0.02 s here, and the evaluations ")
    assert message.endswith(" or more.")
    enough = float(message.partition("--minutes ")[2].partition(" ")[0])
    assert budget.fit_steps(task, enough) >= 10
