"""hornbook prepare"""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from hornbook.cli.options import TOKENIZER, Json
from hornbook.cli.output import print_json


def prepare(
    *text: str,
    out: Annotated[Path | None, Parameter(help="The folder to write.")] = None,
    tokenizer: Annotated[str, Parameter(help=TOKENIZER)] = "characters",
    split: Annotated[float, Parameter(help="The share at the beginning that is to train on.")] = 0.9,
    json: Json = False,
) -> None:
    """Write a text as ids, in the form that training keeps them in: train.bin, val.bin and header.json.

    Example: hornbook prepare my.txt --out prepared

    Parameters
    ----------
    text
        Files, globs, or names of texts.
    """
    from dataclasses import asdict

    from hornbook.errors import UsageError
    from hornbook.text import corpora, shards
    from hornbook.training.progress import Progress

    if out is None:
        raise UsageError("say where to write: --out FOLDER.")
    tell = Progress(sys.stderr)
    source = corpora.resolve(text)
    try:
        data = shards.prepare(source, tokenizer, split, folder=out, progress=tell.bar("reading the text"))
    finally:
        tell.clear()
    result = {
        "folder": str(out),
        "train": len(data.train),
        "val": len(data.val),
        "tokenizer": data.tokenizer.name,
        "vocab_size": data.tokenizer.vocab_size,
        "dtype": data.train.dtype.name,
        **asdict(data.text),
    }
    if json:
        print_json(result)
    else:
        print(
            f"{out}: {len(data.train):,} ids to train on, {len(data.val):,} to validate on, {data.train.dtype.name}, "
            f"{data.tokenizer.vocab_size:,} different {data.tokenizer.name}"
        )
