"""When: the learning rate of each step, and the steps at which the model is evaluated. Pure functions."""

import math

from hornbook.training.recipe import Recipe


def learning_rate(step: int, steps: int, recipe: Recipe) -> float:
    """Return the rate of update `step`, counted from 1 to `steps`.

    It rises in equal parts over the warm-up and is never 0 there; the first step after it has the peak. A decay
    would reach its floor one step after the last.
    """
    if step <= recipe.warmup:
        return recipe.learning_rate * step / (recipe.warmup + 1)
    if recipe.schedule == "constant":
        return recipe.learning_rate
    done = (step - 1 - recipe.warmup) / max(1, steps - recipe.warmup)  # 0 at the peak, 1 one past the last step
    left = 1 - done if recipe.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done))
    return recipe.learning_rate * (recipe.floor + (1 - recipe.floor) * left)


def evaluation_steps(steps: int, every: int | None) -> list[int]:
    """Return after which updates to evaluate: before the first (0), after the last, and between.

    With `every`, at its multiples. Without, at each eighth of the run, and once early, at 1/32 of it.
    """
    if every is not None:
        return [*range(0, steps, every), steps]
    return sorted({0, steps // 32, *(steps * i // 8 for i in range(1, 9))})
