"""Make ladder.ipynb from ladder.py: run every cell in a fresh kernel, and keep what it prints and draws.

`python docs/notebooks/build.py` takes about two minutes, and needs `pip install -e '.[test]'`. The text is the one that
the notebook takes by itself. All figures but the clock's come out the same again, on the same machine.
"""

import os
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

SOURCE = Path(__file__).with_name("ladder.py")
NOTEBOOK = SOURCE.with_suffix(".ipynb")


def read(text: str) -> nbformat.NotebookNode:
    """Turn the plain source into a notebook without outputs, and with nothing in it that differs from time to time."""
    notebook = jupytext.reads(text, fmt="py:percent")
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for number, cell in enumerate(notebook.cells):
        cell["id"], cell["metadata"] = f"cell-{number:02}", {}
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def run(notebook: nbformat.NotebookNode, folder: Path) -> None:
    """Run all cells in a kernel that stands in `folder`, and fill in their outputs. Raises the first cell's error."""
    about = notebook.metadata.copy()
    client = NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
    )
    # MPLBACKEND would send the pictures elsewhere than into the notebook
    client.execute(env={name: value for name, value in os.environ.items() if name != "MPLBACKEND"})
    notebook.metadata = about  # without the kernel's version


def main() -> None:
    """Write the notebook anew."""
    notebook = read(SOURCE.read_text(encoding="utf-8"))
    run(notebook, SOURCE.parent)
    NOTEBOOK.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8", newline="\n")
    print(f"{NOTEBOOK}: {len(notebook.cells)} cells, {NOTEBOOK.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
