"""Forms of one part side by side: the same weights and the same batches, what each costs and what it computes."""

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass

from hornbook.training.optimizers import make_optimizer
from hornbook.training.step import TrainStep
from hornbook.training.task import Task

STEPS = 12  # the first is not timed: memory is asked for, and what compiles does so


@dataclass(frozen=True)
class Lap:
    """What one form did."""

    seconds: float
    """for a training step, the median"""
    losses: tuple[float, ...]
    """of the steps"""


def race(tasks: Mapping[str, Task], steps: int = STEPS) -> dict[str, Lap]:
    """Train the tasks for a few steps each, turn by turn, so that what else the machine does meets all alike.

    The tasks' models are changed by it.
    """
    runs = {
        name: TrainStep(task.model, make_optimizer(task.model, task.recipe), task.recipe, steps, task.seed, task.dtype)
        for name, task in tasks.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    losses: dict[str, list[float]] = {name: [] for name in tasks}
    for number in range(1, steps + 1):
        for name, task in tasks.items():
            batch = task.batch(number)
            began = time.perf_counter()
            loss, _ = runs[name](number, *batch)
            losses[name].append(loss.item())  # waits for the device
            seconds[name].append(time.perf_counter() - began)
    return {name: Lap(statistics.median(seconds[name][1:]), tuple(losses[name])) for name in tasks}


def tell(laps: Mapping[str, Lap]) -> str:
    """Say in a line how the forms compare; the first is what the others are measured against."""
    first, *others = laps.values()
    times = ", ".join(f"{name} {lap.seconds * 1000:.1f} ms a step" for name, lap in laps.items())
    faster = ", ".join(f"{first.seconds / lap.seconds:.2f} × as fast" for lap in others)
    apart = max((abs(a - b) for lap in others for a, b in zip(first.losses, lap.losses, strict=True)), default=0.0)
    return f"{times} ({faster}); over {len(first.losses)} steps the losses differ by {apart:.0e} at most"
