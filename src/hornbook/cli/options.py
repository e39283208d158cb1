"""The words that several verbs take."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from hornbook.errors import UsageError


def whole(kind: Any, tokens: Sequence[Any]) -> int:
    """Read a whole number; 1.5 is none, and is not rounded."""
    word = tokens[0].value
    try:
        return int(word)
    except ValueError:
        raise ValueError(f"{word!r} is not a whole number.") from None


def check_words(option: str, words: Sequence[str] | None) -> None:
    """Raise `UsageError` for an option that stands there without any settings."""
    if words == []:
        raise UsageError(f"{option} needs at least one NAME=VALUE, such as model.n_layer=8.")


TOKENIZER = "What a unit is: characters, graphemes, aksharas (letters as a reader sees them), bytes, bpe, or auto."
VocabSize = Annotated[int | None, Parameter(converter=whole, help="How many units bpe makes.")]

Json = Annotated[
    bool,
    Parameter(
        name="--json",
        negative="",
        show_default=False,
        help="The result as JSON on standard output, all else on standard error.",
    ),
]
Seed = Annotated[
    int, Parameter(converter=whole, help="Where all chance comes from: the same seed gives the same result.")
]
Unknown = Annotated[
    Literal["error", "skip", "replace"],
    Parameter(help="What to do with a character that the model does not know."),
]
