"""hornbook prepare"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from hornbook.cli.options import TOKENIZER, Json, VocabSize
from hornbook.cli.output import print_json, stream_to_tell

if TYPE_CHECKING:
    from hornbook.text.corpora import Source
    from hornbook.text.settings import TextSettings

LOOK = "Write nothing; say what the text is, before a model sees it, and compare the tokenizers on it."
SET = "NAME=VALUE: how the text is read and cut; `hornbook presets quick` lists all that begin with text."


def prepare(
    *text: str,
    out: Annotated[Path | None, Parameter(help="The folder to write.")] = None,
    tokenizer: Annotated[str | None, Parameter(help=f"{TOKENIZER} [default: characters]")] = None,
    vocab_size: VocabSize = None,
    split: Annotated[float | None, Parameter(help="The share that is to train on [default: 0.9].")] = None,
    set_: Annotated[list[str] | None, Parameter(name="--set", consume_multiple=True, negative="", help=SET)] = None,
    look: Annotated[bool, Parameter(negative="", show_default=False, help=LOOK)] = False,
    html: Annotated[Path | None, Parameter(help="With --look: write it as a page for a browser.")] = None,
    json: Json = False,
) -> None:
    """Write a text as ids, in the form that training keeps them in: train.bin, val.bin and header.json.

    Example: hornbook prepare my.txt --out prepared

    Parameters
    ----------
    text
        Files, folders, globs, names of texts, or - for what is piped in.
    """
    from dataclasses import asdict

    from hornbook.errors import UsageError
    from hornbook.settings import parse_pairs, read_settings
    from hornbook.text import corpora, shards
    from hornbook.text.files import shown
    from hornbook.text.settings import TextSettings
    from hornbook.training.progress import Progress

    if html and not look:
        raise UsageError("--html goes with --look.")
    if out and look:
        raise UsageError("--look writes no ids: leave out --out, or --look.")
    tell = Progress(sys.stderr)
    options = {"text.tokenizer": tokenizer, "text.vocab_size": vocab_size, "text.split": split}
    pairs = parse_pairs(set_ or [])
    if twice := [name for name in pairs if options.get(name) is not None]:
        raise UsageError(f"{twice[0]} is given twice, as an option and with --set: leave one out.")
    said = pairs | {name: value for name, value in options.items() if value is not None}
    own = ("text.tokenizer", "text.vocab_size", "text.min_count", "text.rare", "text.split_by", "text.split_seed")
    if look and (ignored := [name for name in own if name in said]):
        raise UsageError(f"--look compares all tokenizers on all units, split by position: leave out {ignored[0]}.")
    settings = read_settings("text", said, TextSettings)
    if look:
        source = corpora.resolve(text)
        if source.prepared:
            raise UsageError(f"{shown(source.prepared)} is prepared text: name the text itself to look at it.")
        if html and html.exists() and any(map(html.samefile, source.paths)):
            raise UsageError(f"--html would write over the text itself, {shown(html)}: name another file.")
        _look(source, settings, html, json)
        return
    if out is None:
        raise UsageError("say where to write: --out FOLDER; or look at the text first: --look.")
    source = corpora.resolve(text)
    try:
        data = shards.prepare(source, settings, folder=out, progress=tell.bar("reading the text"))
    finally:
        tell.clear()
    result = {
        "folder": str(out),
        "train": len(data.train),
        "val": len(data.val),
        "tokenizer": data.tokenizer.name,
        "vocab_size": data.tokenizer.vocab_size,
        "dtype": data.train.dtype.name,
        "leaked": data.leaked,
        "unknown": data.unknown,
        **asdict(data.text),
    }
    if json:
        print_json(result)
    else:
        print(
            f"{shown(out)}: {len(data.train):,} ids to train on, {len(data.val):,} to validate on, "
            f"{data.train.dtype.name}, {data.tokenizer.vocab_size:,} different {data.tokenizer.name}; "
            f"{data.leaked:.2%} of the text to validate on stands in the text to train on too"
            + (f", and {data.unknown:.2%} of its ids are unknown" if data.tokenizer.rare == "unknown" else "")
        )


def _look(source: "Source", settings: "TextSettings", html: Path | None, as_json: bool) -> None:
    from dataclasses import asdict

    from hornbook.model.count import count_config, total
    from hornbook.presets import PRESETS
    from hornbook.text import look_page
    from hornbook.text.look import look
    from hornbook.text.normal import normalised
    from hornbook.text.reading import read_chunks
    from hornbook.trace.show import write
    from hornbook.training.progress import Progress

    tell = Progress(sys.stderr)

    def chunks() -> Iterator[str]:
        read = read_chunks(source.paths, progress=tell.bar("reading the text"), **settings.reading)
        return normalised(read, settings.fitting.normal)

    try:
        seen = look(chunks, settings.split, lambda what: tell.now(f"{what} …"))
    finally:
        tell.clear()
    units = next((row.units for row in seen.tokenizers if row.tokenizer == seen.advised), 2)
    sizes = {name: total(count_config(preset.model_config(max(2, units)))) for name, preset in PRESETS.items()}
    if html:
        size = write(html, look_page.page(seen, source.label, sizes))
        print(f"{html}: {size:,} bytes", file=stream_to_tell(as_json))
    if as_json:
        print_json(asdict(seen))
    elif not html:
        Progress(sys.stdout).say("\n".join(look_page.terminal(seen, sizes)))
