import itertools
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hornbook.errors import UsageError
from hornbook.text.characters import Characters
from hornbook.text.reading import read_chunks
from hornbook.text.tokenizer import TOKENIZERS, Tokenizer, from_json, named
from hornbook.text.units import describe, ids_dtype

DATA = Path(__file__).parents[2].parent / "shared" / "data"
ANY = st.text(st.characters(codec=None))  # lone surrogates too: a Python str may hold them


@settings(deadline=None)
@given(ANY)
def test_any_text_comes_back(text):
    tokenizer = Characters.fit([text])
    assert tokenizer.units == tuple(sorted(set(text)))
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert tokenizer.decode(ids.tolist()) == text
    decoder = tokenizer.decoder()
    assert "".join(decoder.feed([i]) for i in ids) + decoder.finish() == text
    assert from_json(json.loads(json.dumps(tokenizer.to_json()))) == tokenizer


@settings(deadline=None)
@given(st.lists(ANY))
def test_pieces_give_what_the_whole_gives(pieces):
    tokenizer = Characters.fit(pieces)
    assert tokenizer == Characters.fit(["".join(pieces)])
    ids = np.concatenate([np.zeros(0, np.uint8), *tokenizer.encode_chunks(pieces)])
    assert ids.tolist() == tokenizer.encode("".join(pieces)).tolist()


def test_every_code_point_of_every_plane_comes_back():
    text = "".join(map(chr, range(sys.maxunicode + 1)))
    tokenizer = Characters.fit([text])
    ids = tokenizer.encode(text)
    assert ids.dtype == np.uint32
    assert np.array_equal(ids, np.arange(sys.maxunicode + 1))
    assert tokenizer.decode(ids) == text


@pytest.mark.parametrize("name", ["tinyshakespeare", "kannada", "names", "udhr_manyscripts"])
def test_real_texts_come_back(name):
    path = DATA / f"{name}.txt"
    if not path.exists():
        pytest.skip(f"{path.name} is not on this machine")
    tokenizer = Characters.fit(read_chunks([path]))
    ids = np.concatenate(list(tokenizer.encode_chunks(read_chunks([path], 1000))))
    text = path.read_bytes().decode("utf-8")
    assert tokenizer.decode(ids) == text
    assert tokenizer.unit_bytes[ids].sum() == len(text.encode("utf-8"))
    assert tokenizer.unit_characters[ids].sum() == len(text)


@pytest.mark.parametrize(
    ("size", "dtype"),
    [(1, "uint8"), (256, "uint8"), (257, "uint16"), (65536, "uint16"), (65537, "uint32")],
)
def test_ids_take_the_smallest_type_that_holds_the_vocabulary(size, dtype):
    text = "".join(map(chr, range(size)))
    tokenizer = Characters.fit([text])
    assert tokenizer.encode(text).dtype == dtype == ids_dtype(tokenizer.vocab_size)
    assert tokenizer.encode("").dtype == dtype
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_units_know_their_sizes():
    tokenizer = Characters.fit(["a\u00e9\u0c95\U0001f600"])
    assert tokenizer.unit_bytes.tolist() == [1, 2, 3, 4]
    assert tokenizer.unit_characters.tolist() == [1, 1, 1, 1]
    assert tokenizer.vocab_size == 4


def test_an_unknown_character_is_named_with_its_place():
    tokenizer = Characters.fit(["abc"])
    for pieces in (["abcabcabcabc\u00e9"], ["abcabc", "abcabc", "\u00e9\u00e9"]):
        with pytest.raises(UsageError) as error:
            list(tokenizer.encode_chunks(pieces))
        assert str(error.value) == (
            "the vocabulary has no '\u00e9' (U+00E9 LATIN SMALL LETTER E WITH ACUTE), character 13 of the text; "
            "use --unknown skip or --unknown replace"
        )


@pytest.mark.parametrize(
    ("character", "shown"),
    [
        ("\n", "'\\n' (U+000A)"),
        ("\x1b", "'\\x1b' (U+001B)"),
        ("\u0301", "'\u25cc\u0301' (U+0301 COMBINING ACUTE ACCENT)"),
        ("\u0ccd", "'\u25cc\u0ccd' (U+0CCD KANNADA SIGN VIRAMA)"),
        ("\u200d", "'\\u200d' (U+200D ZERO WIDTH JOINER)"),
        ("\ud800", "'\\ud800' (U+D800)"),
        ("\U0001f600", "'\U0001f600' (U+1F600 GRINNING FACE)"),
        ("'", '"\'" (U+0027 APOSTROPHE)'),
    ],
)
def test_every_kind_of_character_can_be_shown(character, shown):
    assert describe(character) == shown


def test_unknown_characters_are_skipped_or_replaced_when_asked():
    for text, stand_in in (("ab ?\ufffd", "\ufffd"), ("ab ?", "?"), ("ab ", " ")):
        tokenizer = Characters.fit([text])
        assert tokenizer.decode(tokenizer.encode("\u0c95aé\nb", "replace")) == f"{stand_in}a{stand_in * 2}b"
        assert tokenizer.decode(tokenizer.encode("\u0c95aé\nb", "skip")) == "ab"
        assert tokenizer.encode("é", "replace").dtype == np.uint8
    with pytest.raises(UsageError, match=r"none of U\+FFFD, '\?' and ' ' to stand in; use --unknown skip"):
        Characters.fit(["ab"]).encode("é", "replace")
    with pytest.raises(UsageError, match="did you mean 'replace'"):
        Characters.fit(["ab"]).encode("ab", "replaced")


@pytest.mark.parametrize("ids", [[2], [-1], [0, 1, 300], np.array([255], np.uint8)])
def test_ids_out_of_range_are_refused(ids):
    with pytest.raises(UsageError, match=f"no unit has the id {ids[-1]}; the vocabulary's ids are 0 to 1"):
        Characters.fit(["ab"]).decode(ids)


@pytest.mark.parametrize("ids", [[0.5], [[0, 1]], ["a"]])
def test_what_are_not_ids_is_refused(ids):
    with pytest.raises(UsageError, match="ids are a row of whole numbers"):
        Characters.fit(["ab"]).decode(ids)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (None, "does not say its kind"),
        ({"units": ["a"]}, "does not say its kind"),
        ({"kind": "charakters", "units": ["a"]}, "did you mean 'characters'"),
        ({"kind": "characters"}, 'not {"kind": "characters", "units"'),
        ({"kind": "characters", "units": ["a"], "more": 1}, 'not {"kind"'),
        ({"kind": "characters", "units": "ab"}, "not a list of strings"),
        ({"kind": "characters", "units": ["a", 1]}, "not a list of strings"),
        ({"kind": "characters", "units": ["a", ""]}, "not a list of strings"),
        ({"kind": "characters", "units": ["a", "b", "a"]}, "'a' is in it twice"),
        ({"kind": "characters", "units": ["a", "bc"]}, "'bc' is more than one character"),
    ],
)
def test_damaged_vocabularies_are_refused(data, says):
    with pytest.raises(UsageError) as error:
        from_json(data)
    assert says in str(error.value)


def test_the_fingerprint_tells_vocabularies_apart_and_stays():
    texts = ["", "a", "ab", "abc", '"', "\\", ",", '",', "\U0001f600", "\ud83d\ude00"]
    prints = [Characters.fit([text]).fingerprint for text in texts]
    assert len(set(prints)) == len(texts)
    assert Characters(("b", "a")).fingerprint != Characters(("a", "b")).fingerprint
    assert Characters.fit(["ab"]).fingerprint == "2e6498919894a9b57e21791b07515ca95e44c029ed42dd4e5ae39fbb1796441c"


def test_every_kind_goes_by_its_name():
    for name, kind in TOKENIZERS.items():
        assert kind.name == name
        assert named(name) is kind
    with pytest.raises(UsageError, match="no tokenizer is named 'caracters'; did you mean 'characters'"):
        named("caracters")


def test_the_interface_is_what_characters_have():
    members = [name for name in vars(Tokenizer) if not name.startswith("_")]
    assert len(members) > 10
    for name in itertools.chain(members, ["name"]):
        assert hasattr(Characters.fit(["ab"]), name)
