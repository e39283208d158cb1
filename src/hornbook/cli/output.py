"""How a verb hands over its result."""

import json
import sys
from typing import Any, TextIO


def stream_to_tell(as_json: bool) -> TextIO:
    """Return where to tell what is going on: with --json standard output is for the result alone."""
    return sys.stderr if as_json else sys.stdout


def print_json(result: dict[str, Any]) -> None:
    """Print a result as one JSON object: as UTF-8, or where the console can't, with JSON's own escapes."""
    can = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    print(json.dumps(result, ensure_ascii=not can, indent=2), flush=True)
