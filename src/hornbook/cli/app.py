"""The verbs and their words, and what happens to an error."""

import os
import sys
from errno import ENOSPC
from importlib.metadata import version

import cyclopts
from cyclopts.exceptions import UnusedCliTokensError
from rich.console import Console

from hornbook.cli import VERBS
from hornbook.cli.console import set_up
from hornbook.errors import UsageError, is_out_of_memory, one_line

READERS = ("train", "plan", "compare", "prepare", "evaluate")  # verbs that "-" is a text for


def make_app() -> cyclopts.App:
    """Make the command line; a verb's file is imported when the verb is used."""
    app = cyclopts.App(
        name="hornbook",
        version=version("hornbook"),
        help="Train, look inside and understand a small GPT, on your own text.",
        help_format="plaintext",
        console=Console(),
        error_console=Console(stderr=True),
        suppress_keyboard_interrupt=False,
    )
    for verb in VERBS:
        app.command(f"hornbook.cli.{verb}:{verb}", name=verb)
    return app


def run(words: list[str]) -> int:
    """Do what the words say and return the exit code: 0, or 2 after one line on what can't be done."""
    set_up()
    if words and words[0] in READERS:  # cyclopts would take "-" for an option
        words = ["/dev/stdin" if word == "-" else word for word in words]
    try:
        make_app()(
            words,
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )
    except UnusedCliTokensError as error:
        return _say(f"too many words: {' '.join(error.unused_tokens or [])}")
    except (UsageError, cyclopts.CycloptsError) as error:
        return _say(str(error))
    except BrokenPipeError:  # whoever read our output has left: nothing is wrong
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        full = "the disk is full: make room and try again"
        return _say(f"{full if error.errno == ENOSPC else error.strerror or error}{where}")
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return _say(
            "not enough memory: try a smaller recipe.batch_size (or a larger recipe.accumulate), model.block_size or "
            "model.n_embd."
        )
    return 0


def _say(line: str) -> int:
    print(f"hornbook: {one_line(' '.join(line.split()))}", file=sys.stderr, flush=True)
    return 2
