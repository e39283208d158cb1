"""An architecture as an SVG picture: text stays text, colours follow light and dark, the same model the same bytes."""

from __future__ import annotations

from html import escape

from hornbook.trace.architecture import Add, Architecture, Box, Group, Row, Tap
from hornbook.trace.labels import running
from hornbook.trace.terminal import wrapped

WIDE, MARGIN = 720, 20
STREAM = 44  # where the stream runs down
LEFT, BRANCH, RIGHT = 24, 88, 440  # where boxes begin, on the stream and on a branch, and end
SHAPE, COUNT = 584, 694  # where numbers end
ROW, GAP = 24, 14
LETTERS = 96  # in a line of text

STYLE = """
.hb { font: 14px system-ui, "Segoe UI", sans-serif; fill: #1f1b14 }
.hb .paper { fill: #fdfbf6; stroke: #ddd3bf }
.hb .box { fill: #ffffff; stroke: #8a7f6c }
.hb .group { fill: #f4eee0; stroke: #c9bda4; stroke-dasharray: 5 4 }
.hb .line { fill: none; stroke: #0b5394; stroke-width: 2 }
.hb .sum { fill: #fdfbf6; stroke: #0b5394; stroke-width: 2 }
.hb .title { font-size: 18px; font-weight: 650 }
.hb .part { font-weight: 600 }
.hb .soft { fill: #5d5444 }
.hb .number { text-anchor: end; font-variant-numeric: tabular-nums }
@media (prefers-color-scheme: dark) {
.hb { fill: #efe9dc }
.hb .paper { fill: #1b1915; stroke: #45403a }
.hb .box { fill: #26231e; stroke: #948a78 }
.hb .group { fill: #211e19; stroke: #6d6557 }
.hb .line { stroke: #8fc1f0 }
.hb .sum { fill: #1b1915; stroke: #8fc1f0 }
.hb .soft { fill: #b9af9c }
}
""".strip()


def svg(name: str, about: str, plan: Architecture) -> str:
    """Return a drawing as one SVG element, with a title and a description for those who don't see it."""
    pen = _Pen(name)
    for line in (*(wrapped(about, width=LETTERS) if about else ()), *wrapped(plan.legend, width=LETTERS)):
        pen.text(MARGIN, line, "soft")
        pen.y += 20
    pen.y += 12
    pen.text(STREAM - 12, "ids", "part")
    pen.number(SHAPE, "B × T", "soft")
    pen.number(COUNT, "parameters", "soft")
    pen.y += 10
    for step in plan.steps:
        if isinstance(step, Box):
            pen.box(step)
        else:
            pen.group(step)
    pen.wire(20, arrow=True)
    pen.y += 20
    pen.text(STREAM - 12, "logits: a score for each unit", "part")
    pen.number(SHAPE, plan.logits, "")
    pen.number(COUNT, f"{plan.parameters:,}", "part")
    return pen.drawing(f"{name}: the architecture", f"{about} {plan.legend}. {described(plan)}".strip())


def described(plan: Architecture) -> str:
    """Say in words what the drawing shows."""

    def say(step: Box | Group | Tap | Add) -> str:
        if isinstance(step, Tap):
            return "a branch begins"
        if isinstance(step, Add):
            return "it is added to the stream"
        if isinstance(step, Box):
            return f"{step.rows[0].name} ({step.rows[0].made_of})"
        return f"{step.times} × {step.made_of} [{', '.join(map(say, step.steps))}]"

    return f"From top to bottom: ids, {', '.join(map(say, plan.steps))}, logits."


class _Pen:
    """Draws from top to bottom: `y` is where the next thing goes."""

    def __init__(self, title: str) -> None:
        self.under: list[str] = []
        self.over: list[str] = []
        self.y = MARGIN + 16
        self.text(MARGIN, title, "title")
        self.y += 24

    def text(self, x: int, text: str, kind: str) -> None:
        self.over.append(f'<text x="{x}" y="{self.y}" class="{kind}">{escape(running(text))}</text>')

    def number(self, x: int, text: str, kind: str) -> None:
        self.text(x, text, f"number {kind}".strip())

    def wire(self, length: int, x: int = STREAM, arrow: bool = False) -> None:
        """Go on downwards, from under the text before."""
        head = " m-4 -6 l4 6 l4 -6" if arrow else ""
        self.under.append(f'<path class="line" d="M{x} {self.y} v{length}{head}"/>')
        self.y += length

    def box(self, box: Box, x: int = STREAM) -> None:
        left, height = (BRANCH if box.branch else LEFT), ROW * len(box.rows) + 6
        top = self.y + GAP
        self.under.append(f'<path class="line" d="M{x} {self.y} V{top + height}"/>')
        self.over.append(f'<rect class="box" x="{left}" y="{top}" width="{RIGHT - left}" height="{height}" rx="6"/>')
        self.y = top + 20
        for row in box.rows:
            self.row(row, left + 14 + 18 * row.depth)
        self.y = top + height

    def row(self, row: Row, x: int) -> None:
        times = f" × {row.times}" if row.times > 1 else ""
        self.text(x, row.name + times, "part" if row.depth == 0 else "")
        self.over.append(f'<text x="{RIGHT - 14}" y="{self.y}" class="number soft">{escape(row.made_of)}</text>')
        self.number(SHAPE, row.shape, "")
        if row.parameters:
            self.number(COUNT, f"{row.parameters:,}", "" if row.depth == 0 else "soft")
        self.y += ROW

    def group(self, group: Group) -> None:
        top = self.y + GAP
        self.under.append(f'<path class="line" d="M{STREAM} {self.y} V{top + 30}"/>')
        self.y = top + 22
        self.text(STREAM + 16, f"block{f' × {group.times}' if group.times > 1 else ''}: {group.made_of}", "part")
        self.y += 8
        branch_from = 0
        for step in group.steps:
            if isinstance(step, Box):
                self.box(step, BRANCH + 24 if step.branch else STREAM)
            elif isinstance(step, Tap):
                branch_from = self.y + 12
                x = BRANCH + 24
                self.under.append(f'<path class="line" d="M{STREAM} {self.y} v12 H{x - 6} q6 0 6 6"/>')
                self.y = branch_from + 6
            else:
                x, end = BRANCH + 24, self.y + 20
                self.under.append(f'<path class="line" d="M{x} {self.y} V{end - 6} q0 6 -6 6 H{STREAM + 10}"/>')
                self.under.append(f'<path class="line" d="M{STREAM} {branch_from} V{end}"/>')
                self.over.append(f'<circle class="sum" cx="{STREAM}" cy="{end}" r="9"/>')
                self.over.append(f'<path class="line" d="M{STREAM - 5} {end} h10 m-5 -5 v10"/>')
                self.y = end + 9
        self.wire(GAP)
        size = f'width="{WIDE - 2 * (LEFT - 12)}" height="{self.y - top}"'
        self.under.insert(0, f'<rect class="group" x="{LEFT - 12}" y="{top}" {size} rx="8"/>')

    def drawing(self, title: str, description: str) -> str:
        high = self.y + MARGIN
        size = f'viewBox="0 0 {WIDE} {high}" width="{WIDE}" height="{high}"'
        lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="hb" {size} role="img">',
            f"<title>{escape(running(title))}</title>",
            f"<desc>{escape(running(description))}</desc>",
            f"<style>{STYLE}</style>",
            f'<rect class="paper" x="0.5" y="0.5" width="{WIDE - 1}" height="{high - 1}" rx="10"/>',
        ]
        return "\n".join([*lines, *self.under, *self.over, "</svg>"])
