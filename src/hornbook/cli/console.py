"""Standard output and standard error that hold any script, on any system, also when piped."""

import io
import os
import sys


def set_up() -> None:
    """Make piped output UTF-8; let a console that can't show a character show an escape. Never a traceback.

    A terminal keeps its own encoding, and so does a pipe for which PYTHONIOENCODING names one.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            piped = not stream.isatty() and not os.environ.get("PYTHONIOENCODING")
            stream.reconfigure(encoding="utf-8" if piped else None, errors="backslashreplace")
