"""A trace as text: at most 80 cells wide, without colour, the last units only where there are many."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from rich.cells import cell_len

from hornbook.trace.follow import BlockTrace, Embedding, Numbers, Trace
from hornbook.trace.labels import cut, pad, running

WIDTH = 80
UNITS = 16  # the last ones, where a text has more
CHANNELS = 6  # the first ones of a vector
KEYS = 3  # the units that a head looks at most
BAR = 20
BLOCKS = " ▏▎▍▌▋▊▉█"


def terminal(trace: Trace) -> Iterator[str]:
    """Yield the lines of a trace, in the order of the way through the model."""
    yield cut(f"{running(trace.run)}, step {trace.step:,}", WIDTH, from_end=True)
    yield from wrapped(trace.model)
    yield cut(f"the text: {running(trace.text)}", WIDTH, from_end=True)
    for note in trace.notes:
        yield from wrapped(f"note: {running(note)}")
    yield from _units(trace)
    inside = trace.inside
    if inside.embedding is None:
        yield from _title("A model without embedding and blocks")
        yield from wrapped("This model keeps a table: the row of the last unit holds the scores of what may come next.")
    else:
        yield from _embedding(trace, inside.embedding)
    for number, block in enumerate(inside.blocks, 1):
        yield from _block(trace, number, block)
    if inside.norm:
        part, before, after = inside.norm
        yield from _title(f"The last norm: {part}")
        yield from wrapped(
            f"It brings the last unit's vector to one size, whatever was added before: from {before[-1]:.2f} "
            f"to {after[-1]:.2f}."
        )
    yield from _scores(trace)
    yield from _drawn(trace)


def wrapped(text: str, indent: str = "", width: int = WIDTH) -> Iterator[str]:
    """Break a sentence into lines of at most so many cells."""
    line = indent
    for word in text.split(" "):
        if line != indent and cell_len(line) + 1 + cell_len(word) > width:
            yield line
            line = indent
        line += (" " if line != indent else "") + word
    yield line


def _title(text: str) -> Iterator[str]:
    yield ""
    yield pad(f"── {text} ", WIDTH).rstrip() + " " + "─" * (WIDTH - 4 - cell_len(text))


def _units(trace: Trace) -> Iterator[str]:
    yield from _title("Text becomes units, and units become ids")
    yield from wrapped(
        f"The vocabulary is a numbered list of {len(trace.units)} units. From here on, the model knows only numbers."
    )
    T = len(trace.ids)
    if T > UNITS:
        yield f"Of {T} units the last {UNITS} are shown."
    shown = range(max(0, T - UNITS), T)
    rows = [
        ("place", [str(place + 1) for place in shown]),
        ("unit", [trace.labels[trace.ids[place]] for place in shown]),
        ("id", [str(trace.ids[place]) for place in shown]),
    ]
    yield ""
    widths = [max(cell_len(cells[i]) for _, cells in rows) + 2 for i in range(len(shown))]
    groups: list[list[int]] = [[]]  # as many as fit beside each other
    for i, width in enumerate(widths):
        if groups[-1] and 6 + sum(widths[j] for j in groups[-1]) + width > WIDTH:
            groups.append([])
        groups[-1].append(i)
    for group in groups:
        for name, cells in rows:
            yield pad(name, 6) + "".join(pad(cells[i], widths[i], right=True) for i in group)


def _embedding(trace: Trace, embedding: Embedding) -> Iterator[str]:
    C = embedding.whole.shape[1]
    yield from _title("Ids become vectors, and the place is added in")
    yield from wrapped(
        f"Each id stands for a vector of {C} numbers, which training has found. Another vector says where the unit "
        f"stands ({embedding.part}). The last unit's, in its first {min(CHANNELS, C)} of {C} channels:"
    )
    yield ""
    yield " " * 18 + "".join(f"{f'c{i + 1}':>8}" for i in range(min(CHANNELS, C))) + f"{'norm':>10}"
    (first, vectors), *others = embedding.summands
    rows = [(f"  {first}", vectors), *((f"+ {name}", more) for name, more in others), ("= sum", embedding.whole)]
    if embedding.scaled is not None:
        rows.insert(0, ("  unit", embedding.tokens))
    for name, vectors in rows:
        numbers = "".join(f"{x:8.3f}" for x in vectors[-1, :CHANNELS])
        yield f"{name:<18}{numbers}{np.linalg.norm(vectors[-1]):10.3f}"


def _block(trace: Trace, number: int, block: BlockTrace) -> Iterator[str]:
    last = trace.labels[trace.ids[-1]]
    yield from _title(f"Block {number} of {len(trace.inside.blocks)}: {block.part}")
    shape = " × ".join(map(str, block.shape))
    if number == 1:
        yield from wrapped(
            f"A vector for each unit goes in and comes out: {shape} (texts × units × channels). First the units talk "
            "(attention), then each thinks for itself (MLP)."
        )
    else:
        yield f"{shape} in and out."
    if block.weights is None:
        yield from wrapped(f"Attention: {block.missing}.")
    else:
        yield from _attention(trace, block.weights, explain=number == 1)
    yield ""
    yield f"the size (L2 norm) of the vector of the last unit, {last}:"
    longest = max([block.before[-1], block.after[-1], *(branch.norms[-1] for branch in block.branches)])
    streams = any(branch.added for branch in block.branches)
    yield _size("the stream before" if streams else "what goes in", block.before[-1], longest)
    for branch in block.branches:
        name = f"{branch.name} {'adds' if branch.added else 'hands on'}"
        yield _size(f"{'+ ' if branch.added else '  '}{name}", branch.norms[-1], longest)
    yield _size("the stream after" if streams else "what comes out", block.after[-1], longest)
    if not streams:
        yield from wrapped("There is no residual stream here: each part hands on only what it made.")


def _size(name: str, size: float, longest: float) -> str:
    return f"  {pad(name, 22)}{size:9.2f}  {bar(size / longest if longest else 0, 40)}".rstrip()


def _attention(trace: Trace, weights: Numbers, explain: bool) -> Iterator[str]:
    H, T, _ = weights.shape
    shown = slice(max(0, T - UNITS), T)
    if explain:
        yield from wrapped(
            "Each row is a unit that looks, each column one that it looks at (in the order of the rows). A digit is "
            "a weight in tenths, rounded down; · is less than a tenth. A row sums to 1."
        )
        if T > UNITS:
            yield from wrapped(f"The last {UNITS} units are shown, and how they look at each other.")
    labels = [trace.labels[i] for i in trace.ids[shown]]
    grids = [_grid(head[shown, shown]) for head in weights]
    left = min(8, max(map(cell_len, labels))) + 1
    width = cell_len(grids[0][0])
    in_a_row = max(1, (WIDTH - left + 3) // (width + 3))
    for start in range(0, H, in_a_row):
        group = grids[start : start + in_a_row]
        names = (pad(f"head {start + i + 1}", width + 3) for i in range(len(group)))
        yield ""
        yield (" " * (left + 1) + "".join(names)).rstrip()
        for i, unit in enumerate(labels):
            row = "  ".join(f" {grid[i]}" for grid in group)
            yield (pad(cut(unit, left - 1), left) + row).rstrip()
    yield ""
    yield from wrapped(f"the last unit, {labels[-1]}, looks most at:")
    for h in range(H):
        best = np.argsort(-weights[h, -1], kind="stable")[:KEYS]
        looks = ", ".join(f"{trace.labels[trace.ids[k]]} (place {k + 1}) {weights[h, -1, k]:.3f}" for k in best)
        yield from wrapped(f"head {h + 1}: {looks}", indent="  ")


def _grid(weights: Numbers) -> list[str]:
    gap = " " if len(weights) <= 8 else ""
    return [
        pad(gap.join(_digit(weight) for weight in row[: query + 1]), len(weights) * (1 + len(gap)) - len(gap))
        for query, row in enumerate(weights)
    ]


def _digit(weight: float) -> str:
    return "·" if weight < 0.1 else str(min(9, int(10 * weight)))


def bar(share: float, width: int) -> str:
    """Draw a share from 0 to 1 as a bar, to an eighth of a cell."""
    eighths = round(8 * width * share)
    return "█" * (eighths // 8) + BLOCKS[eighths % 8].strip()


def _scores(trace: Trace) -> Iterator[str]:
    yield from _title("Scores become probabilities")
    V = len(trace.units)
    giver = "The head" if trace.inside.embedding else "That row"
    yield from wrapped(
        f"{giver} gives each of the {V} units a score, its logit. Softmax turns scores into probabilities; a "
        f"temperature of {trace.temperature:g} makes these into the chances that are drawn from. The ten likeliest:"
    )
    ids = trace.likeliest(-1)
    p = trace.inside.probabilities[-1]
    width = max(4, *(min(12, cell_len(trace.labels[i])) for i in ids))
    yield ""
    yield f"{pad('unit', width)}    id    logit  probability  {pad('', BAR)}  chance at {trace.temperature:g}"
    for i in ids:
        yield (
            f"{pad(cut(trace.labels[i], width), width)} {i:5} {trace.inside.logits[-1, i]:8.2f} {p[i]:12.4f}  "
            f"{pad(bar(p[i], BAR), BAR)} {trace.chances[i]:10.4f}"
        )
    yield ""
    yield f"sum of these {len(ids)}: {p[ids].sum():.4f}"
    yield f"sum of all {V}: {p.sum():.6f}"


def _drawn(trace: Trace) -> Iterator[str]:
    yield from _title("One is drawn")
    low, high = trace.interval
    unit = f"‘{trace.labels[trace.drawn]}’"
    yield from wrapped(
        f"Lay the chances end to end, in the order of ids: a line from 0 to 1. Seed {trace.seed} gives the number "
        f"{trace.number:.4f}; it falls on {unit}, id {trace.drawn}, which lies from {low:.4f} to {high:.4f}."
    )
    yield ""
    yield cut(running(trace.text + trace.units[trace.drawn]), WIDTH, from_end=True)
