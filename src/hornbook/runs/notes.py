"""notes.md: begun for the user, who writes on. What stands there is never rewritten, only added to."""

import os
from collections.abc import Iterable

from hornbook.runs.files import encode
from hornbook.runs.folder import RunFolder

FOREWORD = "These notes are yours: write anywhere. hornbook only ever adds at the end.\n"
EXPECTED = "What do you think will come out, and why? Write it here before you look."


def begin(folder: RunFolder, lines: Iterable[str]) -> None:
    """Begin the notes with a title, what was asked (a bullet a line) and room for what the user expects."""
    _append(folder, _section("Asked", lines) + _section("Expected", [EXPECTED]))


def add(folder: RunFolder, title: str, lines: Iterable[str]) -> None:
    """Add a section, a bullet a line, at the end; if the notes are gone, they begin anew with it."""
    _append(folder, _section(title, lines))


def _section(title: str, lines: Iterable[str]) -> str:
    return f"\n## {title}\n\n" + "".join(f"- {line}\n" for line in lines)


def _append(folder: RunFolder, text: str) -> None:
    with folder.notes_path.open("ab+") as file:  # whatever the position, this writes at the end
        if file.tell() == 0:
            text = f"# {folder.path.resolve().name}\n\n{FOREWORD}{text}"
        else:
            file.seek(-1, os.SEEK_END)
            text = text if file.read(1) == b"\n" else "\n" + text
        file.write(encode(text))
        file.flush()
        os.fsync(file.fileno())
