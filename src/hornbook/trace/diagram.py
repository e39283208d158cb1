"""An architecture drawn with box characters, at most 80 cells wide."""

from __future__ import annotations

from collections.abc import Iterator

from rich.cells import cell_len

from hornbook.trace.architecture import Add, Architecture, Box, Row, Tap
from hornbook.trace.labels import cut, pad
from hornbook.trace.terminal import WIDTH, wrapped

RIGHT = 46  # where boxes end
STREAM, BRANCH = 2, 8  # where boxes begin
NAME = 17


def diagram(name: str, about: str, plan: Architecture) -> Iterator[str]:
    """Yield the lines of a drawing: data goes from top to bottom, shapes and parameters stand to the right."""
    yield from wrapped(f"{name}: {about}" if about else name)
    yield from wrapped(plan.legend)
    yield ""
    yield _line("   ids", "B × T", "parameters")
    for step in plan.steps:
        if isinstance(step, Box):
            yield from _box(step, "")
            continue
        times = f", {step.times} times" if step.times > 1 else ""
        title = f" block{times}: {step.made_of} "
        yield "═══╪══" + title + "═" * (WIDTH - 6 - cell_len(title))
        taken = ""
        for part in step.steps:
            if isinstance(part, Tap):
                taken = "   │  "
                yield "   ├─────┐"
            elif isinstance(part, Add):
                taken = ""
                yield "   ⊕─────┘"
            else:
                yield from _box(part, taken)
        yield "═══╪" + "═" * (WIDTH - 4)
    yield _line("   ↓", "", "")
    yield _line("   logits: a score for each unit", plan.logits, f"{plan.parameters:,}")
    if plan.adds:
        yield from ("", "⊕ what a branch has made is added to the residual stream, the line on the left")


def _line(drawn: str, shape: str, parameters: str) -> str:
    return (pad(drawn, RIGHT + 1) + pad(shape, 18, right=True) + pad(parameters, 14, right=True)).rstrip()


def _box(box: Box, stream: str) -> Iterator[str]:
    left = BRANCH if box.branch else STREAM
    margin = pad(stream, left)
    inner = RIGHT - left - 4
    yield f"{margin}┌┴{'─' * (inner + 1)}┐"
    for row in box.rows:
        text = pad(cut(describe(row, inner), inner), inner)
        yield _line(f"{margin}│ {text} │", row.shape, f"{row.parameters:,}" if row.parameters else "")
    yield f"{margin}└┬{'─' * (inner + 1)}┘"


def describe(row: Row, width: int) -> str:
    """Write a part's name and the name of its class, in two columns as far as they fit."""
    name = "  " * row.depth + row.name + (f" × {row.times}" if row.times > 1 else "")
    return pad(name, min(NAME, width)) + " " + row.made_of
