"""The ids that are found on arrays are those of the definition: `split` on the whole text, unit by unit."""

import itertools
import sys
import tracemalloc
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import regex
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hornbook.errors import UsageError
from hornbook.text import clusters
from hornbook.text.aksharas import Aksharas
from hornbook.text.graphemes import LONGEST, Graphemes
from hornbook.text.units import Fitting

DATA = Path(__file__).parents[2].parent / "shared" / "data"
KINDS = [Graphemes, Aksharas]
# One character of each kind that the rules tell apart, and no two that they don't.
EXAMPLES = {
    "letter": "a",
    "space": " ",
    "returns": "\r",
    "newline": "\n",
    "control": "\u200b",
    "prepend": "\u0600",
    "prepended consonant": "\u0d4e",
    "mark": "\u0301",
    "spacing mark": "\u0903",
    "mark that is none to Unicode": "\u102b",
    "joiner": "\u200d",
    "non-joiner": "\u200c",
    "flag": "\U0001f1ee",
    "emoji": "\U0001f469",
    "skin": "\U0001f3fd",
    "L": "\u1100",
    "V": "\u1161",
    "T": "\u11a8",
    "LV": "\uac00",
    "LVT": "\uac01",
    "Devanagari": "\u0915",
    "linker": "\u094d",
    "linker that is no mark": "\u1cf5",
    "Kannada": "\u0c95",
    "virama": "\u0ccd",
    "Tamil": "\u0b95",
    "ssa": "\u0bb7",
    "sa": "\u0bb8",
    "ra": "\u0bb0",
    "ii": "\u0bc0",
    "pulli": "\u0bcd",
    "Sinhala": "\u0d9a",
    "al-lakuna": "\u0dca",
    "stacker": "\u1039",
    "asat": "\u103a",
    "placeholder": "\u25cc",
    "surrogate": "\ud83d",
}
RULES = [
    *(f"GCB={each}" for each in ("Control", "Prepend", "Extend", "SpacingMark", "L", "V", "T", "LV", "LVT")),
    *("InCB=Linker", "InCB=Consonant", "InCB=Extend", "Extended_Pictographic", "M", "Cs"),
    *("InSC=Virama", "InSC=Invisible_Stacker", "InSC=Pure_Killer", "InSC=Consonant", "InSC=Consonant_Placeholder"),
]


@cache
def those(rule):
    """The characters of a property of Unicode's."""
    return regex.findall(rf"\p{{{rule}}}", "".join(map(chr, range(sys.maxunicode + 1))))


TEXT = st.text(
    st.sampled_from([*EXAMPLES.values()])
    | st.sampled_from(RULES).flatmap(lambda rule: st.sampled_from(those(rule)))
    | st.characters(codec=None),
)


def check(kind, pieces):
    """The text in pieces has the ids and counts that the definition gives the whole."""
    units = kind.split("".join(pieces))
    assert kind.counts(pieces) == Counter(units)
    tokenizer = kind.fit(pieces)
    ids = [i for ids in tokenizer.encode_chunks(pieces) for i in ids.tolist()]
    assert ids == [tokenizer.id_of[unit] for unit in units]


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)
@given(pieces=st.lists(TEXT))
@example(pieces=["\u0bb8\u0bcd\u0bb0", "\u0bc0"])  # only the next character tells that no unit begins before the last
@example(pieces=["\u0600" * 63 + "\U0001f1ee" * 5])  # cut at LONGEST, inside a flag: the next begin one later
@example(pieces=["\u0915" + "\u094d" * 70 + "\u0915"])
@example(pieces=["\u0600" * 70 + "\u0bb8\u0bcd\u0bb0", "\u0bc0"])  # so in what is longer than LONGEST
@example(pieces=["\u0915\u1cf5", "\u093c\u0916"])
def test_the_ids_are_those_of_the_definition(kind, pieces):
    check(kind, pieces)


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)
@given(text=TEXT, longest=st.integers(2, 6), remembered=st.integers(0, 9), slots=st.sampled_from([1, 2, 1 << 10]))
def test_they_are_so_when_much_is_forgotten_and_all_slots_are_taken(kind, text, longest, remembered, slots):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clusters, "SLICE", longest)
        patch.setattr(clusters, "REMEMBERED", remembered)
        patch.setattr(clusters, "SLOTS", slots)
        check(kind, [text])


def neighbours(length):
    """All rows of so many characters, one of each kind, a line for each; and so that the lines do not touch."""
    return "\n".join(map("".join, itertools.product(EXAMPLES.values(), repeat=length)))


@pytest.mark.parametrize("length", [2, 3, pytest.param(4, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", KINDS)
def test_all_kinds_of_neighbours_are_cut_alike(kind, length):
    check(kind, [neighbours(length)])


@pytest.mark.parametrize("kind", KINDS)
def test_unicodes_own_cases_are_cut_alike(kind):
    path = DATA / "GraphemeBreakTest.txt"
    if not path.exists():
        pytest.skip(f"{path.name} is not on this machine")
    lines = [line.split("#")[0].split() for line in path.read_text(encoding="utf-8").splitlines()]
    for line in filter(None, lines):
        check(kind, [chr(int(point, 16)) for point in line if point not in "÷×"])


@pytest.mark.parametrize("name", ["kannada", "udhr_manyscripts"])
@pytest.mark.parametrize("kind", KINDS)
def test_real_texts_are_cut_alike(kind, name):
    path = DATA / f"{name}.txt"
    if not path.exists():
        pytest.skip(f"{path.name} is not on this machine")
    text = path.read_bytes().decode("utf-8")
    check(kind, [text[:100_001], text[100_001:]])


@pytest.mark.parametrize("line", ["\u0301", "\U0001f1ee", "\u0600", "\u1100", "\u0915\u094d", "a", "\r\n"])
def test_a_long_line_takes_little_memory(line):
    pieces = [line * 300_000]
    tokenizer = Graphemes.fit(pieces)
    tracemalloc.start()
    for ids in tokenizer.encode_chunks(pieces):
        assert len(ids) <= 2 * clusters.SLICE
    assert tracemalloc.get_traced_memory()[1] < 48 << 20
    tracemalloc.stop()


def test_a_unit_of_a_million_marks_begins_anew_again_and_again():
    counts = Graphemes.counts(["a", "\u0301" * 1_000_000, "b"])
    assert counts == {"a" + "\u0301" * (LONGEST - 1): 1, "\u0301" * LONGEST: 15_624, "\u0301": 1, "b": 1}


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)
@given(known=TEXT, pieces=st.lists(TEXT))
def test_what_the_vocabulary_lacks_is_asked_for_with_its_place(kind, known, pieces):
    tokenizer = kind.fit([known])
    answers = {"a": [], "b": [0, 1, 2]}
    asked = {}

    def lacking(unit, place):
        asked.setdefault(unit, place)
        return answers.get(unit, [7])

    ids = np.concatenate(list(clusters.read(pieces, kind.split, tokenizer.id_of, lacking)))
    expected, first, place = [], {}, 1
    for unit in kind.split("".join(pieces)):
        if unit not in tokenizer.id_of:
            first.setdefault(unit, place)
        expected += [tokenizer.id_of[unit]] if unit in tokenizer.id_of else answers.get(unit, [7])
        place += len(unit)
    assert ids.tolist() == expected
    assert list(asked.items()) == list(first.items())


def test_the_first_unit_that_lacks_is_named_though_others_of_its_slice_were_met_before():
    tokenizer = Graphemes.fit(["ab "])
    text = "ab " * 50_000 + "e\u0301 \U0001f600 e\u0301"
    with pytest.raises(UsageError, match=r"U\+0065 U\+0301\), character 150001 of the text"):
        tokenizer.encode(text)
    rare = Graphemes.fit(["ab "], Fitting(rare="bytes"))
    assert rare.decode(rare.encode(text)) == text


def test_a_large_vocabulary_is_checked_unit_by_unit():
    marks = [chr(0x300 + i) for i in range(45)]
    units = [a + b + c for a in "abcdefghij" for b in marks for c in marks]
    data = {"kind": "graphemes", "units": units}
    assert Graphemes.from_json(data).units == tuple(units)
    with pytest.raises(UsageError, match="'ab' is not one of the graphemes"):
        Graphemes.from_json({**data, "units": [*units, "ab"]})
