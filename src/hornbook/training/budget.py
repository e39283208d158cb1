"""From minutes to steps: how many fit is found out before the training begins, so that no clock decides in it."""

import time
from dataclasses import replace

from hornbook.errors import UsageError
from hornbook.training.loop import SCORED_AT_END
from hornbook.training.optimizers import make_optimizer
from hornbook.training.recipe import BOUNDS
from hornbook.training.schedule import evaluation_steps
from hornbook.training.step import TrainStep
from hornbook.training.task import Task

TRIED, SECONDS = 50, 2.0  # how many steps are timed at most, and for how long


def time_step(task: Task, seconds: float) -> float:
    """Return the seconds that a step takes, by trying some for so long. The model of `task` is changed by that."""
    task = replace(task, steps=1_000)  # as it were
    optimizer = make_optimizer(task.model, task.recipe)
    step = TrainStep(task.model, optimizer, task.recipe, task.steps, task.seed, task.dtype)
    times: list[float] = []
    started = time.perf_counter()
    while len(times) < 4 or (len(times) < TRIED and time.perf_counter() - started < seconds):
        number = 1 + 619 * len(times) % task.steps  # from all parts of the run: some may have other windows
        before = time.perf_counter()
        step(number, *task.batch(number))[0].item()
        times.append(time.perf_counter() - before)
    return sum(times[1:]) / len(times[1:])  # the first one sets things up


def fit_steps(task: Task, minutes: float) -> int:
    """Find how many steps fit into a budget, evaluations included, by trying some.

    The model of `task` is changed by that. Raises `UsageError` where not even one step fits.
    """
    a_step = time_step(task, SECONDS)
    before = time.perf_counter()
    record, _ = task.look(0)
    looked = time.perf_counter()
    task.sample(0)
    a_look, a_sample = looked - before, time.perf_counter() - looked
    every = task.recipe.evaluate_every
    looks = 2 if every else len(evaluation_steps(1_000, None))  # before the first step, and after the last
    a_unit = (a_look - a_sample) / (record["train_slice"] + record["val_slice"])
    at_end = a_unit * min(len(task.shards.val), SCORED_AT_END)
    steps = int((60 * minutes - looks * a_look - at_end) / (a_step + (a_look / every if every else 0)))
    if steps < 1:
        needed = looks * a_look + at_end
        raise UsageError(
            f"{minutes:g} minutes are too few: a step takes {a_step:.2g} s here, and the evaluations {needed:.2g} s in "
            f"all; give --minutes {(2 * needed + 10 * a_step) / 60:.2g} or more."
        )
    return min(steps, int(BOUNDS["steps"][1]))
