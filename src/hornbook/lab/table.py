"""A comparison as a table for the terminal: 80 columns, whatever the variants are called."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean
from textwrap import wrap

from hornbook.errors import printable
from hornbook.lab.compare import Comparison, Result

WIDTH, NAME = 80, 26  # columns: of all, and of a variant's name


def tell(found: Comparison) -> str:
    """Return the table, the effects, and how soon the target was reached, in lines of text."""
    lines = (wrap(printable(line), WIDTH, subsequent_indent="   ", break_on_hyphens=False) for line in _lines(found))
    return "\n".join("\n".join(line) for line in lines)


def _lines(found: Comparison) -> Iterator[str]:
    first, *others = found.results
    seeds = f"{found.seeds} seed{'s' if found.seeds > 1 else ''}"
    yield f"{found.text}: loss on the whole validation text, {found.unit}; {seeds}"
    if found.unit == "bits a byte":
        yield "(they cut the text into different units: only bits a byte can be compared)"
    yield ""
    yield f"{'variant':<{NAME}}  {'loss':<15} {'parameters':>10} {'seconds':>8} {'tokens':>7} {'memory':>7}"
    yield from map(_row, found.results)
    yield "(± standard deviation over seeds; seconds of training; memory as estimated)"
    yield from (result.name for result in found.results if len(result.name) > NAME)
    together = " that hold together" if others[1:] else ""
    yield from ("", f"against {first.name[0]}, seed by seed, with {found.level:.0%} intervals{together}:")
    for other in others:
        why = other.diverged or f"nothing to compare with: A {first.diverged}"
        yield f"{other.name[0]}  {other.effect.said if other.effect else why}"
    if found.target and found.lowest > found.target:
        yield from ("", f"no run came down to {found.target:g}: the lowest evaluation was {found.lowest:.4f}")
    elif found.target:
        yield from ("", f"first evaluation at {found.target:g} or below, mean over the seeds that came there:")
        yield from map(_reached, found.results)


def _row(result: Result) -> str:
    name = result.name if len(result.name) <= NAME else result.name[: NAME - 1] + "…"
    loss = "diverged" if result.loss is None else f"{result.loss:.4f}"
    loss += "" if result.spread is None else f" ±{result.spread:.4f}"
    seconds = "" if result.seconds is None else f"{result.seconds:,.1f}"
    tokens = "" if result.tokens is None else _short(result.tokens)
    sizes = f"{result.parameters:>10,} {seconds:>8} {tokens:>7} {_short(result.memory):>6}B"
    return f"{name:<{NAME}}  {loss:<15} {sizes}"


def _reached(result: Result) -> str:
    """Say how soon a variant's evaluations were down to the target."""
    points = [trial.target for trial in result.trials if trial.target]
    came = f"{result.name[0]}  {len(points)} of {len(result.trials)}: "
    if not points:
        return came + "not reached"
    step, tokens, seconds = (fmean(getattr(point, name) for point in points) for name in ("step", "tokens", "seconds"))
    last = fmean(trial.points[-1].step for trial in result.trials if trial.points)
    return came + f"at step {step:,.0f} of {last:,.0f}, {_short(tokens)} tokens, {seconds:,.1f} s"


def _short(number: float) -> str:
    """Write a large number in few figures: 1.31M."""
    size, unit = next(((s, u) for s, u in ((1e9, "G"), (1e6, "M"), (1e3, "k")) if number >= s), (1, ""))
    return f"{number / size:.3g}{unit}" if unit else f"{number:.0f}"
