"""hornbook plan"""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from hornbook.cli.options import Json, check_words, whole
from hornbook.cli.output import print_json, stream_to_tell
from hornbook.cli.train import SET


def plan(
    *text: str,
    preset: Annotated[str, Parameter(help="What to train, and how: `hornbook presets` lists them.")] = "quick",
    set_: Annotated[
        list[str] | None,
        Parameter(name="--set", consume_multiple=True, negative="", help=SET),
    ] = None,
    config: Annotated[Path | None, Parameter(help="A TOML file of settings to change.")] = None,
    steps: Annotated[int | None, Parameter(converter=whole, help="How many updates.")] = None,
    minutes: Annotated[float | None, Parameter(help="How long, in place of --steps; 0.5 is half a minute.")] = None,
    device: Annotated[str, Parameter(help="cpu, cuda, mps; auto takes a GPU where there is one.")] = "auto",
    json: Json = False,
) -> None:
    """Say what `hornbook train` would do with the same words, and why; train nothing.

    Example: hornbook plan my.txt --minutes 5

    Parameters
    ----------
    text
        Files, globs, or names of texts, as for `hornbook train`.
    """
    tell = stream_to_tell(json)
    print("loading PyTorch …", file=tell, flush=True)
    from hornbook import api
    from hornbook.settings import parse_pairs

    check_words("--set", set_)
    found = api.plan(
        text or None,
        preset,
        settings=parse_pairs(set_ or []),
        config=config,
        steps=steps,
        minutes=minutes,
        device=device,
        progress=tell,
    )
    if json:
        print_json(found)
