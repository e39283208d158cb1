"""hornbook generate"""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from hornbook.cli.options import Json, Seed, Unknown, whole
from hornbook.cli.output import print_json

MIN_P = "Only from the units at least P times as probable as the likeliest."
REPETITION = "Above 1: units that the model still sees in the text come less often."
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
    min_p: Annotated[float | None, Parameter(help=MIN_P)] = None,
    repetition_penalty: Annotated[float | None, Parameter(help=REPETITION)] = None,
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

    opened = api.open_run(run)
    pieces = opened.stream(
        prompt,
        tokens=tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        repetition_penalty=repetition_penalty,
        stop=stop or (),
        seed=seed,
        samples=samples,
        unknown=unknown,
    )
    if unknown != "error" and opened.tokenizer.rare == "keep" and (n := opened.count_unknown_in(prompt)):
        print(f"hornbook: {n} characters of the prompt that the model does not know: {unknown}", file=sys.stderr)
    shown = visible if sys.stdout.isatty() else str
    texts = [prompt] * samples
    if not json:
        print(("--- 1 ---\n" if samples > 1 else "") + shown(prompt), end="", flush=True)
    for sample, piece in pieces:  # all are written side by side; the first can be watched
        texts[sample] += piece
        if sample == 0 and not json:
            print(shown(piece), end="", flush=True)
    if json:
        print_json({"prompt": prompt, "texts": texts})
        return
    print()
    for number, text in enumerate(texts[1:], 2):
        print(f"--- {number} ---\n{shown(text)}")
