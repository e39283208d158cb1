"""A comparison as a picture: how the losses fell, and the effects with their intervals.

Variants are told apart by marker and line as well as by colour, and named by their letters where the lines end.
"""

from __future__ import annotations

from itertools import cycle
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from hornbook.runs.picture import BLUE, GREEN, GREY, INK, SKY, VERMILLION, dress, figure, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hornbook.lab.compare import Comparison

PURPLE, ORANGE = "#CC79A7", "#E69F00"  # Okabe and Ito's, as the others
COLORS, MARKERS, LINES = (INK, VERMILLION, BLUE, GREEN, PURPLE, ORANGE, SKY), "os^Dv<>Ph", ("-", "--", "-.", ":")
NAME = 32  # characters of a variant's name


def draw(found: Comparison) -> None:
    """Write the comparison's pictures. The same figures give the same bytes."""
    with figure(11, max(4.5, 0.3 * len(found.results) + 1.4), *map(Path, found.pictures)) as page:
        _courses(page.add_axes((0.07, 0.18, 0.40, 0.78)), found)
        _effects(page.add_axes((0.76, 0.18, 0.225, 0.78)), found)


def _courses(axes: Axes, found: Comparison) -> None:
    """Draw the losses of the evaluations: each run faintly, and the mean over the seeds."""
    runs = [[trial.points for trial in each.trials if trial.points] for each in found.results]
    ends = [{(points[-1].step, points[-1].tokens) for points in each} for each in runs]
    # Where the runs of one variant have not the same steps, a clock decided.
    timed, even = any(len(each) > 1 for each in ends), len(set().union(*ends)) <= 1
    across = "seconds" if timed else "step" if even else "tokens"
    last, late = list[tuple[float, float, str, str]](), list[float]()
    for result, courses, color, marker, line in zip(
        found.results, runs, *map(cycle, (COLORS, MARKERS, LINES)), strict=False
    ):
        lines = [[(getattr(point, across), point.loss) for point in points] for points in courses]
        for each in lines:
            axes.plot(*zip(*each, strict=True), color=color, linewidth=0.7, alpha=0.4)
        mean = [tuple(map(fmean, zip(*each, strict=True))) for each in zip(*lines, strict=False)]
        if mean:
            axes.plot(*zip(*mean, strict=True), color=color, linestyle=line, marker=marker, linewidth=1.6, markersize=5)
            last.append((mean[-1][1], mean[-1][0], result.name[0], color))
            late += [y for x, y in mean if x >= mean[-1][0] / 4]
    if late:  # the fall from the first losses would press all else flat: it begins above the picture
        room = 0.06 * (max(late) - min(late)) or 0.01
        axes.set_ylim(min(late) - room, max(late) + room)
    axes.set_xlim(0, 1.02 * max((x for _, x, _, _ in last), default=1) or 1)
    (_, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    last.sort()
    gap = 0.2 * axes.figure.dpi / axes.bbox.height  # of 0.2 inches
    places = spread([(loss - bottom) / (top - bottom) for loss, _, _, _ in last], gap)
    lift = max([0.0, *(-place for place in places)])  # none shall stand below the frame
    for place, (_, x, letter, color) in zip(places, last, strict=True):
        axes.text(x / right + 0.03, place + lift, letter, color=color, va="center", transform=axes.transAxes)
    axes.set_xlabel("seconds of training" if timed else across, color=INK)
    axes.set_ylabel(f"validation loss, {found.unit}", color=INK)
    axes.grid(axis="y", color="#EEEEEE", linewidth=0.8)
    dress(axes)


def _effects(axes: Axes, found: Comparison) -> None:
    """Draw the effect of each variant as a dot with a bar, its interval; the first variant is the line at 0."""
    axes.axvline(0, color=GREY, linewidth=1, linestyle=":")
    for row, (result, color, marker) in enumerate(zip(found.results, *map(cycle, (COLORS, MARKERS)), strict=False)):
        effect = result.effect
        if effect or row == 0:
            axes.plot([effect.mean if effect else 0], [row], color=color, marker=marker, markersize=7)
        if effect and effect.low is not None:
            axes.plot([effect.low, effect.high], [row, row], color=color, linewidth=2, marker="|", markersize=9)
    plain = (each.name.isascii() and each.name.isprintable() for each in found.results)  # no glyphs for most scripts
    names = [each.name if fits else each.name[0] for each, fits in zip(found.results, plain, strict=True)]
    short = [name if len(name) <= NAME else f"{name[: NAME - 3]}..." for name in names]
    axes.set_yticks(range(len(names)), short)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.locator_params(axis="x", nbins=4)
    axes.set_xlabel(f"loss minus {names[0][0]}'s: left is better\n({found.level:.0%} intervals)", color=INK)
    dress(axes)
