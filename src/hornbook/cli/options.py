"""The words that several verbs take."""

from typing import Annotated, Literal

from cyclopts import Parameter

Json = Annotated[
    bool,
    Parameter(name="--json", negative="", help="The result as JSON on standard output, all else on standard error."),
]
Seed = Annotated[int, Parameter(help="What all chance comes from: the same seed, the same result.")]
Unknown = Annotated[
    Literal["error", "skip", "replace"],
    Parameter(help="What to do with a character that the model does not know."),
]
