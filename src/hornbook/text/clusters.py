"""The ids of clusters, found on whole arrays of code points: only what is new in a text is looked at by itself.

At most places a text comes apart whatever else stands in it: no unit goes on from one Latin letter to the next. `GLUED`
names the pairs of characters between which one may go on (after UAX #29), rather too many than too few. The pieces
between all other places are short, and few of them differ. Each has a number, found for all pieces of a text at once,
one character further each time, as in a trie. A new one is cut into units by `split`, which alone says what a unit is.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain

import numpy as np
import numpy.typing as npt
import regex

from hornbook.text.units import StandIn

LONGEST = 64  # characters in a unit; Unicode's stream-safe text has at most 30 marks in a row (UAX #15)
SLICE = 1 << 16  # characters that are looked at together, few enough for a processor's cache
REMEMBERED = 1 << 16  # numbers; when there are more, all are forgotten before the next slice
SLOTS = 1 << 18  # of the table in which numbers are looked up, a power of two

LINKERS = r"\p{InCB=Linker}\p{InSC=Virama}\p{InSC=Invisible_Stacker}\u0BCD\u0DCA"
MARKS = rf"\p{{M}}\p{{GCB=Extend}}\p{{GCB=ZWJ}}\p{{GCB=SpacingMark}}\p{{GCB=V}}\p{{GCB=T}}{LINKERS}"
GLUED = (  # a unit may go on from a character of the first kind to one of the second
    (f"[{LINKERS}]", r"[\p{InCB=Consonant}\p{InSC=Consonant}\p{InSC=Consonant_Placeholder}]"),  # also over MARKS
    (r"(?s:.)", f"[{MARKS}]"),
    (r"\p{GCB=Regional_Indicator}", r"\p{GCB=Regional_Indicator}"),  # but two and two
    (r"\p{GCB=ZWJ}", r"\p{Extended_Pictographic}"),
    (r"\p{GCB=L}", r"[\p{GCB=L}\p{GCB=LV}\p{GCB=LVT}]"),
    (r"\p{GCB=Prepend}", r"(?s:.)"),
    (r"\r", r"\n"),
)
KINDS = [[regex.compile(f"(?V1){kind}") for kind in pair] for pair in GLUED]
LINKER, MARK, FLAG = 1, 2, 4  # the bits of the first three pairs

Numbers = npt.NDArray[np.int64]


def read(
    chunks: Iterable[str], split: Callable[[str], list[str]], ids: Mapping[str, int], lacking: StandIn
) -> Iterator[Numbers]:
    """Yield the ids of the units of a text; joined, they don't depend on where the text was cut into chunks.

    A unit that is not in `ids` has those that `lacking` gives, none or several, for it and its place from 1. That is
    asked in the order of the text, but not again of a piece that is remembered.
    """
    memory, held, place = Memory(split, ids, lacking), "", 1
    for chunk in chunks:
        for start in range(0, len(chunk), SLICE):
            if len(memory.texts) > REMEMBERED:
                memory = Memory(split, ids, lacking)
            text = held + chunk[start : start + SLICE]
            found, end = memory.read(text, place, hold=2)  # what comes may change where the last one begins
            held, place = text[end:], place + end
            yield found
    yield memory.read(held, place, hold=0)[0]


class Memory:
    """What was met of a text: its pieces and all their beginnings, each with a number; and the ids of the pieces."""

    def __init__(self, split: Callable[[str], list[str]], ids: Mapping[str, int], lacking: StandIn) -> None:
        most = REMEMBERED + 2 * (SLICE + 2 * LONGEST) + 1  # a slice has at most two new ones a character
        self._split, self._ids, self._lacking = split, ids, lacking
        self.texts = [""]  # of each number; 0 is what was not met
        self._letters = np.zeros(sys.maxunicode + 1, np.int64)  # the number of each character
        self._first, self._second = np.zeros((2, most), np.uint8)  # which of GLUED it begins, ends: a bit for each
        self._joined: dict[int, int] = {}  # the number of each longer text, by those of its beginning and its end
        self._pair_in, self._number_in = np.zeros((2, SLOTS), np.int64)  # the same on arrays, but one for each slot
        self._found = np.zeros(0, np.int64)  # the ids of all pieces, one after the other
        self._begins, self._widths = np.zeros((2, most), np.int64)  # where those of a piece are in it, and how many
        self._met = np.zeros(most, np.int64)  # 0 if that is not known

    def read(self, text: str, place: int, hold: int) -> tuple[Numbers, int]:
        """Return the ids of all pieces of a text but the last `hold`, and where these begin."""
        letters = self._number(text)
        bounds = self._cut(text, letters)
        bounds = bounds[: max(len(bounds) - hold, 1)]
        starts, lengths = bounds[:-1], np.diff(bounds)
        pieces = letters[starts]
        longer, at = np.flatnonzero(lengths > 1), 1
        while longer.size:
            pieces[longer] = self._join(pieces[longer], letters[starts[longer] + at])
            at += 1
            longer = longer[lengths[longer] > at]
        self._look_up(pieces, starts + place)
        widths = self._widths[pieces]
        ends = np.cumsum(widths)
        shifts = np.repeat(self._begins[pieces] - ends + widths, widths)
        return self._found[shifts + np.arange(len(shifts))], int(bounds[-1])

    def _number(self, text: str) -> Numbers:
        """Return the number of each character of a text."""
        points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
        letters = self._letters[points]
        if (missed := np.flatnonzero(letters == 0)).size:
            new = np.unique(points[missed])
            text = "".join(map(chr, new.tolist()))
            self._letters[new] = np.arange(len(new)) + len(self.texts)
            self.texts += text
            for bit, pair in enumerate(KINDS):
                for kind, bits in zip(pair, (self._first, self._second), strict=True):
                    bits[self._letters[[*map(ord, kind.findall(text))]]] |= 1 << bit
            letters[missed] = self._letters[points[missed]]
        return letters

    def _cut(self, text: str, letters: Numbers) -> Numbers:
        """Return where the pieces of a text begin, and after them where the last one ends."""
        first, second = self._first[letters], self._second[letters]
        apart = np.ones(len(text) + 1, bool)
        apart[1:-1] = first[:-1] & second[1:] == 0
        if (first & LINKER).any():
            others = np.flatnonzero((second & MARK == 0) | (first & LINKER > 0))
            apart[others[1:][first[others[:-1]] & second[others[1:]] & LINKER > 0]] = False
        if (flags := np.flatnonzero(first & FLAG)).size:
            places = np.arange(len(flags))
            begins = np.maximum.accumulate(np.where(np.diff(flags, prepend=-2) > 1, places, 0))
            apart[flags[((places - begins) % 2 == 0) & apart[flags[begins]]]] = True
        bounds = np.flatnonzero(apart)
        for piece in np.flatnonzero(np.diff(bounds) > LONGEST).tolist():
            start, end = bounds[piece : piece + 2].tolist()
            apart[start + np.cumsum([len(unit) for unit in self._split(text[start:end])])] = True
        return np.flatnonzero(apart)

    def _join(self, beginnings: Numbers, letters: Numbers) -> Numbers:
        """Return the numbers of texts that are one character longer than their beginnings."""
        pairs = beginnings << 32 | letters
        slots = (pairs * -0x61C8864680B583EB >> 32) & (SLOTS - 1)  # multiplied by 2**64 over the golden ratio
        numbers = self._number_in[slots]
        if (missed := np.flatnonzero(self._pair_in[slots] != pairs)).size:
            missing = pairs[missed]
            for pair in (new := np.unique(missing)).tolist():
                if pair not in self._joined:
                    self._joined[pair] = len(self.texts)
                    self.texts.append(self.texts[pair >> 32] + self.texts[pair & 0xFFFFFFFF])
            known = np.array([self._joined[pair] for pair in new.tolist()])
            numbers[missed] = known[np.searchsorted(new, missing)]
            self._pair_in[slots[missed]] = missing  # two may want one slot: the other is missed again, never mistaken
            kept = missed[self._pair_in[slots[missed]] == missing]
            self._number_in[slots[kept]] = numbers[kept]
        return numbers

    def _look_up(self, pieces: Numbers, places: Numbers) -> None:
        """Find the ids of the pieces for which that was not done, in the order of the text."""
        waiting = np.flatnonzero(self._met[pieces] == 0)
        left = len(pieces) - waiting  # the most where a piece comes first
        np.maximum.at(self._met, pieces[waiting], left)
        first = waiting[self._met[pieces[waiting]] == left]
        new = pieces[first]
        texts = map(self.texts.__getitem__, new.tolist())
        found = [*map(self._ids_of, texts, places[first].tolist())]
        widths = np.array([*map(len, found)], np.int64)
        self._widths[new] = widths
        self._begins[new] = len(self._found) + np.cumsum(widths) - widths
        self._found = np.append(self._found, np.fromiter(chain.from_iterable(found), np.int64))

    def _ids_of(self, text: str, place: int) -> Sequence[int]:
        if text in self._ids:
            return [self._ids[text]]
        if len(text) == 1:
            return self._lacking(text, place)
        ids = list[int]()
        for unit in self._split(text):
            ids += [self._ids[unit]] if unit in self._ids else self._lacking(unit, place)
            place += len(unit)
        return ids
