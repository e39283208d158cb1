"""hornbook evaluate"""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from hornbook.cli.options import Json, Unknown, whole
from hornbook.cli.output import print_json

SET = "text.encoding=NAME or text.field=NAME: how --text is read [default: as the run's own text was]."


def evaluate(
    run: Path,
    /,
    *,
    text: Annotated[
        str | None, Parameter(help="Another text to score, whole, in place of the validation text.")
    ] = None,
    random_batches: Annotated[
        int | None, Parameter(converter=whole, help="Also the field's usual estimate: the mean of N random batches.")
    ] = None,
    unknown: Unknown = "error",
    set_: Annotated[list[str] | None, Parameter(name="--set", consume_multiple=True, negative="", help=SET)] = None,
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
    from hornbook.errors import UsageError
    from hornbook.settings import parse_pairs, read_settings
    from hornbook.text.settings import TextSettings

    opened = api.open_run(run)
    said = parse_pairs(set_ or [])
    if said.keys() - {"text.encoding", "text.field"} or (said and not text):
        raise UsageError("--set says how --text is read, by text.encoding and text.field; all else is the run's own.")
    changed = read_settings("text", said, TextSettings).reading
    opened.reading |= {name: value for name, value in changed.items() if f"text.{name}" in said}
    score = opened.evaluate(text, unknown=unknown, progress=sys.stderr)
    normal = opened.tokenizer.normal
    scored = {"step": opened.checkpoint.step, "text": text or "validation", "normal": normal or "none"}
    result = score.to_json() | scored
    if text and unknown != "error" and opened.tokenizer.rare == "keep":
        result["unknown_characters"] = opened.count_unknown(text)
    if random_batches is not None:
        result["val_loss_random_batches"] = opened.evaluate_random(random_batches, text, unknown=unknown)
    if json:
        print_json(result)
        return
    counted = f"{score.characters:,} characters{normal and f' of the text in {normal}'}"
    print(f"{score.nats_per_character:.4f} nats a character ({counted}, step {result['step']:,})")
    if result.get("unknown_characters"):
        print(f"{result['unknown_characters']:,} characters that the model does not know: {unknown}; so the figures")
        print("are not of this text as it stands, and can't be compared with others of it")
    if score.unknown:
        share = f"{score.unknown / score.units:.2%} of the units are unknown, and each counts as one character"
        print(f"{share}: the figures can't be compared with those of a run that knows them")
    print(f"{score.bits_per_character:.4f} bits a character, {score.bits_per_byte:.4f} bits a byte")
    if random_batches is not None:
        print(f"{result['val_loss_random_batches']:.4f} mean of {random_batches} random batches")
