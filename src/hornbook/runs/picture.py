"""The course of the loss, as a table and as a picture.

In the picture stands only ASCII (matplotlib has no glyphs for most scripts), and no curve is told from another by
its colour alone. The same records give the same bytes.
"""

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hornbook.runs.files import write_again
from hornbook.runs.folder import RunFolder

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Points = list[tuple[int, float]]

COLUMNS = ("step", "batch_loss", "train_loss", "val_loss", "lr")
MOST_POINTS = 1000  # of the batch loss: more only thickens the line
# Okabe and Ito's palette, which the colour-blind can tell apart too.
SKY, BLUE, VERMILLION, GREEN, GREY, INK = "#56B4E9", "#0072B2", "#D55E00", "#009E73", "#666666", "#222222"
PURPLE, OCHRE = "#B4588E", "#AD7700"  # two of them darker: letters are thin

# What stands beside a line of `landmarks.WORDS`, its colour, and its dashes: the lower, the longer.
LEVELS: dict[str, tuple[str, str, Any]] = {
    "guess": ("uniform", GREY, (0, (1, 3))),
    "unigram": ("unigram", PURPLE, (0, (1, 1.5))),
    "bigram": ("bigram", GREEN, "-."),
    "5-gram": ("5-gram", OCHRE, (0, (6, 2, 1, 2, 1, 2))),
    "xz": ("xz", INK, (0, (9, 4))),
}


def draw(
    folder: RunFolder, records: Iterable[dict[str, Any]], landmarks: Mapping[str, float], a_unit: float = 1.0
) -> None:
    """Write loss.csv, loss.svg and loss.png from the log's records.

    `landmarks` are the losses to compare with, at least that of guessing at random; like all of them in nats per
    character. But those of batches are per unit, which has `a_unit` characters; the table has them as they are. A
    second axis has bits.
    """
    rows = _rows(records)
    write_again(folder.csv_path, _table(rows))
    with figure(8, 5, folder.svg_path, folder.png_path) as page:
        _paint(page, rows, landmarks, a_unit)


@contextmanager
def figure(width: float, height: float, *paths: Path) -> Iterator["Figure"]:
    """Give a figure of so many inches to paint on, and write it into these files, .svg or .png, at the end."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # the user's own style would make other bytes, or miss a font
        matplotlib.rcParams.update({"svg.hashsalt": "hornbook", "font.size": 11, "text.parse_math": False})
        page = Figure(figsize=(width, height), dpi=200)
        yield page
        for path in paths:
            buffer = io.BytesIO()
            undated = {"Date" if path.suffix == ".svg" else "Software": None}
            page.savefig(buffer, format=path.suffix[1:], metadata=undated)
            write_again(path, buffer.getvalue())


def _rows(records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Gather what the log says of a step, on several lines, into one row a step."""
    rows: dict[int, dict[str, Any]] = {}
    for record in records:
        known = {name: record[name] for name in COLUMNS if record.get(name) is not None}
        if len(known) > 1:
            rows.setdefault(record["step"], {}).update(known)
    return [rows[step] for step in sorted(rows)]


def _table(rows: list[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode("utf-8")


def _paint(figure: "Figure", rows: list[dict[str, Any]], landmarks: Mapping[str, float], a_unit: float) -> None:
    batch, train, val = (_points(rows, name) for name in ("batch_loss", "train_loss", "val_loss"))
    batch = [(step, loss / a_unit) for step, loss in batch]
    axes = figure.add_axes((0.19, 0.12, 0.6, 0.85))
    levels = {name: landmarks[name] for name in LEVELS if name in landmarks}
    labels = []
    for name, level in levels.items():
        label, color, line = LEVELS[name]
        axes.axhline(level, color=color, linewidth=1.3, linestyle=line)
        labels.append((level, f"{label} {level:.3f}", color))
    if batch:
        axes.plot(*_xy(batch[:: len(batch) // MOST_POINTS + 1]), color=SKY, linewidth=0.8, alpha=0.55)
        end = train[-1][1] - 1e-6 if train else batch[-1][1]  # named just below the curve that it surrounds
        labels.append((end, "each batch", "#3A87B0"))  # darker than SKY too
    for name, points, color, line, marker in (
        ("train", train, BLUE, "--", "o"),
        ("validation", val, VERMILLION, "-", "s"),
    ):
        if points:
            (curve,) = axes.plot(*_xy(points), color=color, linestyle=line, linewidth=1.8)
            curve.set(marker=marker, markersize=5, markeredgecolor="white", markevery=len(points) // 25 + 1)
            labels.append((points[-1][1], f"{name} {points[-1][1]:.3f}", color))

    losses = [y for points in (batch, train, val) for _, y in points]
    known = list(levels.values())
    # A loss that runs away would press all else flat: far above the random guess it leaves the picture.
    _frame(axes, min(losses + known), max(known + [min(y, 1.5 * levels["guess"]) for y in losses]))
    axes.set_xlim(0, 1.012 * max([1, *(row["step"] for row in rows)]))
    _label(axes, labels)
    if val:
        _mark_best(axes, *min(val, key=lambda point: point[1]))


def _frame(axes: "Axes", low: float, high: float) -> None:
    room = 0.06 * (high - low + 0.1)
    axes.set_ylim(max(0.0, low - room), high + room)
    axes.set_xlabel("step", color=INK)
    axes.set_ylabel("nats per character", color=INK)
    axes.yaxis.set_label_coords(-0.105, 0.5)
    bits = axes.secondary_yaxis(-0.155, functions=(_in_bits, _in_nats))
    bits.yaxis.set_major_formatter("{x:g} bits")
    dress(axes)
    for spine in bits.spines.values():
        spine.set_color("#BBBBBB")
    bits.tick_params(labelcolor="#555555", color="#BBBBBB", length=3)
    axes.locator_params(axis="x", integer=True)
    bits.tick_params(labelsize=9)
    bits.locator_params(axis="y", steps=[1, 2, 5, 10])  # so that the numbers stay short
    axes.grid(axis="y", color="#EEEEEE", linewidth=0.8)
    axes.set_axisbelow(True)


def _in_bits(nats: Any) -> Any:
    return nats / math.log(2)


def _in_nats(bits: Any) -> Any:
    return bits * math.log(2)


def dress(axes: "Axes") -> None:
    """Let the frame step back behind what it holds."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#BBBBBB")
    axes.tick_params(labelcolor="#555555", color="#BBBBBB", length=3)


def _label(axes: "Axes", labels: list[tuple[float, str, str]]) -> None:
    """Write each line's name beside its end, pushed apart where two would touch, and joined to it."""
    bottom, top = axes.get_ylim()
    labels = sorted(labels)
    ends = [min(1.0, (value - bottom) / (top - bottom)) for value, _, _ in labels]
    for (_, text, color), end, place in zip(labels, ends, spread(ends, gap=0.052), strict=True):
        axes.plot([1.005, 1.03], [end, place], color=color, linewidth=0.8, clip_on=False, transform=axes.transAxes)
        axes.text(1.038, place, text, color=color, va="center", transform=axes.transAxes)


def spread(places: list[float], gap: float) -> list[float]:
    """Push rising places apart, each pair as far to both sides, until neighbours are about `gap` apart.

    They stay from 0 to 1.
    """
    for _ in range(100):
        places = [min(1.0, max(0.0, place)) for place in places]
        for i in range(len(places) - 1):
            short = max(0.0, gap - (places[i + 1] - places[i]))
            places[i] -= short / 2
            places[i + 1] += short / 2
    return places


def _mark_best(axes: "Axes", step: int, value: float) -> None:
    across = step / axes.get_xlim()[1]
    side = "left" if across < 0.2 else "right" if across > 0.8 else "center"
    corner = {"left": 0.0, "center": 0.5, "right": 1.0}[side]
    bottom, top = axes.get_ylim()
    above = value < bottom + 0.85 * (top - bottom)  # where there is room
    axes.annotate(
        f"best {value:.3f} at step {step}",
        (step, value),
        xytext=(0, 36 if above else -44),
        textcoords="offset points",
        ha=side,
        color=INK,
        arrowprops={
            "arrowstyle": "-",
            "color": INK,
            "linewidth": 0.8,
            "shrinkB": 5,
            "relpos": (corner, 0 if above else 1),
        },
        bbox={"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": "none", "alpha": 0.85},
    )
    axes.plot([step], [value], marker="o", markersize=11, markerfacecolor="none", color=INK, clip_on=False)


def _points(rows: list[dict[str, Any]], name: str) -> Points:
    return [(row["step"], row[name]) for row in rows if name in row]


def _xy(points: Points) -> tuple[list[int], list[float]]:
    return [x for x, _ in points], [y for _, y in points]
