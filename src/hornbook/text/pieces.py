"""Cuts a text into the pieces within which units may grow: words, numbers, signs, line ends, white space.

A word has the space before it, and keeps its marks and joiners: what is usual, `\\p{L}+`, cuts most scripts of South
and South-East Asia before each vowel sign. A number is cut after two digits, so that small vocabularies are not filled
with numbers. Signs that follow one another are one piece, a flag is one, and so are line ends; a row of spaces gives
its last to the word after it. No piece ends inside an akshara (`aksharas.py`), or is longer than about LONGEST
characters: where a script has no spaces, or a line is a million times "a", it ends between two letters.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain, islice

import regex

from hornbook.text.characters import Characters

LONGEST = 64  # characters of a word in one piece; a letter with more marks than that is cut too
AT_ONCE = 1 << 16  # pieces

MARK = r"[\p{M}\p{GCB=Extend}\p{GCB=SpacingMark}\u200D]"
LETTER = rf"[[\p{{L}}--\p{{Extended_Pictographic}}]{MARK}]"
LINE_END = r"[\n\r\v\f\x85\u2028\u2029]"
FLAG = r"\p{Regional_Indicator}"
SIGN = rf"[^\s\p{{N}}{LETTER}{FLAG}]"
BEFORE = r"\p{GCB=Prepend}"  # the few signs that belong to what comes after them
SILENCER = r"[\p{InSC=Virama}\p{InSC=Invisible_Stacker}]"
BETWEEN = rf"(?!{MARK}|[\p{{GCB=V}}\p{{GCB=T}}])(?<!{BEFORE}|[\p{{GCB=L}}\u200D]|{SILENCER}{MARK}{{0,8}})"
WORD, SIGNS = (
    rf"(?:{each}{{1,{LONGEST}}}(?:(?!{each})(?<!{BEFORE})|{BETWEEN})|{each}{{{LONGEST}}})"
    for each in (LETTER, f"[{SIGN}{MARK}]")
)
PIECE = regex.compile(
    rf"(?sV1)\p{{Zs}}?(?:{BEFORE}{{1,8}}+\p{{Zs}}?)?"
    rf"(?:{WORD}|(?:\p{{N}}{MARK}{{0,31}}){{1,2}}|{FLAG}{{1,2}}{MARK}{{0,31}}|(?={SIGN}){SIGNS})"
    rf"|\p{{Zs}}?{BEFORE}{{1,8}}\p{{Zs}}?"
    rf"|(?:\r\n|{LINE_END}){{1,32}}+"
    rf"|[\s--{LINE_END}]{{1,{LONGEST}}}(?<!\p{{Zs}}(?=\S))"
    rf"|."
)
ASCII = re.compile(  # the same for text that holds nothing else, by a quicker engine
    rf"(?s) ?(?:[A-Za-z]{{1,{LONGEST}}}|[0-9]{{1,2}}|[!-/:-@[-`{{-~\0-\x08\x0e-\x1f\x7f]{{1,{LONGEST}}})"
    rf"|(?:\r\n|[\n\r\v\f]){{1,32}}|[ \t]{{1,{LONGEST}}}(?:(?<! )|(?![^\t-\r ]))|."
)


def pieces(chunks: Iterable[str]) -> Iterator[list[str]]:
    """Yield the pieces of a text that arrives in chunks: joined, they are the text; they don't depend on the chunks."""
    held = ""
    for chunk in chunks:
        text = held + chunk
        *whole, held = (ASCII if text.isascii() else PIECE).findall(text) or [""]  # the last one may go on
        yield whole
    yield [held] if held else []


def tally(chunks: Iterable[str], most: int = 1 << 18) -> tuple[Counter[str], Counter[str]]:
    """Return how often each piece comes, and how often each character.

    Where there are more than `most` different pieces, the rarer half of those seen so far is forgotten, so that memory
    stays flat; the characters are all counted.
    """
    found, characters = Counter[str](), Counter[str]()
    stream = chain.from_iterable(pieces(chunks))
    while some := list(islice(stream, AT_ONCE)):
        found.update(some)
        characters.update(Characters.counts(["".join(some)]))
        if len(found) > most:
            found = Counter(dict(found.most_common(most // 2)))
    return found, characters
