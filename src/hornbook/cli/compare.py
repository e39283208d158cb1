"""hornbook compare"""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from hornbook.cli.options import Json, check_words, whole
from hornbook.cli.output import print_json, stream_to_tell

VARY = "NAME=VALUE,VALUE,…: a variant for each value, or for each combination of several --vary."
TARGET = "Also tell when each variant's evaluations first came down to this loss."


def compare(
    *variants: str,
    text: Annotated[
        str | None, Parameter(help="A file, a glob or the name of a text [default: the presets' own].")
    ] = None,
    preset: Annotated[str, Parameter(help="What variants change that name no preset.")] = "quick",
    vary: Annotated[list[str] | None, Parameter(consume_multiple=True, negative="", help=VARY)] = None,
    set_: Annotated[
        list[str] | None,
        Parameter(name="--set", consume_multiple=True, negative="", help="NAME=VALUE: settings of all variants."),
    ] = None,
    seeds: Annotated[int, Parameter(converter=whole, help="How many runs of each variant, with the seeds 1, 2, …")] = 3,
    steps: Annotated[int | None, Parameter(converter=whole, help="How many updates in each run.")] = None,
    minutes: Annotated[float | None, Parameter(help="How long each run takes, in place of --steps.")] = None,
    target: Annotated[float | None, Parameter(help=TARGET)] = None,
    out: Annotated[Path | None, Parameter(help="Where runs and pictures are kept [default: runs/compare].")] = None,
    device: Annotated[str, Parameter(help="cpu, cuda, mps; auto takes a GPU where there is one.")] = "auto",
    json: Json = False,
) -> None:
    """Train variants with the same seeds, and say whether a change helped or was luck. What is done is kept.

    Example: hornbook compare quick model.mlp=nothing --steps 500

    Parameters
    ----------
    variants
        Presets, TOML files, settings, or several joined by commas: quick,model.dropout=0.2. The others are compared
        with the first.
    """
    tell = stream_to_tell(json)
    print("loading PyTorch …", file=tell, flush=True)
    from hornbook.lab import table
    from hornbook.lab.compare import compare as compare_variants
    from hornbook.settings import parse_pairs

    check_words("--set", set_)
    check_words("--vary", vary)
    found = compare_variants(
        *variants,
        text=text,
        preset=preset,
        vary=vary or (),
        settings=parse_pairs(set_ or []),
        seeds=seeds,
        steps=steps,
        minutes=minutes,
        target=target,
        out=out,
        device=device,
        progress=tell,
    )
    print(f"\n{table.tell(found)}\n\nthe same as a picture: {found.pictures[-1]}", file=tell, flush=True)
    if json:
        print_json(found.to_json())
