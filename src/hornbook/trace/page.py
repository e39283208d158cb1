"""A trace as one page of HTML: the way from top to bottom, for a projector, a telephone and a screen reader.

What the page shows is written twice from the same data: here, for the last unit, so that it is there without
JavaScript; and by page.js, for the unit, block and head that one chooses. Numbers are rounded once, here.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

import numpy as np

from hornbook.trace.architecture import Architecture
from hornbook.trace.follow import BlockTrace, Inside, Numbers, Trace
from hornbook.trace.labels import language, running, shown
from hornbook.trace.sections import framed, sections
from hornbook.trace.svg import svg

CHANNELS = 8  # of a vector that are shown
TEN = 10


def page(trace: Trace, plan: Architecture) -> str:
    """Return the page of a trace: one file that loads nothing."""
    data = page_data(trace)
    script = _resource("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    return _fill(
        title=escape(f"{shown(trace.text)[-60:].strip()}: a way through a model"),
        script_source=f"sha256-{digest}",
        body="\n".join(sections(trace, data, svg(trace.run, trace.model, plan))),
        script=f'<script type="application/json" id="data">{_json(data)}</script>\n<script>{script}</script>',
    )


def architecture_page(name: str, about: str, plan: Architecture) -> str:
    """Return a page with the drawing of an architecture alone."""
    title = escape(running(f"{name}: the architecture"))
    body = f'<main id="way"><h1>{title}</h1>{framed(svg(name, about, plan))}</main>'
    return _fill(title=title, script_source="none", body=body, script="")


def page_data(trace: Trace) -> dict[str, Any]:
    """Return what the page's script draws from: rounded as it is shown."""
    inside = trace.inside
    return {
        "lang": language(trace.text),
        "labels": trace.labels,
        "ids": inside.ids.tolist(),
        "embedding": _embedding(inside),
        "stream": list(_stream(inside)),
        "blocks": [{"weights": _bytes(block)} for block in inside.blocks],
        "next": [_next(trace, place) for place in range(len(inside.ids))],
        "followers": [[following, rank, rounded(p, 4)] for following, rank, p in trace.followers()],
    }


def rounded(x: float | np.float64, digits: int) -> float:
    """Round as a number is shown; never -0."""
    return round(float(x), digits) + 0.0


def _embedding(inside: Inside) -> dict[str, Any] | None:
    embedding = inside.embedding
    if embedding is None:
        return None
    columns = [*(numbers for _, numbers in embedding.summands), embedding.whole]
    return {
        "summands": [name for name, _ in embedding.summands],
        "part": embedding.part,
        "channels": embedding.whole.shape[1],
        "columns": [[[rounded(x, 3) for x in row] for row in column[:, :CHANNELS]] for column in columns],
        "norms": [[rounded(x, 3) for x in np.linalg.norm(column, axis=1)] for column in columns],
    }


def _stream(inside: Inside) -> Iterator[dict[str, Any]]:
    """Yield the sizes of vectors along the way, a line each."""

    def line(name: str, norms: Numbers, added: bool = False) -> dict[str, Any]:
        return {"name": name, "added": added, "norms": [rounded(x, 2) for x in norms]}

    if inside.blocks:
        yield line("into block 1", inside.blocks[0].before)
    for number, block in enumerate(inside.blocks, 1):
        for branch in block.branches:
            yield line(f"{branch.name} {'adds' if branch.added else 'hands on'}", branch.norms, branch.added)
        yield line(f"out of block {number}", block.after)
    if inside.norm:
        yield line("after the last norm", inside.norm[2])


def _bytes(block: BlockTrace) -> list[str] | None:
    """Pack each head's lower triangle, row after row, a byte a weight (`weight_of` unpacks one)."""
    if block.weights is None:
        return None
    rows, columns = np.tril_indices(block.weights.shape[1])
    weights = block.weights[:, rows, columns]  # (H, T·(T+1)/2)
    packed = np.where(weights < 0.1715, np.rint(1000 * weights), np.rint(100 * weights) + 155).astype(np.uint8)
    return [base64.b64encode(head.tobytes()).decode("ascii") for head in packed]


def _next(trace: Trace, place: int) -> dict[str, Any]:
    """Return the ten likeliest units after a place, and what all probabilities sum to."""
    ids = trace.likeliest(place, TEN)
    p = trace.inside.probabilities[place]
    return {
        "ids": ids.tolist(),
        "logits": [rounded(trace.inside.logits[place, i], 2) for i in ids],
        "p": [rounded(p[i], 4) for i in ids],
        "chances": [rounded(x, 4) for x in trace.chances_at(place)[ids]],
        "ten": rounded(p[ids].sum(), 4),
        "rest": rounded(np.delete(p, ids).sum(), 4),
        "all": rounded(p.sum(), 6),
    }


def _json(data: dict[str, Any]) -> str:
    """Write data so that nothing in it can end the script that it stands in."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for c in "<>&\u2028\u2029":
        text = text.replace(c, f"\\u{ord(c):04x}")
    return text


def _resource(name: str) -> str:
    return (files("hornbook.trace") / name).read_text(encoding="utf-8")


def _fill(**words: str) -> str:
    return Template(_resource("page.html")).substitute(style=_resource("page.css"), **words)
