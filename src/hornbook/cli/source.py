"""hornbook source"""

from typing import Annotated

from cyclopts import Parameter

from hornbook.cli.options import Json, whole
from hornbook.cli.output import print_json


def source(
    name: str,
    /,
    *,
    vocab_size: Annotated[int, Parameter(converter=whole, help="For a preset: how many characters there are.")] = 65,
    json: Json = False,
) -> None:
    """Print the model of a run or a preset, and its training, as one file that needs only torch and numpy.

    Example: hornbook source runs/my-quick > gpt.py

    Parameters
    ----------
    name
        A run's folder, or a preset.
    """
    from hornbook.trace.source import print_source

    text = print_source(name, vocab_size)
    if json:
        print_json({"name": name, "lines": text.count("\n"), "source": text})
    else:
        print(text, end="")
