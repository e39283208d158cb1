"""hornbook evaluate"""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from hornbook.cli.options import Json, Unknown
from hornbook.cli.output import print_json


def evaluate(
    run: Path,
    /,
    *,
    text: Annotated[
        str | None, Parameter(help="Another text to score, whole, in place of the validation text.")
    ] = None,
    random_batches: Annotated[
        int, Parameter(help="Also the field's usual estimate: the mean of N random batches.")
    ] = 0,
    unknown: Unknown = "error",
    json: Json = False,
) -> None:
    """Score a run exactly: every character but the first predicted once, in windows that don't overlap.

    Example: hornbook evaluate runs/my-quick --json

    Parameters
    ----------
    run
        The run's folder.
    """
    from hornbook import api

    opened = api.open_run(run)
    score = opened.evaluate(text, unknown=unknown, progress=sys.stderr)
    result = {**score.to_json(), "step": opened.checkpoint.step, "text": text or "validation"}
    if random_batches:
        result["val_loss_random_batches"] = opened.evaluate_random(random_batches, text, unknown=unknown)
    if json:
        print_json(result)
        return
    print(f"{score.nats_per_character:.4f} nats a character ({score.characters:,} characters, step {result['step']:,})")
    print(f"{score.bits_per_character:.4f} bits a character, {score.bits_per_byte:.4f} bits a byte")
    if random_batches:
        print(f"{result['val_loss_random_batches']:.4f} mean of {random_batches} random batches")
