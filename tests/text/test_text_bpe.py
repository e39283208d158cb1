"""Byte-pair encoding: where a text is cut first, what is learned and why, and that the fast twin does the same."""

import importlib.util
import json
import pickle
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import regex
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hornbook.errors import UsageError
from hornbook.text import bpe, bpe_fast
from hornbook.text.aksharas import Aksharas
from hornbook.text.bpe import Bpe
from hornbook.text.pieces import ASCII, LONGEST, PIECE, pieces, tally
from hornbook.text.reading import read_chunks
from hornbook.text.units import Fitting

DATA = Path(__file__).parents[2].parent / "shared" / "data"
TRICKY = st.text(
    st.sampled_from(
        "aab  \n\r\t19ಕಷರ್ಿಾ\u0b95\u0bcd\u0bb7\u0dca\u0d9a\u1780\u17d2\u0915\u094d\u0937e\u0301\u0600<>0A\u0e33"
    )
    | st.sampled_from(["\u200c", "\u200d", "\u00a0", "\U0001f469", "\U0001f680", "\U0001f3fd", "\U0001f1ee", "\u0d4e"])
    | st.sampled_from(["\u1100", "\u1161", "\u11a8", "\uac00", "\U000110bd", "\u2139", "\u3000", "\U0010ffff"])
    | st.characters(codec=None),
)
library = pytest.mark.skipif(importlib.util.find_spec("tokenizers") is None, reason="the library is not installed")


class Slow(Bpe):
    fast = False


def same(kind):
    return {field: getattr(kind, field) for field in ("units", "merges", "rare", "normal")}


def read(tokenizer, chunks, unknown="error"):
    return [i for ids in tokenizer.encode_chunks(chunks, unknown) for i in ids.tolist()]


@settings(deadline=None)
@given(chunks=st.lists(TRICKY))
@example(chunks=["\u0600", " a"])
@example(chunks=["a" * 63, "ab", "\u0301" * 70, "a" * 200])
@example(chunks=[" " * 63, "  ", "\t  b", "\u00a0", "\u0301"])
@example(chunks=["\r", "\n", "\r\n" * 40, "\n"])
@example(chunks=["ಕ್" * 50, "ಷ" * 100])
def test_pieces_are_the_text_wherever_its_chunks_end(chunks):
    text = "".join(chunks)
    found = [piece for each in pieces(chunks) for piece in each]
    assert "".join(found) == text
    assert found == PIECE.findall(text)
    assert found == [piece for each in pieces(text) for piece in each]
    assert tally(chunks) == (Counter(found), Counter(text))


@settings(deadline=None, max_examples=300)
@given(text=TRICKY)
@example(text="".join(map(chr, range(0x0C80, 0x0D00))) * 2)
@example(text="ಅ" + "ಕ್ಷ" * 100)
@example(text="\u0600 \u0301\u0600\n\u0d4e ")
@example(text="각" * 100 + "\u1100\u1161\u11a8" * 50)
@example(text="(\U0001f469\u200d\U0001f680" + "\U0001f1ee\U0001f1f3" * 65)
def test_no_piece_ends_inside_a_cluster_or_an_akshara(text):
    cuts = {match.end() for match in PIECE.finditer(text)}
    clusters = [match.end() for match in regex.finditer(r"\X", text)]
    if max(map(len, regex.findall(r"\X", text)), default=0) < 16:
        assert cuts <= set(clusters)
    units = Aksharas.split(text)
    if max(map(len, units), default=0) < 16:
        inside = cuts - {len("".join(units[:i])) for i in range(len(units) + 1)}
        assert not any(regex.match(r"[\p{L}\p{M}]", text[cut]) for cut in inside)


def test_every_character_may_stand_at_every_end():
    for point in range(0, sys.maxunicode + 1, 7):
        text = f"a{chr(point)}b {chr(point)} 1{chr(point)}."
        cuts = {match.end() for match in PIECE.finditer(text)}
        assert cuts <= {match.end() for match in regex.finditer(r"\X", text)}, hex(point)


@given(text=st.text(st.characters(max_codepoint=127)))
@example(text="a" * 200 + "." * 200 + " " * 129 + "\r" * 50 + "\r\n" * 50 + "1" * 200)
def test_text_of_ascii_alone_is_cut_alike(text):
    assert ASCII.findall(text) == PIECE.findall(text)


def test_every_pair_of_ascii_is_cut_alike():
    for a in map(chr, range(128)):
        for text in (f"a{a}{b}a {a}{b} 1{a}{b}  {a}  {b}." for b in map(chr, range(128))):
            assert ASCII.findall(text) == PIECE.findall(text)


@pytest.mark.parametrize(
    "cut",
    [
        "ನಾನು| ಕನ್ನಡ| ಕಲಿಯುತ್ತೇನೆ",
        "ಆಫ್\u200cಲೈನ್|,| ರ\u200d್ಯ",
        "हिन्दी| में",
        "To| be|,| or| not|...|\n\n|  | 19|84",
        "x| =| y|[|0|]|\r\n|\t\t|return",
        "ไทย|\n",
        "👩\u200d🚀👍🏽|a| 🇮🇳|🇮🇳",
        "漢字|、|かな",
    ],
)
def test_where_a_text_is_cut(cut):
    assert PIECE.findall(cut.replace("|", "")) == cut.split("|")


@pytest.mark.parametrize(
    "text", ["a", " ", "\n", "\u0301", "1", "ಕ್", "漢", "\U0001f1ee", "-", "\u200d", "\u0600", "\r\n"]
)
def test_pieces_stay_short(text):
    found = PIECE.findall(text * 5000)
    assert max(map(len, found)) <= 2 * LONGEST
    assert sum(map(len, found)) == 5000 * len(text)


def test_the_rarest_pieces_are_forgotten_where_there_are_too_many(monkeypatch):
    monkeypatch.setattr("hornbook.text.pieces.AT_ONCE", 10)
    text = "often " * 100 + " ".join(f"{a}{b}" for a in "abcdefgh" for b in "ijklmnop")
    found, characters = tally([text], most=20)
    assert len(found) <= 20
    assert found[" often"] == 99
    assert characters == Counter(text)
    assert tally(text, most=20) == (found, characters)


def naive(words, alphabet, size):
    """Merges by the definition: all pairs counted anew each time."""
    units, merges = list(alphabet), []
    cut = [[units.index(character) for character in word] for word in words]
    while len(units) < size:
        seen = Counter()
        for ids, n in zip(cut, words.values(), strict=True):
            for pair in pairwise(ids):
                seen[pair] += n
        if not seen or max(seen.values()) < 2:
            break
        a, b = min(seen, key=lambda pair: (-seen[pair], pair))
        after = [bpe.merged(ids, (a, b), len(units)) for ids in cut]
        joined = sum(n * (len(x) - len(y)) for x, y, n in zip(cut, after, words.values(), strict=True))
        merges.append((units[a], units[b], joined))
        units.append(units[a] + units[b])
        cut = after
    return merges


WORDS = st.dictionaries(st.text("ab", min_size=1, max_size=12) | st.text("abcಕ್ಷ", min_size=1), st.integers(1, 5))


@given(words=WORDS, size=st.integers(2, 40))
@example(words={"aaaa": 1, "aaaaaaa": 2}, size=40)
def test_merges_are_those_of_the_definition(words, size):
    alphabet = sorted({character for word in words for character in word})
    merges = bpe.learn(words, alphabet, size)
    assert merges == naive(words, alphabet, size)
    units = [*alphabet, *(left + right for left, right, _ in merges)]
    assert len(set(units)) == len(units)  # no string is reached twice
    assert bpe_fast.learn(words, alphabet, size) == merges


@library
@settings(deadline=None)
@given(words=WORDS, size=st.integers(2, 40))
def test_the_library_learns_the_same_merges(words, size):
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    alphabet = sorted({character for word in words for character in word})
    other = Tokenizer(models.BPE())
    other.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(vocab_size=size, min_frequency=2, initial_alphabet=alphabet, show_progress=False)
    other.train_from_iterator([f"{word} " * n for word, n in words.items()], trainer)
    pairs = [[left, right] for left, right, _ in bpe_fast.learn(words, alphabet, size)]
    assert json.loads(other.to_str())["model"]["merges"] == pairs


def test_what_a_small_text_teaches():
    tokenizer = Slow.fit(["low low low lower lowest"], Fitting(vocab_size=14))
    assert tokenizer.units == (*" elorstw", "lo", "low", " low", " lowe")
    assert tokenizer.merges == (("l", "o", 5), ("lo", "w", 5), (" ", "low", 4), (" low", "e", 2))
    assert tokenizer.steps(" lowest") == [
        [" ", "l", "o", "w", "e", "s", "t"],
        [" ", "lo", "w", "e", "s", "t"],
        [" ", "low", "e", "s", "t"],
        [" low", "e", "s", "t"],
        [" lowe", "s", "t"],
    ]
    assert [tokenizer.units[i] for i in tokenizer.encode(" lowest")] == [" lowe", "s", "t"]


def test_a_size_that_no_text_has_pairs_for_is_no_trouble():
    assert Bpe.fit(["abab " * 9], Fitting(vocab_size=1 << 40)) == Bpe.fit(["abab " * 9], Fitting(vocab_size=100))


@library
@settings(deadline=None)
@given(
    chunks=st.lists(TRICKY), prompt=TRICKY, extra=st.integers(0, 30), rare=st.sampled_from(["keep", "unknown", "bytes"])
)
@example(chunks=["<0A><0A><0A> \ufffd\ufffd"], prompt="<0A>\n\ufffdb", extra=20, rare="bytes")
@example(chunks=["\ufffd\ufffd a\ufffdab a\ufffdab"], prompt="a\ufffd", extra=20, rare="unknown")
@example(chunks=["\ud83d", "\ude00"], prompt="\ud83d", extra=3, rare="keep")
def test_the_fast_twin_does_the_same(chunks, prompt, extra, rare):
    chunks = ["zz", *chunks]  # so that some character comes twice
    text = "".join(chunks)
    fitting = Fitting(
        max(2, len(set(text)) + extra + {"keep": 0, "unknown": 1, "bytes": 256}[rare]), 1 + (rare != "keep"), rare
    )
    fast, slow = Bpe.fit(chunks, fitting), Slow.fit([text], fitting)
    assert same(fast) == same(slow)
    assert read(fast, chunks) == read(slow, text)
    assert read(fast, [prompt], "skip") == read(slow, prompt, "skip")
    if rare != "unknown":
        assert fast.decode(fast.encode(text)) == text
    again = Bpe.from_json(json.loads(json.dumps(fast.to_json())))
    assert (again, again.fingerprint) == (fast, fast.fingerprint)
    for steps in (slow.steps(piece) for piece in PIECE.findall(prompt)):
        assert len({"".join(parts) for parts in steps}) == 1
        assert all(len(before) > len(after) for before, after in pairwise(steps))


@pytest.mark.slow
@library
@pytest.mark.parametrize("name", ["kannada", "tinyshakespeare", "udhr_manyscripts"])
def test_real_texts_are_learned_and_cut_alike(name):
    path = DATA / f"{name}.txt"
    if not path.exists():
        pytest.skip(f"{path.name} is not on this machine")
    fast, slow = Bpe.fit(read_chunks([path])), Slow.fit(read_chunks([path], 100_000))
    assert same(fast) == same(slow)
    ids = np.concatenate(list(fast.encode_chunks(read_chunks([path]))))
    assert np.array_equal(ids, np.concatenate(list(slow.encode_chunks(read_chunks([path], 100_000)))))
    assert fast.decode(ids) == path.read_bytes().decode("utf-8")
    n = {"kannada": 496_906, "tinyshakespeare": 436_074}.get(name, len(ids))
    assert (len(ids), fast.vocab_size) == (n, 1024 if name != "udhr_manyscripts" else fast.vocab_size)


def test_without_the_library_all_is_done_here(monkeypatch):
    text = "the cat and the hat and the bat " * 20
    whole = Slow.fit([text])
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    assert bpe_fast.cutter(whole.units, []) is None
    tokenizer = Bpe.fit([text])
    assert same(tokenizer) == same(whole)
    assert tokenizer.encode(text).tolist() == whole.encode(text).tolist()


def test_a_vocabulary_has_room_for_the_characters():
    with pytest.raises(UsageError) as caught:
        Bpe.fit(["abcdefgh"], Fitting(vocab_size=7))
    assert str(caught.value) == (
        "text.vocab_size is 7, and the characters of the text alone take 8 units; use --vocab-size 1024, "
        "or leave out the rare ones with text.min_count and text.rare"
    )
    assert Bpe.fit(["abcdefgh"], Fitting(vocab_size=8)).units == tuple("abcdefgh")
    assert Bpe.fit([]).units == ()
    assert Bpe.fit(["".join(map(chr, range(0x4E00, 0x5200))) * 2]).vocab_size <= 2048


def test_what_the_vocabulary_lacks_has_its_place():
    tokenizer = Bpe.fit(["ಕನ್ನಡ ಕನ್ನಡ ಕನ್ನಡ"])
    with pytest.raises(UsageError, match=r"no 'x' \(U\+0078 LATIN SMALL LETTER X\), character 8 of the text"):
        list(tokenizer.encode_chunks(["ಕನ್ನಡ ", "ಕxಡx"]))
    assert tokenizer.decode(tokenizer.encode("ಕನ್ನಡ ಕxಡ", "skip")) == "ಕನ್ನಡ ಕಡ"
    assert pickle.loads(pickle.dumps(tokenizer)).encode("ಕನ್ನಡ").tolist() == tokenizer.encode("ಕನ್ನಡ").tolist()


GOOD = {"kind": "bpe", "units": ["a", "b", "ab", "abb"], "merges": [["a", "b", 3], ["ab", "b", 2]]}
ORDER = "its units are not characters, in order, and then one for each merge"
DEEP = json.loads("[" * 500 + "]" * 500)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"merges": [["a", "b", 3], ["bb", "b", 2]]}, "'abb' is not a merge of two units before it, with its count"),
        ({"merges": [["a", "b", 3], ["a", "bb", 2]]}, "'abb' is not a merge"),
        ({"merges": [["a", "b", 0], ["ab", "b", 2]]}, "'ab' is not a merge"),
        ({"merges": [["a", "b", True], ["ab", "b", 2]]}, "'ab' is not a merge"),
        ({"merges": [["a", "b", 2.0], ["ab", "b", 2]]}, "'ab' is not a merge"),
        ({"merges": [["a", "b", 10**400], ["ab", "b", 2]]}, "'ab' is not a merge"),
        ({"merges": [["a", "b"], ["ab", "b", 2]]}, "'ab' is not a merge"),
        ({"merges": [[["a"], "b", 2], ["ab", "b", 2]]}, "'ab' is not a merge"),
        ({"merges": ["ab2", ["ab", "b", 2]]}, "'ab' is not a merge"),
        ({"merges": [DEEP, None]}, "'ab' is not a merge"),
        ({"merges": [["b", "a", 3], ["ab", "b", 2]]}, "'ab' is not a merge"),
        ({"merges": [["a", "b", 3]]}, ORDER),
        ({"merges": [["a", "b", 3]] * 9}, ORDER),
        ({"merges": None}, ORDER),
        ({"merges": {"a": 1}}, ORDER),
        ({"units": ["b", "a", "ab", "abb"]}, ORDER),
        ({"units": ["a", "a", "ab", "abb"]}, "'a' is in it twice"),
        ({"units": DEEP}, "units is not a list of strings"),
        ({"more": 1}, 'not {"kind": "bpe", "units": [...]}'),
    ],
)
def test_vocabularies_that_were_edited_are_refused(change, says):
    assert Bpe.from_json(GOOD).to_json() == GOOD
    with pytest.raises(UsageError) as caught:
        Bpe.from_json({**GOOD, **change})
    assert str(caught.value).startswith("damaged vocabulary: ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_merges_are_part_of_what_a_tokenizer_is_known_by():
    other = {**GOOD, "units": ["a", "b", "ab", "bb"], "merges": [["a", "b", 3], ["b", "b", 2]]}
    third = {"kind": "bpe", "units": ["a", "ab", "aba"], "merges": []}
    assert Bpe.from_json(GOOD).fingerprint != Bpe.from_json(other).fingerprint
    with pytest.raises(UsageError):
        Bpe.from_json(third)
