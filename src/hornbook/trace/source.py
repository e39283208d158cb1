"""The model of a run or a preset, and its training, as one file: printed from the files that train.

It is made by partial evaluation, on syntax trees that keep their comments (`trees`):
1. `whole` begins with `program.main`, follows every call, and reads what is called from where it stands (`origins`).
2. `rewrite` puts in what is known about the model (`values`) and leaves out what then does nothing; `sweep` takes away
   what nobody asks for any more; so on in turn, until nothing changes.
3. `merge` writes definitions that only hand on to one other into it.
4. `paper` finds names, imports and the order of reading; `writing` writes it all down, as roomy as the lines allow.
"""

from __future__ import annotations

from dataclasses import replace
from textwrap import fill

from hornbook.api import find
from hornbook.errors import UsageError
from hornbook.presets import Preset
from hornbook.run import Run
from hornbook.runs import log
from hornbook.runs.checkpoints import WEIGHTS
from hornbook.story import describe_model
from hornbook.text import shards
from hornbook.trace.merge import merged
from hornbook.trace.paper import Paper
from hornbook.trace.program import Given
from hornbook.trace.whole import Asked, Program
from hornbook.trace.writing import STYLES, TIGHT

HEADER = '''
"""{what}
python gpt.py IDS "Once"      train on a text, the folder that `hornbook prepare TEXT --out IDS` wrote; then write
python gpt.py WEIGHTS "Once"  load what a run has learned, its checkpoints/step-…/weights.safetensors; then write
Shapes: B batch, T time (Tq of the queries, Tk of the keys), C channels, H heads, D head size, V vocabulary."""
'''

LINES = 250  # how long a printed file may be
STEPS = 2_000  # of a preset that says only how long to train


def print_source(name: str, vocab_size: int = 65) -> str:
    """Return the file for a run's folder or the name of a preset, a preset's for so many different characters.

    Raises `UsageError` where there is neither, for a part whose source can't be printed, and for a run by bytes.
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
    if "bytes" in (run.tokenizer.name, run.tokenizer.rare):
        raise UsageError(f"{run.path} has units of single bytes, which a printed file can't write as text yet.")
    recipe = replace(run.recipe, steps=config["steps"], minutes=None)
    ids = shards.cached_folder(config["text"]["ids"])
    step = log.best(run.history).get("step", 0)
    path = next((saved.path / WEIGHTS for saved in run.checkpoints if saved.step == step), ids)
    given = Given(config["seed"], config["dtype"], config["device"], config["threads"], str(path.absolute()))
    return Asked(run.model_config, recipe, given)


def write_file(asked: Asked, name: str) -> str:
    """Return the file for a config, a recipe and what else is given; `name` is what `hornbook source` was told."""
    program = Program(asked)
    definitions = {program.tokens[each.thing]: each for each in program.rewritten()}
    what = f"`hornbook source {name}`: {describe_model(asked.config)}, and its training."
    header = HEADER.format(what=fill(what, 117, break_on_hyphens=False))
    for style in STYLES:
        if style in (STYLES[0], TIGHT):
            trees = merged({token: each.node for token, each in definitions.items()}, style == TIGHT)
            paper = Paper({token: replace(definitions[token], node=trees[token]) for token in trees}, program)
        file = paper.write(header, style)
        if file.count("\n") <= LINES:
            break
    return file
