"""hornbook train"""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from hornbook.cli.options import Json, Seed
from hornbook.cli.output import print_json, teller


def train(
    *text: str,
    preset: Annotated[str, Parameter(help="What to train, and how: `hornbook presets` lists them.")] = "quick",
    out: Annotated[Path | None, Parameter(help="The run's folder [default: runs/TEXT-PRESET, numbered].")] = None,
    set_: Annotated[
        list[str] | None,
        Parameter(
            name="--set", consume_multiple=True, negative="", help="NAME=VALUE: a setting to change, or several."
        ),
    ] = None,
    config: Annotated[Path | None, Parameter(help="A TOML file of settings to change.")] = None,
    seed: Seed = 1,
    steps: Annotated[int | None, Parameter(help="How many updates.")] = None,
    minutes: Annotated[float | None, Parameter(help="How long, in place of --steps; 0.5 is half a minute.")] = None,
    device: Annotated[str, Parameter(help="cpu, cuda, mps; auto takes a GPU where there is one.")] = "auto",
    dtype: Annotated[str | None, Parameter(help="float32, bfloat16 or auto.")] = None,
    json: Json = False,
) -> None:
    """Train a model on a text. Ctrl-C stops and saves; `hornbook resume` goes on.

    Example: hornbook train my.txt --preset quick --minutes 5 --set model.n_layer=6 model.dropout=0.1

    Parameters
    ----------
    text
        Files, globs, or names of texts: tinyshakespeare, shakespeare-works, pydoc. None: the first to be had.
    """
    from hornbook import api, story
    from hornbook.settings import parse_pairs

    run = api.train(
        text or None,
        preset,
        out=out,
        settings=parse_pairs(set_ or []),
        config=config,
        seed=seed,
        steps=steps,
        minutes=minutes,
        device=device,
        dtype=dtype,
        progress=teller(json),
    )
    if json:
        print_json(story.summary(run))
