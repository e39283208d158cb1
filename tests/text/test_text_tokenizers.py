"""What holds for every tokenizer, in every script: what goes in comes out, however it was cut into pieces."""

import json
import sys
import unicodedata
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import regex
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hornbook.errors import UsageError
from hornbook.text.aksharas import Aksharas
from hornbook.text.bytes import Bytes
from hornbook.text.characters import Characters
from hornbook.text.graphemes import LONGEST, Graphemes
from hornbook.text.reading import read_chunks
from hornbook.text.tokenizer import TOKENIZERS, from_json
from hornbook.text.units import Fitting, ids_dtype

DATA = Path(__file__).parents[2].parent / "shared" / "data"
KINDS = list(TOKENIZERS.values())
ZWJ, ZWNJ = "\u200d", "\u200c"
# What clusters are made of, so that hypothesis finds them: bases, marks, viramas, joiners, prefixes, emoji.
TRICKY = st.text(
    st.sampled_from("ab \n\r\tಕಷರ್ಿಾ\u0b95\u0bcd\u0bb7\u0dca\u0d9a\u1780\u17d2\u0915\u094d\u0937e\u0301\u0600\u110bd")
    | st.sampled_from([ZWJ, ZWNJ, "\U0001f469", "\U0001f680", "\U0001f1ee", "\U0001f1f3", "\u1100", "\u1161", "\u11a8"])
    | st.characters(codec=None),
)


def read(tokenizer, pieces):
    return [i for ids in tokenizer.encode_chunks(pieces) for i in ids.tolist()]


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)
@given(pieces=st.lists(TRICKY))
@example(pieces=["\u0600", " a"])
@example(pieces=["\U0001f1ee\U0001f1f3\U0001f1ee", "\U0001f1f3"])
@example(pieces=["\ud83d", "\ude00"])
@example(pieces=["e" + "\u0301" * 200, "\u0301" * 50 + "e"])
def test_what_goes_in_comes_out_however_it_is_cut(kind, pieces):
    text = "".join(pieces)
    tokenizer = kind.fit(pieces)
    assert tokenizer == kind.fit([text])
    ids = tokenizer.encode(text)
    assert read(tokenizer, pieces) == ids.tolist()
    assert read(tokenizer, text) == ids.tolist()
    assert tokenizer.decode(ids) == text
    decoder = tokenizer.decoder()
    assert "".join(decoder.feed([i]) for i in ids) + decoder.finish() == text
    assert int(tokenizer.unit_characters[ids].sum()) == len(text)
    assert int(tokenizer.unit_bytes[ids].sum()) == len(text.encode("utf-8", "surrogatepass"))
    again = from_json(json.loads(json.dumps(tokenizer.to_json())))
    assert (again, again.fingerprint) == (tokenizer, tokenizer.fingerprint)


@pytest.mark.parametrize(
    "kind", [*(pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS if kind is not Bytes), Bytes]
)
def test_every_code_point_of_every_plane_comes_back(kind):
    text = "".join(map(chr, range(sys.maxunicode + 1)))
    tokenizer = kind.fit([text])
    assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize("kind", [Graphemes, Aksharas])
@settings(deadline=None)
@given(text=TRICKY)
def test_units_are_clusters_and_aksharas_are_made_of_them(kind, text):
    units = kind.split(text)
    assert "".join(units) == text
    assert all(kind.split(unit) == [unit] for unit in units)
    if all(len(unit) <= LONGEST for unit in units):
        cuts = {len("".join(units[:i])) for i in range(len(units))}
        assert cuts <= {match.start() for match in regex.finditer(r"\X", text)}


@pytest.mark.parametrize("name", ["kannada", "udhr_manyscripts"])
@pytest.mark.parametrize("kind", KINDS)
def test_real_texts_come_back(kind, name):
    path = DATA / f"{name}.txt"
    if not path.exists():
        pytest.skip(f"{path.name} is not on this machine")
    tokenizer = kind.fit(read_chunks([path]))
    ids = np.concatenate(list(tokenizer.encode_chunks(read_chunks([path], 100_000))))
    assert tokenizer.decode(ids) == path.read_bytes().decode("utf-8")
    known = {"characters": (1_434_452, 87), "graphemes": (940_786, 533), "aksharas": (839_520, 1_244)}
    if name == "kannada" and kind.name in known:  # counted by others, by the definitions
        assert (len(ids), tokenizer.vocab_size) == known[kind.name]


def test_unicodes_own_cases():
    """GraphemeBreakTest.txt: ÷ is where a grapheme ends, × where it does not."""
    path = DATA / "GraphemeBreakTest.txt"
    if not path.exists():
        pytest.skip(f"{path.name} is not on this machine")
    lines = [line.split("#")[0] for line in path.read_text(encoding="utf-8").splitlines()]
    cases = [line.replace("×", "").strip(" ÷\t").split("÷") for line in lines if line.strip()]
    assert len(cases) == 853
    for case in cases:
        units = ["".join(chr(int(point, 16)) for point in unit.split()) for unit in case]
        assert Graphemes.split("".join(units)) == units
        assert list(Graphemes.fit(["".join(units)]).units) == sorted(set(units))
        for kind in KINDS:
            tokenizer = kind.fit(units)
            assert tokenizer.decode(tokenizer.encode("".join(units))) == "".join(units)


@pytest.mark.parametrize(
    "units",
    [
        "ಜ್ಞಾ|ನ|ವೇ",
        "ಸ್ತ್ರೀ",
        f"ಆ|ಫ್{ZWNJ}|ಲೈ|ನ್",
        f"ರ{ZWJ}್ಯ",
        "ಅ|ವ|ರ್| |ಕ",
        "हि|न्दी",
        "ক্ষ|মা",
        "த|மி|ழ்",
        "க|ற்|க",
        "ப|க்ஷி",
        "ஸ்ரீ",
        "ஶ்ரீ",
        "ක්|ර",
        f"ක්{ZWJ}ර",
        "മ|ല|യാ|ളം",
        "ശ്രീ",
        "ខ្មែ|រ",
        "မြ|န်|မာ",
        "မ|န္တ|လေး",
        "ไ|ท|ย",
        "A|b| |é|\n|\u0301",
        "ಮಾ|ರ್ಚ್|-|ಏ",
    ],
)
def test_aksharas_are_what_a_reader_calls_letters(units):
    assert Aksharas.split(units.replace("|", "")) == units.split("|")


def test_scripts_without_conjuncts_are_cut_alike():
    text = "To be. Γνῶθι σεαυτόν! Ёлка שלום مرحبا 漢字かな 한국어 ไทย \U0001f469\u200d\U0001f680\n"
    assert Aksharas.split(text) == Graphemes.split(text)


def test_a_unit_is_never_longer_than_it_may_be():
    units = Graphemes.split("a" + "\u0301" * 1000 + "b")
    assert max(map(len, units)) == LONGEST
    assert units[-1] == "b"


def test_bytes_that_are_no_text_are_shown_as_such():
    tokenizer = Bytes()
    assert tokenizer.decode([0xFF, 0x41, 0xC3]) == "\ufffdA\ufffd"
    rng = np.random.default_rng(1)
    for _ in range(300):
        ids = rng.integers(0x70, 256, 12)
        decoder = tokenizer.decoder()
        assert "".join(decoder.feed([i]) for i in ids) + decoder.finish() == tokenizer.decode(ids)
        if not any(a == 0xED and b >= 0xA0 for a, b in pairwise(ids)):  # halves of surrogate pairs are kept
            assert tokenizer.decode(ids) == bytes(ids.tolist()).decode("utf-8", "replace")


def test_an_unknown_unit_is_named_with_its_place():
    tokenizer = Aksharas.fit(["ಕನ್ನಡ ? "])
    with pytest.raises(UsageError) as caught:
        tokenizer.encode("ಕನ್ನಡ ಕ್ಷ")
    assert str(caught.value) == (
        "the vocabulary has no 'ಕ್ಷ' (U+0C95 U+0CCD U+0CB7), character 7 of the text; "
        "use --unknown skip or --unknown replace"
    )
    assert tokenizer.decode(tokenizer.encode("ಕನ್ನಡ ಕ್ಷಡ", "skip")) == "ಕನ್ನಡ ಡ"
    assert tokenizer.decode(tokenizer.encode("ಕನ್ನಡ ಕ್ಷಡ", "replace")) == "ಕನ್ನಡ ?ಡ"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"kind": "graphemes", "units": ["ab"]}, "damaged vocabulary: 'ab' is not one of the graphemes"),
        ({"kind": "aksharas", "units": ["ಕ", "ಕಷ"]}, "damaged vocabulary: 'ಕಷ' is not one of the aksharas"),
        ({"kind": "graphemes", "units": ["a", "a"]}, "'a' is in it twice"),
        ({"kind": "bytes", "units": ["a"]}, 'the units of "bytes" are the 256 bytes, in order'),
        ({"kind": "bytes"}, 'damaged vocabulary: not {"kind": "bytes", "units": [...]}'),
        ({"kind": "aksharas", "units": ["a"], "rare": "bytes"}, 'does not end in the units that "rare": "bytes" asks'),
        ({"kind": "aksharas", "units": ["a"], "rare": "none"}, 'its "rare" or "normal" is none that there is'),
        ({"kind": "aksharas", "units": ["a"], "normal": ["NFC"]}, 'its "rare" or "normal" is none that there is'),
        ({"kind": "aksharas", "units": ["a"], "more": 1}, 'damaged vocabulary: not {"kind": "aksharas"'),
        ({"kind": "aksharas", "units": ["a", 1]}, "units is not a list of strings"),
        ({"kind": "aksharas", "units": ["a", ""]}, "units is not a list of strings"),
    ],
)
def test_vocabularies_that_were_edited_are_refused(data, says):
    with pytest.raises(UsageError) as caught:
        from_json(data)
    assert says in str(caught.value)


def test_an_alphabet_that_would_be_empty_is_refused():
    for kind in (kind for kind in KINDS if kind is not Bytes):
        with pytest.raises(UsageError, match=r"text\.min_count=9 leaves an empty alphabet: no unit comes so"):
            kind.fit(["abca"], Fitting(min_count=9, rare="bytes"))


def test_a_letter_that_may_not_be_finished_is_said_to_be():
    for text in ("ಕನ್ನಡ ಕ್", f"ಕನ್ನಡ ಕ್{ZWJ}"):
        with pytest.raises(UsageError, match=r"U\+0CCD.*\), a letter that may not be finished, character 7 of"):
            Aksharas.fit(["ಕನ್ನಡ ಕ"]).encode(text)


def fit(kind, text, **fitting):
    """A tokenizer of a text; of bpe, one that is soon made."""
    return kind.fit([text], Fitting(**({"vocab_size": 600} if kind.name == "bpe" else {}) | fitting))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not Bytes])
@settings(deadline=None)
@given(text=TRICKY, pieces=st.lists(TRICKY))
@example(text="abab", pieces=["abcab", "c\ud83d", "\ude00"])
@example(text="\ufffd", pieces=["\ufffd<00>"])
def test_with_bytes_for_what_is_rare_nothing_is_unknown(kind, text, pieces):
    tokenizer = fit(kind, text + "zz", min_count=2, rare="bytes")
    assert tokenizer.vocab_size == tokenizer.own + 256
    ids = tokenizer.encode("".join(pieces))
    assert read(tokenizer, pieces) == ids.tolist()
    assert tokenizer.decode(ids) == "".join(pieces)
    decoder = tokenizer.decoder()
    assert "".join(decoder.feed([i]) for i in ids) + decoder.finish() == "".join(pieces)
    assert int(tokenizer.unit_characters[ids].sum()) == len("".join(pieces))
    assert int(tokenizer.unit_bytes[ids].sum()) == len("".join(pieces).encode("utf-8", "surrogatepass"))
    again = from_json(json.loads(json.dumps(tokenizer.to_json())))
    assert (again, again.fingerprint) == (tokenizer, tokenizer.fingerprint)


@pytest.mark.parametrize("kind", [Characters, Graphemes, Aksharas])
@settings(deadline=None)
@given(text=TRICKY, other=TRICKY)
@example(text="aab\ufffd\ufffd", other="abc")
def test_one_unit_stands_for_all_that_are_rare(kind, text, other):
    tokenizer = fit(kind, text + "zz", min_count=2, rare="unknown")
    units = kind.split(other) if kind is not Characters else list(other)
    shown = [unit if unit in tokenizer.units else "\ufffd" for unit in units]
    assert tokenizer.decode(tokenizer.encode(other)) == "".join(shown)
    assert tokenizer.units[-1] == "\ufffd"
    assert tokenizer.units.count("\ufffd") == 1
    lacking = [unit for unit in units if unit not in tokenizer.units[:-1]]
    assert tokenizer.lacking([other]) == sum(map(len, lacking))
    again = from_json(json.loads(json.dumps(tokenizer.to_json())))
    assert (again, again.fingerprint) == (tokenizer, tokenizer.fingerprint)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
@settings(deadline=None)
@given(pieces=st.lists(TRICKY))
@example(pieces=["e", "\u0301e\u0301", "\u0cc6", "\u0cd5"])
def test_a_prompt_is_brought_into_the_normal_form_of_the_text(kind, form, pieces):
    whole = unicodedata.normalize(form, "".join(pieces))
    tokenizer = fit(kind, "".join(pieces), normal=form)
    assert tokenizer.decode(tokenizer.encode("".join(pieces))) == whole
    assert tokenizer.decode(tokenizer.encode(unicodedata.normalize("NFD", "".join(pieces)))) == whole
    assert read(tokenizer, pieces) == tokenizer.encode(whole).tolist()
    assert tokenizer.lacking(pieces) == 0
    assert from_json(tokenizer.to_json()).normal == form


@pytest.mark.parametrize(
    ("fitting", "says"),
    [
        ({"min_count": 2}, "text.rare=unknown (one unit for them all) or text.rare=bytes (nothing is lost)"),
        ({"min_count": 0}, "text.min_count is 0; it has to be at least 1"),
        ({"rare": "byte"}, "text.rare is 'byte'; did you mean 'bytes'"),
        ({"normal": "nfc"}, "NFC"),
        ({"vocab_size": 1}, "text.vocab_size is 1; a vocabulary has at least 2 units"),
    ],
)
def test_what_can_not_be_fitted_is_refused(fitting, says):
    with pytest.raises(UsageError) as caught:
        Fitting(**fitting)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "fitting", "says"),
    [
        (
            Characters,
            {"vocab_size": 50},
            "a vocabulary of characters is as large as the text has units: leave out --vocab",
        ),
        (Aksharas, {"vocab_size": 50}, "a vocabulary of aksharas is as large as the text has units: leave out --vocab"),
        (Bytes, {"vocab_size": 50}, "bytes are 256, whatever the text: leave out --vocab-size"),
        (Bytes, {"rare": "bytes"}, "bytes are 256, whatever the text"),
    ],
)
def test_what_a_tokenizer_has_no_use_for_is_refused(kind, fitting, says):
    with pytest.raises(UsageError) as caught:
        kind.fit(["abc"], Fitting(**fitting))
    assert says in str(caught.value)


def test_a_vocabulary_over_what_ids_can_hold_is_refused():
    assert [ids_dtype(n).name for n in (1, 256, 257, 1 << 16, (1 << 16) + 1, 1 << 32)] == [
        "uint8", "uint8", "uint16", "uint16", "uint32", "uint32",
    ]  # fmt: skip
    with pytest.raises(UsageError, match="is more than ids of 32 bits can name; use a smaller one"):
        ids_dtype((1 << 32) + 1)
