"""Units as a person can see them: a space, a control character or a mark without its letter has no shape by itself."""

import unicodedata

from rich.cells import cell_len

CIRCLE = "\N{DOTTED CIRCLE}"
NAMED = {" ": "␣", "\n": "⏎", "\t": "⇥", "\x7f": "␡"}
JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"
LANGUAGES = {
    "KANNADA": "kn", "TAMIL": "ta", "TELUGU": "te", "MALAYALAM": "ml", "GUJARATI": "gu", "GURMUKHI": "pa",
    "ORIYA": "or", "SINHALA": "si", "THAI": "th", "LAO": "lo", "KHMER": "km", "MYANMAR": "my", "TIBETAN": "bo",
    "GEORGIAN": "ka", "ARMENIAN": "hy", "GREEK": "el", "HEBREW": "he", "HANGUL": "ko", "HIRAGANA": "ja",
    "KATAKANA": "ja",
}  # fmt: skip
"""Scripts that, nearly always, one language is written in."""


def label(unit: str) -> str:
    """Return a unit as it can be shown by itself: ␣ for a space, ◌ under a mark, U+200D for what is invisible."""
    shown = "".join(NAMED.get(c) or _visible(c) for c in unit)
    return CIRCLE + shown if unit and unicodedata.category(unit[0]).startswith("M") else shown


def _visible(c: str) -> str:
    if c < " ":
        return chr(0x2400 + ord(c))  # the picture of a control character
    return f"U+{ord(c):04X}" if unicodedata.category(c)[0] in "CZ" else c


def running(text: str) -> str:
    """Return a text on one line: spaces and joiners stay as they are, all else that is invisible is shown."""
    text = "".join(c if c == " " or c in JOINERS else NAMED.get(c) or _visible(c) for c in text)
    return CIRCLE + text if text and unicodedata.category(text[0]).startswith("M") else text


def shown(text: str) -> str:
    """Return a text whose lines stay lines, and in which all else that is invisible is shown."""
    return "\n".join(running(line) for line in text.split("\n"))


def pad(text: str, width: int, right: bool = False) -> str:
    """Fill a text up to a width in the cells of a terminal: some characters take two, marks take none."""
    space = " " * max(0, width - cell_len(text))
    return space + text if right else text + space


def cut(text: str, width: int, from_end: bool = False) -> str:
    """Shorten a text to a width in cells, with … where something is left out; letters keep their marks."""
    if cell_len(text) <= width:
        return text
    letters: list[str] = []
    for c in text:
        if letters and (unicodedata.category(c).startswith("M") or c in JOINERS):
            letters[-1] += c
        else:
            letters.append(c)
    kept: list[str] = []
    for letter in reversed(letters) if from_end else letters:
        if sum(map(cell_len, kept)) + cell_len(letter) + 1 > width:
            break
        kept.append(letter)
    return "…" + "".join(reversed(kept)) if from_end else "".join(kept) + "…"


def language(text: str) -> str:
    """Return the language tag of a text, as far as its script says it; "und" (undetermined) where it does not."""
    scripts = [unicodedata.name(c, "").split(" ")[0] for c in text if c.isalpha()]
    likely = max(sorted(set(scripts)), key=scripts.count, default="")
    return LANGUAGES.get(likely, "und")
