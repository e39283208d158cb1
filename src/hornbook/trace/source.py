"""The model of a run or a preset, and its training, as one file: printed from the files that train.

It begins with `program.main`, follows every call, puts in what is known, leaves out what is not in use, and writes down
what is left, in the textbook's order.
"""

from __future__ import annotations

from dataclasses import replace
from textwrap import fill

from hornbook.api import find
from hornbook.presets import Preset
from hornbook.run import Run
from hornbook.runs import log
from hornbook.runs.checkpoints import WEIGHTS
from hornbook.story import describe_model
from hornbook.text import shards
from hornbook.trace.layout import STYLES
from hornbook.trace.merge import merged, shortened
from hornbook.trace.paper import Paper
from hornbook.trace.program import Given
from hornbook.trace.whole import Asked, Program

HEADER = '''
"""{what}
python gpt.py IDS "Once"      train on a text, the folder that `hornbook prepare TEXT --out IDS` wrote; then write
python gpt.py WEIGHTS "Once"  load what a run has learned, its checkpoints/step-…/weights.safetensors; then write
Shapes: B batch, T time (Tq of the queries, Tk of the keys), C channels, H heads, D head size, V vocabulary.
"""
'''

LINES = 250  # how long a printed file may be
STEPS = 2_000  # of a preset that says only how long to train


def print_source(name: str, vocab_size: int = 65) -> str:
    """Return the file for a run's folder or the name of a preset, a preset's for so many different characters.

    Raises `UsageError` where there is neither, and for a part whose source can't be printed.
    """
    found = find(name)
    if isinstance(found, Preset):
        recipe = replace(found.recipe, steps=found.recipe.steps or STEPS, minutes=None)
        dtype = recipe.dtype if recipe.dtype != "auto" else "float32"
        given = Given(1, dtype, "cuda", None, "ids")
        return write_file(Asked(found.model_config(vocab_size), recipe, given), name)
    return write_file(asked_of(found), name)


def asked_of(run: Run) -> Asked:
    """Return what a run's file is printed for: what it was asked, and where its text and weights lie."""
    config = run.config
    recipe = replace(run.recipe, steps=config["steps"], minutes=None)
    ids = shards.cached_folder(config["text"]["ids"])
    step = log.best(run.history).get("step", 0)
    weights = run.folder.checkpoints_path / f"step-{step:08d}" / WEIGHTS
    path = weights if weights.exists() else ids
    given = Given(config["seed"], config["dtype"], config["device"], config["threads"], str(path.absolute()))
    return Asked(run.model_config, recipe, given)


def write_file(asked: Asked, name: str) -> str:
    """Return the file for a config, a recipe and what else is given; `name` is what `hornbook source` was told."""
    whole = Program(asked)
    definitions = {whole.token(each.thing, ""): each for each in whole.settle()}
    texts = merged({token: each.text for token, each in definitions.items()}, whole.things)
    what = f"`hornbook source {name}`: {describe_model(asked.config)}, and its training."
    header = HEADER.format(what=fill(what, 117, break_on_hyphens=False))
    papers = {}
    for style in STYLES:
        if style.short not in papers:
            chosen = shortened(texts, whole.things) if style.short else texts
            papers[style.short] = Paper([replace(definitions[token], text=chosen[token]) for token in chosen], whole)
        file = papers[style.short].write(header, style)
        if file.count("\n") <= LINES:
            break
    return file
