"""The page of a trace, section by section, as it is read without JavaScript: for the last unit."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from html import escape
from typing import Any

from hornbook.trace.follow import Trace
from hornbook.trace.labels import running, shown

MANY = 48  # units: more of them are drawn smaller
LONG = 120  # characters: a longer text is shown in a box that scrolls
NEEDS_SCRIPT = "data-script hidden"


def sections(trace: Trace, data: dict[str, Any], drawing: str) -> Iterator[str]:
    """Yield the pieces of the page's body; `data` is what its script draws from, `drawing` the architecture."""
    writer = _Writer(trace, data)
    yield from writer.head()
    yield '<main id="way">'
    yield from writer.units()
    if data["embedding"]:
        yield from writer.embedding()
    if data["blocks"]:
        yield from writer.attention()
        yield from writer.stream()
    yield from writer.scores()
    yield from writer.drawn()
    yield "</main>"
    yield "<details><summary>The architecture of this model</summary>"
    yield f"{framed(drawing)}</details>"
    yield from writer.left_out()


def framed(drawing: str) -> str:
    """Put a drawing where it can be scrolled, by keyboard too, on a screen that is narrower."""
    return f'<div class="scroll" tabindex="0" role="region" aria-label="The architecture">{drawing}</div>'


def number(x: float, digits: int) -> str:
    """Write a rounded number with a real minus sign."""
    return f"{x:.{digits}f}".replace("-", "−")


def weight_of(byte: int) -> str:
    """Write an attention weight that came as a byte: up to 171 thousandths, above that hundredths, 0.17 to 1.00."""
    return number(byte / 1000, 3) if byte <= 171 else number((byte - 155) / 100, 2)


def quoted(label: str) -> str:
    """Quote a unit; isolated, so that one of a script from right to left moves nothing else."""
    return f"‘\u2068{escape(label)}\u2069’"


def _meter(share: float) -> str:
    return f'<td class="meter" aria-hidden="true"><span class="fill" style="--w:{share:.4f}"></span></td>'


class _Writer:
    """Writes one section a method."""

    def __init__(self, trace: Trace, data: dict[str, Any]) -> None:
        self.trace, self.data = trace, data
        self.lang = data["lang"]
        self.T = len(data["ids"])
        self.last = f"unit {self.T}, {quoted(trace.labels[data['ids'][-1]])}"

    def unit(self, id: int, tag: str = "bdi") -> str:
        return f'<{tag} lang="{self.lang}" dir="auto">{escape(self.trace.labels[id])}</{tag}>'

    def text(self, text: str, name: str) -> str:
        """Write a text whole, in one element, so that letters join as they should."""
        whole = shown(text)
        box = ' tabindex="0" role="region" aria-label="the whole text"' if len(whole) > LONG else ""
        kind = "text long" if box else "text"
        return f'<p class="{kind}" id="{name}" lang="{self.lang}" dir="auto"{box}>{escape(whole)}</p>'

    def head(self) -> Iterator[str]:
        trace = self.trace
        yield "<header><h1>A word’s way through a model</h1>"
        yield self.text(trace.text, "prompt")
        run = f"<code>{escape(running(trace.run))}</code>, step {trace.step:,}"
        yield f'<p class="soft">{escape(trace.model)}; {run}</p>'
        yield from (f'<p class="note">{escape(running(note))}.</p>' for note in trace.notes)
        yield "</header>"
        yield (
            f'<div class="chooser" {NEEDS_SCRIPT}><label for="place">Unit</label>'
            f'<input type="range" id="place" min="1" max="{self.T}" value="{self.T}">'
            f'<output for="place" id="which" lang="{self.lang}"></output></div>'
        )

    def units(self) -> Iterator[str]:
        many = " many" if self.T > MANY else ""
        yield (
            "<section><h2>Text becomes units, units become ids</h2>"
            f"<p>The vocabulary is a numbered list of {len(self.trace.units)} units. A unit’s number is its id; from "
            "here on, the model knows only the numbers. Choose a unit to see its own way.</p>"
            f'<fieldset><legend>Units and their ids</legend><div class="chips{many}" id="chips">'
        )
        for place, id in enumerate(self.data["ids"]):
            checked = " checked" if place == self.T - 1 else ""
            yield (
                f'<label class="chip"><input class="over" type="radio" name="unit" value="{place}"{checked}>'
                f"{self.unit(id, 'b')}<i>{id}</i></label>"
            )
        yield "</div></fieldset></section>"

    def embedding(self) -> Iterator[str]:
        embedding = self.data["embedding"]
        columns, C = embedding["columns"], embedding["channels"]
        first, *others = embedding["summands"]
        heads = "".join(f'<th scope="col">{name}</th>' for name in (first, *(f"+ {o}" for o in others), "= sum"))
        top = max(*(abs(x) for column in columns for x in column[-1]), 1e-9)
        k = len(columns[0][0])
        yield (
            "<section><h2>Ids become vectors, and the place is added in</h2>"
            f"<p>Each id stands for a vector of {C} numbers, which training has found. A second vector says where the "
            f"unit stands ({escape(embedding['part'])}). Their sum goes into the first block.</p>"
            f'<table class="sum" id="sum"><caption>The vectors of <span class="shown">{self.last}</span>: the first '
            f"{k} of {C} channels. The stronger the colour, the larger the number, of either sign.</caption>"
            f'<thead><tr><th scope="col">channel</th>{heads}</tr></thead><tbody>'
        )
        for channel in range(k):
            cells = "".join(
                f'<td style="--a:{abs(x) / top:.4f}">{number(x, 3)}</td>'
                for x in (column[-1][channel] for column in columns)
            )
            yield f'<tr><th scope="row">{channel + 1}</th>{cells}</tr>'
        norms = "".join(f"<td>{number(column[-1], 3)}</td>" for column in embedding["norms"])
        yield f'</tbody><tfoot><tr><th scope="row">norm</th>{norms}</tr></tfoot></table>'
        yield '<p class="soft">The norm is the length of the whole vector: the root of the sum of the squares.</p>'
        yield "</section>"

    def attention(self) -> Iterator[str]:
        blocks = self.data["blocks"]
        shape = " × ".join(map(str, self.trace.inside.blocks[0].shape))
        most = max((len(block["weights"] or []) for block in blocks), default=0)
        yield (
            "<section><h2>The blocks: units look at the units before them</h2>"
            f"<p>{len(blocks)} {'block' if len(blocks) == 1 else 'blocks, one after the other'}: into each goes a "
            f'vector for each unit, and as many come out, <span class="whole">{shape}</span> (texts × units × '
            "channels). In each, every head compares what a unit asks for with what the earlier units offer. Where "
            "they fit, it looks: the weights of one unit sum to 1, and nobody looks ahead.</p>"
        )
        for i, block in enumerate(self.trace.inside.blocks, 1):
            if block.missing:
                yield f'<p class="note">Block {i}: {escape(block.missing)}.</p>'
        if most:
            yield from self.heads(most)
            yield from self.tables()
        yield "</section>"

    def heads(self, most: int) -> Iterator[str]:
        yield f'<div {NEEDS_SCRIPT}><div class="split">'
        yield "<fieldset><legend>Every head of every block; choose one</legend>"
        yield f'<div class="heads" style="--n:{most}">'
        first = True
        for b, block in enumerate(self.data["blocks"]):
            yield f'<span id="b{b}">block {b + 1}</span>'
            if not block["weights"]:
                yield '<span class="full">no weights to be seen</span>'
                continue
            for h in range(most):
                if h >= len(block["weights"]):
                    yield "<span></span>"
                    continue
                yield (
                    f'<label class="thumb"><input class="over" type="radio" name="head" value="{b}.{h}"'
                    f'{" checked" if first else ""} aria-label="block {b + 1}, head {h + 1}">'
                    '<canvas aria-hidden="true"></canvas></label>'
                )
                first = False
        many = " many" if self.T > MANY else ""
        yield (
            '</div></fieldset><figure><div class="map"><canvas id="heat" aria-hidden="true"></canvas>'
            '<svg id="picture" role="img"></svg></div>'
            "<figcaption>One head: rows look, columns are looked at; a stronger colour is more (it grows with the root "
            'of the weight). The framed row is the chosen unit. <span id="cell"></span></figcaption></figure></div>'
            f'<h3 id="whose"></h3><ol class="looks{many}" id="looks" aria-labelledby="whose" tabindex="0"></ol>'
            '<p id="most" role="status"></p></div>'
        )

    def tables(self) -> Iterator[str]:
        yield (
            f'<details id="tables"><summary>All weights of <span class="shown">{self.last}</span> as tables</summary>'
        )
        for b, block in enumerate(self.data["blocks"]):
            if not block["weights"]:
                continue
            heads = [base64.b64decode(head)[-self.T :] for head in block["weights"]]  # the last unit's row
            columns = "".join(f'<th scope="col">{h + 1}</th>' for h in range(len(heads)))
            yield (
                f'<div class="scroll" tabindex="0" role="region" aria-label="Weights of block {b + 1}">'
                f'<table data-block="{b}"><caption>Block {b + 1}: what each head gives to each unit</caption>'
                f'<thead><tr><th scope="col">unit, head</th>{columns}</tr></thead><tbody>'
            )
            for key, id in enumerate(self.data["ids"]):
                cells = "".join(f"<td>{weight_of(head[key])}</td>" for head in heads)
                yield f'<tr><th scope="row"><span>{key + 1} {self.unit(id)}</span></th>{cells}</tr>'
            yield "</tbody></table></div>"
        yield "</details>"

    def stream(self) -> Iterator[str]:
        lines = self.data["stream"]
        added = any(line["added"] for line in lines)
        longest = max(*(line["norms"][-1] for line in lines), 1e-9)
        yield "<section><h2>What each part adds</h2>"
        if added:
            yield (
                "<p>A block never replaces a unit’s vector: what attention has gathered, and what the MLP has made of "
                "it, is added to a stream that runs through all blocks. Vectors in different directions may cancel, so "
                "the sizes don’t simply sum.</p>"
            )
        else:
            yield "<p>There is no residual stream here: each part hands on only what it made.</p>"
        yield (
            '<table class="wide" id="stream"><caption>The size (L2 norm) of the vector of '
            f'<span class="shown">{self.last}</span> on its way{"; striped: what is added" if added else ""}</caption>'
            '<thead><tr><th scope="col">where</th><th scope="col">size</th><td class="meter"></td></tr></thead><tbody>'
        )
        for line in lines:
            size = line["norms"][-1]
            kind = ' class="plus"' if line["added"] else ""
            yield (
                f'<tr{kind}><th scope="row">{escape(line["name"])}</th><td>{number(size, 2)}</td>'
                f"{_meter(size / longest)}</tr>"
            )
        yield "</tbody></table></section>"

    def scores(self) -> Iterator[str]:
        following, V = self.data["next"][-1], len(self.trace.units)
        rows = self.trace.inside.embedding is None
        first = "The unit’s row in the table holds" if rows else "The head turns the vector into"
        yield (
            "<section><h2>Scores become probabilities</h2>"
            f"<p>{first} {V} scores, the logits: one for each unit that may come next. Softmax makes them positive and "
            f"lets them sum to 1. A temperature of {self.trace.temperature:g} turns these probabilities into the "
            "chances that are drawn from.</p>"
            f'<table class="wide" id="next"><caption>The likeliest units after <span class="shown">{self.last}</span>'
            '</caption><thead><tr><th scope="col">unit</th><th scope="col">id</th><th scope="col">logit</th>'
            '<th scope="col">proba&shy;bility</th><td class="meter"></td>'
            f'<th scope="col">chance at {self.trace.temperature:g}</th></tr></thead><tbody>'
        )
        for id, logit, p, chance in zip(*(following[key] for key in ("ids", "logits", "p", "chances")), strict=True):
            yield (
                f'<tr><th scope="row">{self.unit(id)}</th><td>{id}</td><td>{number(logit, 2)}</td>'
                f"<td>{number(p, 4)}</td>{_meter(p)}<td>{number(chance, 4)}</td></tr>"
            )
        n = len(following["ids"])
        yield (
            f'</tbody></table><p>These {n} sum to <b id="ten">{number(following["ten"], 4)}</b>, the other {V - n} to '
            f'<b id="rest">{number(following["rest"], 4)}</b>, all {V} to '
            f'<b id="all">{number(following["all"], 6)}</b>.'
            '</p><p id="came"></p></section>'
        )

    def drawn(self) -> Iterator[str]:
        trace = self.trace
        low, high = trace.interval
        yield (
            "<section><h2>One is drawn</h2>"
            "<p>Lay the chances end to end, in the order of ids: a line from 0 to 1. "
            f"Seed {trace.seed} gives the number <b>{trace.number:.4f}</b>. It falls on ‘{self.unit(trace.drawn)}’, id "
            f"{trace.drawn}, which lies from {low:.4f} to {high:.4f}. With another seed, another number.</p>"
        )
        yield from self.line()
        yield "<p>So the text goes on, and the model reads it again, one unit longer:</p>"
        yield self.text(trace.text + trace.units[trace.drawn], "continued")
        yield "</section>"

    def line(self) -> Iterator[str]:
        """Draw the chances end to end; labels stand where there is room."""
        said = f"A line from 0 to 1; the number {self.trace.number:.4f} lies in the part of the drawn unit."
        yield f'<svg class="chances" role="img" aria-label="{said}">'
        at, labels = 0.0, []
        chances = self.trace.chances / self.trace.chances.sum()
        for id, chance in enumerate((100 * chances).tolist()):  # percent of the width
            kind = "hit" if id == self.trace.drawn else "ab"[id % 2]
            if chance >= 0.05 or kind == "hit":
                yield f'<rect class="{kind}" x="{at:.2f}%" y="26" width="{max(chance, 0.1):.2f}%" height="34"/>'
            if chance > 5:
                label = escape(self.trace.labels[id])
                middle = f'x="{at + chance / 2:.2f}%" y="48" text-anchor="middle"'
                labels.append(f'<text {middle} lang="{self.lang}">{label}</text>')
            at += chance
        yield from labels
        x, number = 100 * self.trace.number, f"{self.trace.number:.4f}"
        anchor = "start" if x < 8 else "end" if x > 92 else "middle"
        yield f'<line x1="{x:.2f}%" x2="{x:.2f}%" y1="19" y2="33"/>'
        yield f'<text x="{x:.2f}%" y="14" text-anchor="{anchor}">{number}</text>'
        yield '<text class="end" x="0" y="82">0</text><text class="end" x="100%" y="82" text-anchor="end">1</text>'
        yield "</svg>"

    def left_out(self) -> Iterator[str]:
        embedding = self.data["embedding"]
        yield "<details><summary>What this page leaves out</summary><ul>"
        if embedding and embedding["channels"] > len(embedding["columns"][0][0]):
            yield f"<li>Of {embedding['channels']} channels the first {len(embedding['columns'][0][0])} are shown.</li>"
        yield (
            "<li>Numbers are rounded to the digits shown: attention weights below 0.17 to thousandths, others to "
            "hundredths.</li>"
        )
        if len(self.trace.units) > len(self.data["next"][-1]["ids"]):
            yield "<li>After each unit, the ten likeliest of the vocabulary are shown, and the sum of the others.</li>"
        if self.data["blocks"]:
            yield "<li>Inside a block: queries, keys, values, and what is inside the MLP.</li>"
        yield "</ul></details>"
