"""samples.txt: what the model wrote along the way. The log has it all; this is for reading."""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from hornbook.runs.files import encode, write_again
from hornbook.runs.folder import RunFolder


def append_sample(folder: RunFolder, step: int, text: str) -> None:
    """Add one sample, as `write_samples` would (and will, if a program on Windows holds the file just now)."""
    with suppress(PermissionError), folder.samples_path.open("ab") as file:
        file.write(_shown(step, text))


def write_samples(folder: RunFolder, records: Iterable[dict[str, Any]]) -> None:
    """Write the file anew from the log's records: those with a "sample", a text."""
    shown = (_shown(record["step"], record["sample"]) for record in records if "sample" in record)
    write_again(folder.samples_path, b"".join(shown))


def _shown(step: int, text: str) -> bytes:
    return encode(f"----- step {step} -----\n{text}\n\n")
