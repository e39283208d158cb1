"""The lesson docs/notebooks/ladder.py is run as a learner runs it, and ladder.ipynb is what it gives."""

import ast
import importlib.util
import inspect
import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "notebooks"
MOST_BYTES = 1_000_000


def load_build():
    spec = importlib.util.spec_from_file_location("build_notebook", FOLDER / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


build = load_build()
SOURCE = build.SOURCE.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def notebook():
    """ladder.ipynb, as it is in the repository."""
    return nbformat.read(build.NOTEBOOK, as_version=4)


@pytest.fixture
def kernel_home(tmp_path, monkeypatch):
    """Let kernels write nowhere but into the test's own folder, and not wait for a second thread."""
    for name in ("HORNBOOK_CACHE", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "MPLCONFIGDIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    for name, value in {"JUPYTER_PLATFORM_DIRS": "1", "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def with_line(source, name, value):
    """The source with one of the lines changed that a reader is told to change."""
    changed, times = re.subn(rf"^{name} = [^#\n]*", f"{name} = {value!r}  ", source, flags=re.MULTILINE)
    assert times == 1
    return changed


def outputs(notebook):
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def printed(notebook):
    return "".join(output.text for output in outputs(notebook) if output.output_type == "stream")


def check_ran(notebook, pictures):
    """Every code cell ran, in order, without an error or a warning, and the pictures were drawn."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not [output for output in outputs(notebook) if output.output_type == "error"]
    assert not [output.text for output in outputs(notebook) if output.get("name") == "stderr"]
    assert sum("image/png" in output.get("data", {}) for output in outputs(notebook)) == pictures


PICTURES = SOURCE.count("plt.show()")


# What is in the repository


def test_the_notebook_has_the_cells_of_the_source(notebook):
    def cells(book):
        return [(cell.id, cell.cell_type, cell.source) for cell in book.cells]

    assert cells(notebook) == cells(build.read(SOURCE)), "ladder.py has changed: run python docs/notebooks/build.py"


def test_the_notebook_was_run_whole(notebook):
    check_ran(notebook, PICTURES)
    assert PICTURES >= 6
    assert printed(notebook).startswith("text: tinyshakespeare (the usual one)\n")


@pytest.mark.slow  # so that a learner who edits a file of the textbook is not stopped by it; a change that lands is
def test_the_notebook_shows_the_textbook_as_it_is(notebook):
    """`show(Head.forward)` printed what the file holds today."""
    imports = [
        node for node in ast.parse(SOURCE).body if isinstance(node, ast.ImportFrom) and "hornbook" in node.module
    ]
    names = {}
    exec(compile(ast.Module(imports, type_ignores=[]), "ladder.py", "exec"), names)
    shown = re.findall(r"^show\((.*)\)$", SOURCE, re.MULTILINE)
    assert len(shown) >= 10
    for part in shown:
        source = textwrap.dedent(inspect.getsource(eval(part, names))).rstrip()
        assert source in printed(notebook), f"{part} has changed: run python docs/notebooks/build.py"


def test_the_notebook_is_small_and_says_nothing_about_the_machine_that_made_it(notebook):
    assert build.NOTEBOOK.stat().st_size < MOST_BYTES
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert set(notebook.metadata.language_info) == {"name"}
    assert not [cell.metadata for cell in notebook.cells if cell.metadata]
    texts = printed(notebook) + "".join(cell.source for cell in notebook.cells)
    assert not re.findall(r"(?<![\w.)*\]])/\w+/\S+|\b[A-Z]:\\\S+", texts)  # no path from the root of a machine
    assert not re.findall(r"\b20\d\d-\d\d-\d\d\b", texts)  # no date


def test_the_lesson_climbs_the_ladder_in_order():
    headings = re.findall(r"^# ## (?:\d+\. )?(.*)$", SOURCE, re.MULTILINE)
    topics = ["batches", "bigram", "Averaging", "One head", "Several heads", "block", "GPT", "Sampling", "timed"]
    assert [topic for heading, topic in zip(headings, topics, strict=False) if topic not in heading] == []
    assert headings[len(topics) :] == ["Where to go from here", "References"]


@pytest.mark.parametrize(
    "name",
    [
        "Vaswani",
        "Radford",
        "Karpathy, *Let's build GPT",
        "He and others",
        "Ba, Kiros",
        "Srivastava",
        "Tiny Shakespeare",
    ],
)
def test_the_lesson_names_its_references(name):
    assert name in SOURCE[SOURCE.index("## References") :]


def test_the_lesson_has_no_model_of_its_own():
    """What it trains is the textbook's: there is no second, simplified copy."""
    assert not [node.name for node in ast.walk(ast.parse(SOURCE)) if isinstance(node, ast.ClassDef)]


# What happens when it is run


@pytest.fixture
def short(kernel_home):
    """The lesson with few steps, on a short text of one's own that is not in Latin letters."""
    text = kernel_home / "ಪಠ್ಯ.txt"
    text.write_text("ಕನ್ನಡ ನುಡಿ, ಜ್ಞಾನವೇ ಬೆಳಕು.\nto be or not to be\n" * 200, encoding="utf-8", newline="\n")
    return with_line(with_line(SOURCE, "TEXT", str(text)), "STEPS", 2)


@pytest.mark.filterwarnings("ignore:Proactor event loop:RuntimeWarning")  # zmq on Windows
def test_every_cell_runs_in_a_kernel(short, kernel_home):
    """Through Jupyter, with few steps: every equality that the lesson asserts holds, whatever was learned."""
    notebook = build.read(short)
    build.run(notebook, kernel_home)
    check_ran(notebook, PICTURES)


def run_script(source, folder):
    """Run a source with Python, as a script, where no window can be opened."""
    script = folder / "script.py"
    script.write_text(source, encoding="utf-8")
    environment = os.environ | {"MPLBACKEND": "Agg"}
    command = [sys.executable, str(script)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, encoding="utf-8")


@pytest.mark.slow
def test_the_source_runs_as_a_script(short, kernel_home):
    done = run_script(short, kernel_home)
    assert done.returncode == 0, done.stderr
    assert "place by place, and all at once: the same" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "broken"),
    [
        ("shares = triangle / triangle.sum(dim=1, keepdim=True)", "shares = triangle / 6"),
        ("fits = [query @ head.key(x[0, s])", "fits = [query @ head.value(x[0, s])"),
        ("batched.load_state_dict(modular.state_dict())", "pass"),
    ],
)
def test_what_it_asserts_can_fail(short, kernel_home, line, broken):
    """Break one line, and run the sections before the blocks: an assertion of the lesson notices."""
    assert short.count(line) == 1
    lesson = re.sub(r"^show\(.*\)$", "", short.replace(line, broken), flags=re.MULTILINE)
    done = run_script(lesson[: lesson.index("# ## 6.")], kernel_home)
    assert "AssertionError" in done.stderr


OUTCOME = """
import json
last = lambda losses: list(losses.values())[-1]
rungs = {name: last(losses) for name, losses in ladder.items()}
print(json.dumps([guess, letters, counted, rungs, {name: last(losses) for name, losses in broken.items()}]))
"""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Proactor event loop:RuntimeWarning")
def test_the_whole_lesson_shows_what_it_says(kernel_home):
    """As it stands, on hornbook's own source as a text: each rung is lower than the last, and parts are missed."""
    text = kernel_home / "hornbook.txt"
    files = sorted((ROOT / "src").rglob("*.py"))
    text.write_text("".join(file.read_text(encoding="utf-8") for file in files), encoding="utf-8")
    notebook = build.read(with_line(SOURCE, "TEXT", str(text)))
    notebook.cells.append(nbformat.v4.new_code_cell(OUTCOME, id="outcome"))
    build.run(notebook, kernel_home)
    check_ran(notebook, PICTURES)
    guess, letters, counted, rungs, broken = json.loads(notebook.cells[-1].outputs[0].text)
    assert counted < letters < guess
    assert rungs["bigram"] == pytest.approx(counted, abs=0.1)
    losses = list(rungs.values())
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < counted - 0.3
    whole = broken.pop("whole")
    assert broken["no residual stream"] == pytest.approx(letters, abs=0.05)
    for name in ("no residual stream", "no attention", "no norm"):
        assert broken[name] > whole + 0.1, name
