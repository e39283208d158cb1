"""Lines and documents on one side each, however a text comes; and what it is known by."""

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hornbook.text.aksharas import Aksharas
from hornbook.text.identity import Identity, Meter
from hornbook.text.split import cut, side

DOCUMENTS = st.lists(st.text("ab\n\rಕ್", min_size=1))


def pieces_of(documents, size):
    for text in documents:
        yield from ((start == 0, text[start : start + size]) for start in range(0, len(text), size))


def both(pieces, by, **how):
    pieces = list(pieces)
    return ["".join(side(pieces, by, train=train, **{"share": 0.7, "seed": 3} | how)) for train in (True, False)]


@pytest.mark.parametrize("by", ["lines", "documents"])
@given(documents=DOCUMENTS, size=st.integers(1, 9))
def test_sides_do_not_depend_on_how_a_text_comes(by, documents, size):
    sides = both(pieces_of(documents, 1 << 20), by)
    assert both(pieces_of(documents, size), by) == sides
    assert sorted("".join(sides)) == sorted("".join(documents))
    parts = documents if by == "documents" else re.findall(r"[^\n]*\n|[^\n]+", "".join(documents))
    wanted = ["", ""]
    for number, part in enumerate(parts):
        goes = both([(True, f"{i}\n") for i in range(number + 1)], by)  # where this number goes, in another text
        wanted[f"{number}\n" not in goes[0].splitlines(keepends=True)] += part
    assert wanted == sides


def test_the_share_is_what_was_asked_and_the_seed_decides_which():
    text = [(True, "".join(f"{i}\n" for i in range(20_000)))]
    for share in (0.05, 0.5, 0.9):
        train, val = both(text, "lines", share=share)
        assert train.count("\n") / 20_000 == pytest.approx(share, abs=0.015)
        assert not set(train.split()) & set(val.split())
    assert both(text, "lines", seed=1) == both(text, "lines", seed=1) != both(text, "lines", seed=2)


def test_sides_stay_as_more_text_is_added():
    text = "".join(f"{i}\n" for i in range(500))
    assert all(longer.startswith(short) for short, longer in zip(
        both([(True, text)], "lines"), both([(True, text + "more\n" * 100)], "lines"), strict=True
    ))  # fmt: skip


@given(documents=DOCUMENTS, size=st.integers(1, 9))
def test_a_text_is_known_by_its_bytes_and_its_documents_by_where_they_begin(documents, size):
    meters = [Meter(), Meter(), Meter()]
    whole = "".join(documents)
    assert list(meters[0].watch(pieces_of(documents, size))) == list(pieces_of(documents, size))
    list(meters[1].watch(pieces_of(documents, 100)))
    list(meters[2].watch([(True, whole)] if whole else []))
    data = whole.encode("utf-8")
    known = Identity(hashlib.sha256(data).hexdigest(), len(whole), len(data))
    assert [meter.identity for meter in meters] == [known] * 3
    assert meters[0].documents == meters[1].documents
    assert (meters[0].documents == meters[2].documents) == (len(documents) <= 1)


LETTERS = st.sampled_from(
    [*"ab \r\n", "ಕ", "್", "ಷ", "ಾ", "\u200d", "\u0301", "🇮", "🇳", "👩", "🏫", "각", "ᄀ", "ᅡ", "한"]
)


@given(st.lists(LETTERS).map("".join), st.data())
def test_a_text_is_cut_between_two_letters_however_it_comes(text, data):
    at, size = data.draw(st.integers(0, len(text))), data.draw(st.integers(1, 9))
    found = set()
    for each in (size, 1, 1 << 20):
        train, val = ("".join(side) for side in cut(pieces_of([text], each), at))
        assert train + val == text
        assert len(train) >= at
        found.add((train, val))
    assert len(found) == 1
    assert Aksharas.split(train) + Aksharas.split(val) == Aksharas.split(text)


def test_plain_text_is_cut_where_it_was_asked_for():
    text = "".join(map(chr, range(97, 123)))
    for at in range(1, 26):
        assert len("".join(cut([(True, text)], at)[0])) == at
