"""The picture and the table: the same bytes for the same records, from none to many."""

import math
import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest

from hornbook.runs import picture
from hornbook.runs.folder import RunFolder

UNIFORM = math.log(65)
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

    first = drawn(tmp_path / "a", RECORDS, UNIFORM, 2.45)
    with matplotlib.rc_context({"font.family": "serif", "axes.grid": True, "lines.linewidth": 7}):
        before = dict(matplotlib.rcParams)
        assert drawn(tmp_path / "b", RECORDS, UNIFORM, 2.45) == first
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
        "with tempfile.TemporaryDirectory() as d: picture.draw(folder.RunFolder(pathlib.Path(d)), [], 4.0)\n"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, encoding="utf-8")
    assert (out.stdout.strip(), out.stderr) == ("False", "")


@pytest.mark.parametrize(
    "records",
    [
        [],
        [{"step": 0, "val_loss": 4.0}],
        [{"step": 1, "batch_loss": 1e300}, {"step": 2, "train_loss": 1e300, "val_loss": 1e300}],
        [{"step": 1, "batch_loss": 0.0, "train_loss": 0.0, "val_loss": 0.0}],
    ],
)
def test_odd_courses_are_drawn(tmp_path, records):
    assert drawn(tmp_path, records, UNIFORM, UNIFORM)[2].startswith(b"\x89PNG")


def test_a_long_course_is_thinned(monkeypatch, tmp_path):
    from matplotlib.axes import Axes

    plotted, plot = [], Axes.plot
    monkeypatch.setattr(Axes, "plot", lambda axes, x, *a, **k: (plotted.append(len(x)), plot(axes, x, *a, **k))[1])
    many = [{"step": n, "batch_loss": 2.0} for n in range(12_345)]
    table, _, _ = drawn(tmp_path, many, UNIFORM)
    assert 500 < plotted[0] <= picture.MOST_POINTS
    assert table.count(b"\n") == 12_346


def test_labels_are_spread_apart():
    assert picture.spread([], 0.1) == []
    assert picture.spread([0.2, 0.5], 0.1) == [0.2, 0.5]
    assert picture.spread([0.5, 0.5], 0.1) == pytest.approx([0.45, 0.55])
    places = picture.spread([0.5, 0.5, 0.5, 0.5, 0.9], 0.1)
    assert all(b - a > 0.099 for a, b in pairwise(places))
