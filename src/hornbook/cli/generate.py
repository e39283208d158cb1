"""hornbook generate"""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from hornbook.cli.options import Json, Seed, Unknown, whole
from hornbook.cli.output import print_json

STOP = "End before this text; may be given again."


def generate(
    run: Path,
    /,
    *,
    prompt: Annotated[str, Parameter(help="What the text begins with.", allow_leading_hyphen=True)] = "",
    tokens: Annotated[int, Parameter(converter=whole, help="How many units to write.")] = 500,
    temperature: Annotated[float, Parameter(help="0: always the likeliest unit; 1: as the model has it.")] = 0.8,
    top_k: Annotated[int | None, Parameter(converter=whole, help="Only from the K likeliest units.")] = None,
    top_p: Annotated[float | None, Parameter(help="Only from the likeliest units that share the chance P.")] = None,
    stop: Annotated[list[str] | None, Parameter(negative="", allow_leading_hyphen=True, help=STOP)] = None,
    seed: Seed = 1,
    samples: Annotated[int, Parameter(converter=whole, help="How many texts.")] = 1,
    unknown: Unknown = "error",
    json: Json = False,
) -> None:
    """Let a run write. Text comes as it is made.

    Example: hornbook generate runs/my-quick --prompt "To be" --tokens 300

    Parameters
    ----------
    run
        The run's folder.
    """
    from hornbook import api
    from hornbook.training.progress import visible

    pieces = api.open_run(run).stream(
        prompt,
        tokens=tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        stop=stop or (),
        seed=seed,
        samples=samples,
        unknown=unknown,
    )
    if json or samples > 1:  # several are written side by side, and shown one after the other
        texts = [prompt] * samples
        for sample, piece in pieces:
            texts[sample] += piece
        if json:
            print_json({"prompt": prompt, "texts": texts})
            return
        for number, text in enumerate(texts, 1):
            print(f"--- {number} ---\n{visible(text) if sys.stdout.isatty() else text}")
        return
    shown = visible if sys.stdout.isatty() else str
    print(shown(prompt), end="", flush=True)
    for _, piece in pieces:
        print(shown(piece), end="", flush=True)
    print()
