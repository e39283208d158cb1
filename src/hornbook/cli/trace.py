"""hornbook trace"""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from hornbook.cli.options import Json, Seed, Unknown, whole
from hornbook.cli.output import print_json, stream_to_tell

PROMPT = "The text to follow; empty or left out, it begins as an empty `generate` does."
VOCABULARY = "For a preset: how many different characters the text has [default: 65]."


def trace(
    name: str,
    /,
    *,
    prompt: Annotated[str | None, Parameter(help=PROMPT, allow_leading_hyphen=True)] = None,
    html: Annotated[Path | None, Parameter(help="Write it as a page for a browser, all in one file.")] = None,
    svg: Annotated[Path | None, Parameter(help="Write the architecture as a picture.")] = None,
    vocab_size: Annotated[int | None, Parameter(converter=whole, help=VOCABULARY)] = None,
    temperature: Annotated[float, Parameter(help="0: always the likeliest unit; 1: as the model has it.")] = 0.8,
    seed: Seed = 1,
    unknown: Unknown = "error",
    json: Json = False,
) -> None:
    """Follow a text through a trained model, number by number; or draw the architecture of a preset.

    Example: hornbook trace runs/my-quick --prompt "To be" --html trace.html

    Parameters
    ----------
    name
        The run's folder, or a preset.
    """
    from hornbook import api
    from hornbook.run import Run
    from hornbook.trace import show

    found = api.find(name)
    if isinstance(found, Run):
        shown = show.run(found, prompt or "", vocab_size, temperature, seed, unknown)
    else:
        shown = show.preset(found, prompt, vocab_size)
    tell = stream_to_tell(json)
    written = [(path, make) for path, make in ((html, shown.html), (svg, shown.svg)) if path]
    for path, make in written:
        print(f"{path}: {show.write(path, make()):,} bytes", file=tell)
    if json:
        print_json(shown.json())
    elif not written:
        print("\n".join(shown.lines()), file=sys.stdout)
