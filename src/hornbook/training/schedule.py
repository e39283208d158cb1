"""When: rate, weight decay and shape of each step, and the steps after which to evaluate. Pure functions."""

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
    done = decay_done(step, steps, recipe)  # 0 at the peak, 1 one past the last step
    return recipe.learning_rate * (recipe.floor + (1 - recipe.floor) * DECAYS[recipe.schedule](done))


def weight_decay_at(step: int, steps: int, recipe: Recipe) -> float:
    """Return the weight decay of update `step`, whose schedule is not constant: it falls to 0 while the rate decays."""
    done = decay_done(step, steps, recipe)
    return recipe.weight_decay * DECAYS[recipe.decay_schedule](done)


def decay_done(step: int, steps: int, recipe: Recipe) -> float:
    """Return how much of a decay lies behind update `step`: 0 up to its first one, 1 one step past the last of all."""
    begin = max(recipe.warmup, round(recipe.hold * steps)) if recipe.hold else recipe.warmup
    return max(0, step - 1 - begin) / max(1, steps - begin)


def linear(done: float) -> float:
    """Return what a decay in equal parts has left when a share `done` of it lies behind."""
    return 1 - done


def cosine(done: float) -> float:
    """Return what is left of a decay along half a wave, flat at both ends (Loshchilov, Hutter 2017)."""
    return 0.5 * (1 + math.cos(math.pi * done))


DECAYS = {"linear": linear, "cosine": cosine}


def batch_shape(step: int, steps: int, block_size: int, recipe: Recipe) -> tuple[int, int]:
    """Return how many windows update `step` sees, and how many units each has: (B, T).

    Over the length warm-up they are short, a quarter of `block_size` and then half, and there are four times and twice
    as many (Li 2022): as many units in all, or a few less where `block_size` does not divide. A window of one unit
    stays one.
    """
    short = recipe.length_warmup * steps
    cut = min(4 if step <= short / 2 else 2 if step <= short else 1, block_size)
    return recipe.batch_size * cut, block_size // cut


def evaluation_steps(steps: int, every: int | None) -> list[int]:
    """Return after which updates to evaluate: before the first (0), after the last, and between.

    With `every`, at its multiples. Without, at each eighth of the run, and once early, at 1/32 of it.
    """
    if every is not None:
        return [*range(0, steps, every), steps]
    return sorted({0, steps // 32, *(steps * i // 8 for i in range(1, 9))})
