"""The verbs and their words, and what happens to an error."""

import os
import sys
from importlib.metadata import version

import cyclopts
from rich.console import Console

from hornbook.cli import VERBS
from hornbook.cli.console import set_up
from hornbook.errors import UsageError

NO_ROOM, INTERRUPTED = 28, 130


def make_app() -> cyclopts.App:
    """Make the command line; a verb's file is imported when the verb is used."""
    app = cyclopts.App(
        name="hornbook",
        version=version("hornbook"),
        help="Train, look inside and understand a small GPT, on your own text.",
        help_format="plaintext",
        console=Console(),
        error_console=Console(stderr=True),
    )
    for verb in VERBS:
        app.command(f"hornbook.cli.{verb}:{verb}", name=verb)
    return app


def run(words: list[str]) -> int:
    """Do what the words say and return the exit code: 0; 2 after one line on what can't be done; 130 after Ctrl-C."""
    set_up()
    try:
        make_app()(words, exit_on_error=False, print_error=False, result_action="return_value")
    except (UsageError, cyclopts.CycloptsError) as error:
        return _say(str(error))
    except KeyboardInterrupt:
        _say("interrupted.")
        return INTERRUPTED
    except BrokenPipeError:  # whoever read our output has left: nothing is wrong
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        if error.errno == NO_ROOM:
            return _say(
                f"the disk is full{where}: make room, then go on with `hornbook resume RUN`; what was saved is whole."
            )
        return _say(f"{error.strerror or error}{where}")
    return 0


def _say(line: str) -> int:
    print(f"hornbook: {' '.join(line.split())}", file=sys.stderr, flush=True)
    return 2
