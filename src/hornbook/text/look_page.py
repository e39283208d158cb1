"""What is known of a text, in plain words: for a terminal, and as a page of HTML that loads and runs nothing.

The text's own letters stand between U+2068 and U+2069, so that no script turns the words around it; a terminal, which
may not know these two, gets none. What is invisible in them, or would turn them, is shown by its code point.
"""

import textwrap
from collections.abc import Iterator, Mapping
from html import escape
from math import log

import regex
from rich.cells import cell_len

from hornbook.text.leakage import LENGTH
from hornbook.text.look import Look

Section = tuple[str, list[str], list[list[str]]]  # a title; sentences; a table, its head first
ROWS, UNITS, WIDTH = 12, 12, 80
OWN, ENDS = "\u2068\u2069"
INVISIBLE = regex.compile(r"(?V1)[[\p{C}\p{Z}\p{DI}]--[\x20\p{M}]]")
BARE = regex.compile(r"(?:^|(?<=[\p{Z}\p{C}]))(?=\p{M})")
FORMS = {
    (True, True): "NFC and NFD: no character of it can be written in two ways.",
    (True, False): "NFC, the usual one.",
    (False, True): "NFD, but keyboards mostly write NFC: --set text.normal=NFC brings text and prompts together.",
    (False, False): "None: what looks alike may be different units. --set text.normal=NFC mends it.",
}
RARE = (
    "A model hardly learns what it meets once. --set text.min_count=3 leaves such out; text.rare=unknown makes one "
    "unit of them all, and text.rare=bytes spells them out, so that nothing is lost."
)
SIZE = (
    "That is a fifth of the units: 20 tokens a parameter (Hoffmann et al. 2022), each read four times (Muennighoff et "
    "al. 2023). It was found on far more text: take it for an order of magnitude. On Tiny Shakespeare quick has 1.63 "
    "nats a character; others report 1.47 of a model with fifty times the parameters, with dropout and far more work."
)
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>A look at a text</title><style>
:root { color-scheme: light dark; font: 1rem/1.6 system-ui, sans-serif; overflow-wrap: anywhere }
main { max-width: 46rem; margin: auto } div { overflow-x: auto } bdi { background: #8882; padding: 0 .2em }
td, th { text-align: start; padding: .1rem .5rem; border-bottom: 1px solid #8886; overflow-wrap: normal }
</style></head><body><main>
"""


def shown(text: str) -> str:
    """Return some of a text's own letters, set apart: a mark without a base on ◌, what is invisible as ⟨U+200B⟩."""
    return OWN + INVISIBLE.sub(lambda match: f"⟨U+{ord(match[0]):04X}⟩", BARE.sub("\N{DOTTED CIRCLE}", text)) + ENDS


def sections(look: Look, presets: Mapping[str, int]) -> Iterator[Section]:
    """Yield what there is to say. `presets` says how many parameters each preset has."""
    n, leak = max(1, look.characters), look.leak
    some = "the whole text" if look.sample == look.characters else f"its first {look.sample:,} characters, a sample"
    size = f"{look.characters:,} characters, {look.different:,} different ones; {look.bytes:,} bytes of UTF-8; "
    yield "Size", [f"{size}{look.lines:,} lines, the longest of {look.longest_line:,} characters."], []
    more = [f"And {len(look.scripts) - ROWS} more scripts."] if len(look.scripts) > ROWS else []
    groups = [*list(look.scripts.items())[:ROWS], *look.others.items()]
    rows = [[name, f"{many:,}", f"{many / n:.2%}"] for name, many in groups if many]
    yield "Scripts", more, [["letters of", "characters", "share"], *rows]
    yield "Normal form", [FORMS[look.normal["NFC"], look.normal["NFD"]]], []
    found = []
    for each in look.findings.values():
        place = f" First at {each.line}:{each.column}, {shown(each.context)}" if each.line else ""
        found.append(f"{each.count:,} × {each.what} ({each.advice}).{place}")
    yield "Invisible, broken or suspicious", found or ["Nothing was found."], []
    rare = []
    for row in look.tokenizers:
        if row.tokenizer in ("characters", "aksharas"):
            told = f"{row.once:,} of {row.units:,} {row.tokenizer} come once in {some}, {row.twice:,} twice"
            rare.append(f"{told}: {' '.join(map(shown, row.rare))}" if row.rare else f"{told}.")
    yield "Rare units", [*rare, RARE], []
    told = f"{leak.share:.2%} of the {leak.units:,} characters to validate on stand in stretches of at least {LENGTH} "
    told += f"that the training text has too{'' if leak.looked == leak.units else ' (an estimate, by a sample)'}."
    longest = [f"The longest, of {leak.stop - leak.start:,}: {shown(look.leaked[:60])}"] if look.leaked else []
    yield "Validation text that is in the training text", [told, *longest], []
    near = sorted(presets, key=lambda name: abs(log(presets[name] / look.parameters)))[:2]
    near = [f"The nearest presets: {' and '.join(f'{name} ({presets[name]:,})' for name in near)}."] if near else []
    yield "What size of model it can feed", [f"About {look.parameters:,} parameters.", *near, SIZE], []
    why = f"most letters are {look.conjuncts}, which has" if look.conjuncts else "most letters are of no script with"
    told = (
        f"Take {look.advised}, as quick does: {why} conjuncts. Compared on {some}; once: units that come once; torn: "
    )
    told += "ids that begin with a mark, or inside a character; bits: what guessing by frequency alone needs."
    rows = [["tokenizer", "units", "ids", "characters/id", "once", "torn", "bits/character"]]
    for r in look.tokenizers:
        per_id, torn = look.sample / max(1, r.ids), r.torn / max(1, r.ids)
        rows.append(f"{r.tokenizer} {r.units:,} {r.ids:,} {per_id:.2f} {r.once:,} {torn:.1%} {r.bits:.3f}".split())
    yield "Tokenizers", [told, *(f"Left out, {each}" for each in look.missing)], rows
    rows = [["tokenizer", "units", f"{OWN}the word as it is cut{ENDS}"]]
    for i in range(max((len(r.words) for r in look.tokenizers), default=0)):
        for r in look.tokenizers:
            cut = " ".join([*map(shown, r.words[i][:UNITS]), "…"][: len(r.words[i])])
            rows.append([r.tokenizer, f"{len(r.words[i])}", cut])
    yield "Words", [], rows


def terminal(look: Look, presets: Mapping[str, int]) -> Iterator[str]:
    """Yield the lines of a look, at most 80 cells wide where letters are a cell wide."""
    for title, sentences, table in sections(look, presets):
        yield f"── {title} {'─' * (WIDTH - 4 - len(title))}"
        for sentence in sentences:
            yield from textwrap.wrap(_bare(sentence), WIDTH, subsequent_indent="  ")
        widths = [max(map(cell_len, column)) for column in zip(*table, strict=True)]
        for first, *rest in table:
            right = [each if OWN in each else each.rjust(n) for each, n in zip(rest, widths[1:], strict=True)]
            yield _bare("  ".join([first.ljust(widths[0]), *right]))
        yield ""


def page(look: Look, name: str, presets: Mapping[str, int]) -> str:
    """Return a look as one HTML page."""
    body = [f"<h1>A look at {_html(shown(name))}</h1>"]
    for title, sentences, table in sections(look, presets):
        body += [f"<h2>{title}</h2>", *(f"<p>{_html(sentence)}</p>" for sentence in sentences)]
        rows = ["".join(f"<td>{_html(cell)}</td>" for cell in row) for row in table]
        if rows:
            head = rows[0].replace("td>", "th>")
            body.append(f"<div><table><tr>{head}</tr><tr>{'</tr><tr>'.join(rows[1:])}</tr></table></div>")
    return PAGE + "\n".join(body) + "\n</main></body></html>\n"


def _bare(text: str) -> str:
    return text.replace(OWN, "").replace(ENDS, "")


def _html(text: str) -> str:
    return escape(text).replace(OWN, '<bdi lang="">').replace(ENDS, "</bdi>")
