import tracemalloc
import unicodedata
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hornbook.errors import UsageError
from hornbook.text.normal import check_form, normalised

FORMS = ["NFC", "NFD"]
# What composes, decomposes or changes places: Hangul, Tibetan, Indic vowel signs in parts, marks of several classes,
# a sign that doubles (U+1611E composes with itself), and what their decompositions begin with.
TRICKY = st.text(
    st.sampled_from(
        "aeouD\u1100\u1161\u11a8\uac00\uac01\u0f71\u0f72\u0f73\u0f75\u0f81\u0f80\u0344\u0308\u0301\u0958\u093c"
    )
    | st.sampled_from(
        "\u09c7\u09be\u09d7\u0cc6\u0cd5\u0cc2\u0ccb\u0bc6\u0bd7\u0dd9\u0dcf\u0dca\u1025\u102e\u3099か\u05d0\u05bc"
    )
    | st.sampled_from(
        ["\u0316", "\u0323", "\u0307", "\u0345", "\u0338", "\u212b", "\U0001611e", "\U00016129", "\U0001d15e"]
    )
    | st.characters(codec=None)
)


def pieces(text: str, cuts: list[int]) -> list[str]:
    places = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    return [text[start:end] for start, end in pairwise(places)]


@pytest.mark.parametrize("form", FORMS)
@settings(deadline=None, max_examples=300)
@given(text=TRICKY, cuts=st.lists(st.integers(0, 100)))
@example(text="\u0cc6\u0cc2\u0cd5", cuts=[1, 2])
@example(text="\u09c7\u09be", cuts=[1])
@example(text="\u1100\u1161\u11a8", cuts=[1, 2])
@example(text="a\u0f72\u0f73", cuts=[2])
@example(text="\U0001611e" * 5, cuts=[1, 3])
@example(text="\ud83d\ude00", cuts=[1])
def test_where_a_text_is_cut_does_not_matter(form, text, cuts):
    whole = unicodedata.normalize(form, text)
    assert "".join(normalised(pieces(text, cuts), form)) == whole
    assert "".join(normalised(text, form)) == whole


@pytest.mark.parametrize("form", FORMS)
@settings(deadline=None, max_examples=20)
@given(text=TRICKY, marks=st.text("\u0301\u0316\u0344\u0345\u05bc\u0903\u09be\u20dd", min_size=64, max_size=300))
def test_long_runs_of_marks_are_no_exception(form, text, marks):
    whole = text + marks + text
    assert "".join(normalised(pieces(whole, [80, 100]), form)) == unicodedata.normalize(form, whole)


@pytest.mark.parametrize("form", FORMS)
def test_every_character_of_every_plane(form):
    everything = "".join(map(chr, range(0x110000)))
    for text in (everything, everything[::-1]):
        chunks = [text[start : start + 997] for start in range(0, len(text), 997)]
        assert "".join(normalised(chunks, form)) == unicodedata.normalize(form, text)


@pytest.mark.parametrize("form", FORMS)
def test_a_hundred_thousand_marks_are_put_in_order(form):
    text = "e" + "\u0301\u0316" * 50_000 + "e\u0301"  # `unicodedata` takes minutes for it
    found = "".join(normalised(pieces(text, [30_000, 60_001]), form))
    marks = "\u0316" * 50_000 + "\u0301" * 50_000
    assert found == ("\u00e9" + marks[:-1] + "\u00e9" if form == "NFC" else "e" + marks + "e\u0301")


@pytest.mark.parametrize("form", FORMS)
def test_memory_does_not_grow_with_the_text(form):
    def chunks() -> Iterator[str]:
        for _ in range(2_000):
            yield "ಕೊ\u0cc6\u0cc2\u0cd5가 e\u0301\u0316" * 100

    sum(map(len, normalised(["ಕೊ"], form)))  # its table of what joins stays
    tracemalloc.start()
    longest = max(map(len, normalised(chunks(), form)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert longest < 3_000
    assert peak < 500_000


def test_no_form_leaves_everything_as_it_is():
    text = ["e", "\u0301\u212b", "", "\ud800"]
    assert list(normalised(text, "")) == text
    assert list(normalised(iter(text), "")) == text


@pytest.mark.parametrize("form", ["nfc", "NFKC", "NFKD", " ", "x" * 999, "\n"])
def test_a_form_that_there_is_not_is_refused_at_once(form):
    for check in (check_form, lambda form: normalised([], form)):
        with pytest.raises(UsageError) as error:
            check(form)
        assert str(error.value) == (
            f"no normal form is called {form[:40]!r}; there are NFC and NFD, and '' for text as it is"
        )
