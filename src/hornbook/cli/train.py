"""hornbook train"""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from hornbook.cli.options import TOKENIZER, Json, Seed, VocabSize, check_words, whole
from hornbook.cli.output import print_json, stream_to_tell

SET = "NAME=VALUE: settings to change; `hornbook presets NAME` lists them."


def train(
    *text: str,
    preset: Annotated[str, Parameter(help="What to train, and how: `hornbook presets` lists them.")] = "quick",
    out: Annotated[Path | None, Parameter(help="The run's folder [default: runs/TEXT-PRESET, numbered].")] = None,
    set_: Annotated[
        list[str] | None,
        Parameter(name="--set", consume_multiple=True, negative="", help=SET),
    ] = None,
    config: Annotated[Path | None, Parameter(help="A TOML file of settings to change.")] = None,
    tokenizer: Annotated[str | None, Parameter(help=TOKENIZER)] = None,
    vocab_size: VocabSize = None,
    seed: Seed = 1,
    steps: Annotated[int | None, Parameter(converter=whole, help="How many updates.")] = None,
    minutes: Annotated[float | None, Parameter(help="How long, in place of --steps; 0.5 is half a minute.")] = None,
    device: Annotated[str, Parameter(help="cpu, cuda, mps; auto takes a GPU where there is one.")] = "auto",
    dtype: Annotated[str | None, Parameter(help="float32, bfloat16 or auto [default: as the preset says].")] = None,
    tensorboard: Annotated[bool, Parameter(negative="", help="Write the log for TensorBoard too.")] = False,
    json: Json = False,
) -> None:
    """Train a model on a text. Ctrl-C stops and saves; `hornbook resume` goes on.

    Example: hornbook train my.txt --minutes 5 --set model.n_layer=6

    Parameters
    ----------
    text
        Files, globs, or names of texts: tinyshakespeare, shakespeare-works, pydoc, kannada. None: the preset's own,
        or the first of these to be had.
    """
    tell = stream_to_tell(json)
    print("loading PyTorch …", file=tell, flush=True)
    from hornbook import api, story
    from hornbook.settings import parse_pairs

    check_words("--set", set_)
    run = api.train(
        text or None,
        preset,
        out=out,
        settings=parse_pairs(set_ or []),
        config=config,
        tokenizer=tokenizer,
        vocab_size=vocab_size,
        seed=seed,
        steps=steps,
        minutes=minutes,
        device=device,
        dtype=dtype,
        tensorboard=tensorboard,
        progress=tell,
    )
    if json:
        print_json(story.summary(run))
