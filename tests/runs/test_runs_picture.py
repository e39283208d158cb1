"""The picture and the table: the same bytes for the same records, from none to many."""

import math
import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hornbook.runs import landmarks, picture
from hornbook.runs.folder import RunFolder

UNIFORM = {"guess": math.log(65)}
OLD = UNIFORM | {"bigram": 2.45}  # what runs of the first version have
ALL = UNIFORM | {"unigram": 3.347, "bigram": 2.484, "5-gram": 1.561, "xz": 1.744}
RECORDS = [
    {"step": 0, "train_loss": 4.2, "val_loss": 4.3},
    {"step": 1, "batch_loss": 4.1, "lr": 0.001, "grad_norm": 1.0},
    {"step": 2, "batch_loss": 3.0, "lr": 0.0005},
    {"step": 2, "train_loss": 2.1, "val_loss": None, "sample": "ಕನ್ನಡ, 🙂"},
    {"step": 3, "sample": "ಕ"},
]


def drawn(path, *args):
    folder = RunFolder(path / "ಕನ್ನಡ 🙂")
    folder.path.mkdir(parents=True, exist_ok=True)
    picture.draw(folder, *args)
    return [file.read_bytes() for file in (folder.csv_path, folder.svg_path, folder.png_path)]


def test_the_table(tmp_path):
    table, _, _ = drawn(tmp_path, RECORDS, UNIFORM)
    assert table.decode("ascii") == (
        "step,batch_loss,train_loss,val_loss,lr\n0,,4.2,4.3,\n1,4.1,,,0.001\n2,3.0,2.1,,0.0005\n"
    )


def test_the_same_records_make_the_same_bytes_whatever_the_users_style(tmp_path):
    import matplotlib

    first = drawn(tmp_path / "a", RECORDS, ALL)
    with matplotlib.rc_context({"font.family": "serif", "axes.grid": True, "lines.linewidth": 7}):
        before = dict(matplotlib.rcParams)
        assert drawn(tmp_path / "b", RECORDS, ALL) == first
        assert dict(matplotlib.rcParams) == before
    _, svg, png = first
    assert png.startswith(b"\x89PNG")
    assert b"<dc:date>" not in svg
    ET.fromstring(svg)


def test_pyplot_stays_out():
    import subprocess
    import sys

    code = (
        "import sys, tempfile, pathlib\n"
        "from hornbook.runs import picture, folder\n"
        "with tempfile.TemporaryDirectory() as d: picture.draw(folder.RunFolder(pathlib.Path(d)), [], {'guess': 4.0})\n"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, encoding="utf-8")
    assert (out.stdout.strip(), out.stderr) == ("False", "")


@pytest.mark.parametrize(
    ("records", "marks"),
    [
        ([], UNIFORM),
        ([], {"guess": 0.0, "bigram": 1e300, "xz": -1e300, "new": 3.0}),
        ([{"step": 0, "val_loss": 4.0}], OLD),
        ([{"step": 1, "batch_loss": 1e300}, {"step": 2, "train_loss": 1e300, "val_loss": 1e300}], ALL),
        ([{"step": 1, "batch_loss": 0.0, "train_loss": 0.0, "val_loss": 0.0}], ALL),
    ],
)
def test_odd_courses_are_drawn(tmp_path, records, marks):
    assert drawn(tmp_path, records, marks)[2].startswith(b"\x89PNG")


def test_a_long_course_is_thinned(monkeypatch, tmp_path):
    from matplotlib.axes import Axes

    plotted, plot = [], Axes.plot
    monkeypatch.setattr(Axes, "plot", lambda axes, x, *a, **k: (plotted.append(len(x)), plot(axes, x, *a, **k))[1])
    many = [{"step": n, "batch_loss": 2.0} for n in range(12_345)]
    table, _, _ = drawn(tmp_path, many, UNIFORM)
    assert 500 < plotted[0] <= picture.MOST_POINTS
    assert table.count(b"\n") == 12_346


@pytest.fixture
def painted(tmp_path, monkeypatch):
    """Return what draws, and returns the figure and its axes, before they become a file."""
    from matplotlib.figure import Figure

    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: figures.append(figure))

    def paint(*args):
        drawn(tmp_path, *args)
        figures[0].draw_without_rendering()
        return figures[0], figures[0].axes[0]

    return paint


def looks(marks, n=20):
    """Make the records of a run that comes down to the lowest of the marks."""
    low, high = min(marks.values()), max(marks.values())
    losses = [(n, low + (high - low) * 2.0**-n) for n in range(n)]
    return [{"step": step, "train_loss": loss, "val_loss": loss + 0.01, "batch_loss": loss} for step, loss in losses]


@pytest.mark.parametrize(
    "marks", [ALL, OLD, dict.fromkeys(ALL, 2.0), dict.fromkeys(ALL, 0.0), ALL | {"guess": math.log(65_536)}]
)
def test_no_label_lies_over_another_or_leaves_the_picture(painted, marks):
    figure, axes = painted(looks(marks), marks)
    names = [text for text in axes.texts if text.get_transform() == axes.transAxes]
    assert len(names) == len(marks) + 3
    bits = [each for each in axes.child_axes[0].get_yticklabels() if each.get_text()]
    boxes = sorted((each.get_window_extent() for each in names), key=lambda box: box.y0)
    assert all(above.y0 >= below.y1 - 1 for below, above in pairwise(boxes))
    for box in [*boxes, *(each.get_window_extent() for each in bits)]:
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.x1


def test_the_name_of_the_best_stays_in_the_picture(painted):
    figure, axes = painted([{"step": step, "val_loss": 4.2 + step / 100} for step in range(3)], ALL)
    (best,) = (text.get_window_extent() for text in axes.texts if text.get_text() == "best 4.200 at step 0")
    assert best.y1 <= figure.bbox.y1


def test_lines_are_told_apart_without_colour_and_named(painted):
    _, axes = painted(looks(ALL), ALL)
    lines = [line for line in axes.lines if line.get_transform() == axes.get_yaxis_transform(which="grid")]
    assert sorted(line.get_ydata()[0] for line in lines) == sorted(ALL.values())
    assert len({line._unscaled_dash_pattern[1] and tuple(line._unscaled_dash_pattern[1]) for line in lines}) == len(ALL)
    texts = " ".join(text.get_text() for text in axes.texts)
    for words in ("uniform 4.174", "unigram 3.347", "bigram 2.484", "5-gram 1.561", "xz 1.744", "validation 1.571"):
        assert words in texts


def test_the_second_axis_has_bits(painted):
    _, axes = painted(looks(ALL), ALL)
    low, high = axes.get_ylim()
    bits = axes.child_axes[0]
    assert bits.get_ylim() == pytest.approx((low / math.log(2), high / math.log(2)))
    assert "2 bits" in [each.get_text() for each in bits.get_yticklabels()]


def test_the_losses_of_batches_are_drawn_by_the_character_too(painted, tmp_path):
    records = [{"step": step, "batch_loss": 4.0, "train_loss": 2.0, "val_loss": 2.0} for step in range(5)]
    _, axes = painted(records, ALL, 2.0)
    curves = [line for line in axes.lines if line.get_transform() == axes.transData and len(line.get_xdata()) == 5]
    assert [set(curve.get_ydata()) for curve in curves] == [{2.0}] * 3
    assert ",4.0,2.0,2.0," in next(tmp_path.glob("*/loss.csv")).read_text("ascii")  # as the log has them


def test_what_a_loss_comes_below_is_told_in_words():
    assert landmarks.passed(ALL, 4.2, 4.1) == ""  # of the guess is told at the start
    assert landmarks.passed(ALL, 4.2, 3.3) == "now below the unigram table's 3.35"
    assert landmarks.passed(ALL, 4.2, 2.4) == "now below the bigram table's 2.48"  # so below the other too
    assert landmarks.passed(ALL, 1.75, 1.744) == ""
    assert landmarks.passed(ALL, 1.744, 1.7) == "now below xz's 1.74"
    assert landmarks.passed(ALL, 1.7, 1.5) == "now below the 5-gram model's 1.56"
    assert landmarks.passed(ALL, 1.5, 1.4) == landmarks.passed(ALL, 1.4, 4.0) == landmarks.passed({}, 9.0, 1.0) == ""
    assert landmarks.told(ALL) == (
        "a guess at random 4.1744, a unigram table 3.3470, a bigram table 2.4840, a 5-gram model 1.5610, xz 1.7440"
    )
    assert landmarks.told(OLD) == "a guess at random 4.1744, a bigram table 2.4500"


def test_every_landmark_has_a_line():
    assert picture.LEVELS.keys() == landmarks.WORDS.keys()


def test_labels_are_spread_apart():
    assert picture.spread([], 0.1) == []
    assert picture.spread([0.2, 0.5], 0.1) == [0.2, 0.5]
    assert picture.spread([0.5, 0.5], 0.1) == pytest.approx([0.45, 0.55])
    places = picture.spread([0.5, 0.5, 0.5, 0.5, 0.9], 0.1)
    assert all(b - a > 0.099 for a, b in pairwise(places))


@given(st.lists(st.floats(-1, 2), max_size=8))
def test_eight_labels_find_room_from_anywhere(places):
    found = picture.spread(sorted(places), 0.052)
    assert all(b - a > 0.04 for a, b in pairwise(found))
    assert all(-0.03 < place < 1.03 for place in found)
