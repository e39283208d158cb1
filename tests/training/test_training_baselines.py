"""What a loss is compared with: counted here once more, by hand and by a dictionary."""

import itertools
import json
import lzma
import math
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hornbook.errors import UsageError
from hornbook.runs.landmarks import WORDS
from hornbook.text import shards
from hornbook.text.corpora import Source
from hornbook.text.settings import TextSettings
from hornbook.training import baselines


def counted(train, val, vocab_size, pseudo=0.1):
    """The same table, as one would write it on paper."""
    pairs = Counter(itertools.pairwise(train))
    firsts = Counter(train[:-1])
    surprises = [
        -math.log((pairs[a, b] + pseudo) / (firsts[a] + pseudo * vocab_size)) for a, b in itertools.pairwise(val)
    ]
    return math.fsum(surprises) / len(surprises)


def literal(train, val, vocab_size, longest=5):
    """Modified Kneser-Ney as the paper has it: a dictionary of counts for each length, and a recursion."""
    padded = ["mark"] * longest + train
    ends = range(longest, len(padded))
    counts = {longest: Counter(tuple(padded[i - longest + 1 : i + 1]) for i in ends)}
    for n in range(longest - 1, 0, -1):
        before = defaultdict(set)
        for i in ends:
            before[tuple(padded[i - n + 1 : i + 1])].add(tuple(padded[i - n : i + 1]))
        counts[n] = {gram: len(ways) for gram, ways in before.items()}
    discounts = {n: by_the_paper(counts[n].values()) for n in counts}

    def chance(unit, context):
        n = len(context) + 1
        lower = chance(unit, context[1:]) if context else 1 / vocab_size
        follow = {gram[-1]: count for gram, count in counts[n].items() if gram[:-1] == context}
        if not follow:
            return lower
        spared = sum(discounts[n][min(count, 3)] for count in follow.values())
        kept = follow[unit] - discounts[n][min(follow[unit], 3)] if unit in follow else 0
        return (kept + spared * lower) / sum(follow.values())

    return [chance(val[i], tuple(val[max(0, i - longest + 1) : i])) for i in range(1, len(val))]


def by_the_paper(counts):
    """Chen and Goodman 1999, equation 26; round figures where a text is too short for it."""
    n = Counter(counts)
    if all(n[k] for k in (1, 2, 3, 4)):
        y = n[1] / (n[1] + 2 * n[2])
        told = [k - (k + 1) * y * n[k + 1] / n[k] for k in (1, 2, 3)]
        if min(told) > 0:
            return [0, *told]
    return [0, 0.5, 1.0, 1.5]


def test_a_table_counted_by_hand():
    """Train on abacab, validate on abc, of three letters: a is followed by b, c, b; b by a; c by a."""
    train, val = np.array([0, 1, 0, 2, 0, 1], np.uint8), np.array([0, 1, 2], np.uint8)
    after_a = (2 + 0.1) / (3 + 0.3)  # a -> b, twice of three times
    after_b = (0 + 0.1) / (1 + 0.3)  # b -> c, never of one time
    expected = -(math.log(after_a) + math.log(after_b)) / 2
    assert baselines.bigram(train, val, 3) == pytest.approx(expected, rel=1e-12)
    plain = -(math.log(3 / 6) + math.log(1 / 4)) / 2
    assert baselines.bigram(train, val, 3, pseudo=1) == pytest.approx(plain, rel=1e-12)


@settings(deadline=None, max_examples=60)
@given(
    units=st.lists(st.integers(0, 11), min_size=4, max_size=200),
    cut=st.floats(0.3, 0.7),
    vocab_size=st.sampled_from([12, 1024, 1025, 70_000]),
)
def test_both_ways_of_counting_count_the_same(units, cut, vocab_size):
    """A table where the vocabulary is small, sorting where it is large."""
    cut = max(2, min(len(units) - 2, int(cut * len(units))))
    ids = np.array(units, np.uint8 if vocab_size < 256 else np.uint32)
    train, val = ids[:cut], ids[cut:]
    found = baselines.bigram(train, val, vocab_size)
    assert found == pytest.approx(counted(units[:cut], units[cut:], vocab_size), rel=1e-12)
    alone = [(units[:cut].count(unit) + 0.1) / (cut + 0.1 * vocab_size) for unit in units[cut + 1 :]]
    assert baselines.unigram(train, val, vocab_size) == pytest.approx(-np.log(alone).mean(), rel=1e-12)
    assert baselines.kneser_ney(train, val, vocab_size) == pytest.approx(literal(units[:cut], units[cut:], vocab_size))


def test_the_largest_ids_have_room():
    """Pairs of a large vocabulary are counted in 64 bits, whatever type the ids have."""
    top = 200_000
    ids = np.array([top - 1, 0, top - 1, 0, top - 1, top - 1], np.uint32)
    assert baselines.bigram(ids, ids, top) == pytest.approx(counted(ids.tolist(), ids.tolist(), top), rel=1e-12)
    ids = np.array([255, 254, 255, 254, 255], np.uint8)
    assert baselines.bigram(ids, ids, 256) == pytest.approx(counted(ids.tolist(), ids.tolist(), 256), rel=1e-12)


def test_of_a_long_text_as_much_is_counted_from_all_over(monkeypatch):
    ids = np.repeat(np.arange(64, dtype=np.uint8), 10)
    ids[9::10] = 99  # the last of each tenth
    monkeypatch.setattr(baselines, "COUNTED", 64 * 9)
    few = ids[ids < 99]
    assert baselines.bigram(ids, ids, 100) == baselines.bigram(few, few, 100)
    assert (baselines.kneser_ney(ids, ids, 100) == baselines.kneser_ney(few, few, 100)).all()
    monkeypatch.undo()
    assert baselines.bigram(ids, ids, 100) != baselines.bigram(few, few, 100)


def test_a_guess_at_random():
    assert baselines.uniform(65) == pytest.approx(4.174387, abs=5e-7)
    ids = np.arange(8, dtype=np.uint8)  # no pair of the validation text was seen: all are as likely
    assert baselines.bigram(ids[:2], np.array([5, 3, 2], np.uint8), 8) == pytest.approx(baselines.uniform(8), rel=1e-12)


def test_the_table_of_tiny_shakespeare(shared_text):
    text = shared_text("tinyshakespeare.txt").read_bytes().decode("utf-8")
    letters = {c: i for i, c in enumerate(sorted(set(text)))}
    ids = np.array([letters[c] for c in text], np.uint8)
    n = int(0.9 * len(ids))
    found = baselines.bigram(ids[:n], ids[n:], 65)
    assert found == pytest.approx(counted(ids[:n].tolist(), ids[n:].tolist(), 65), rel=1e-9)
    assert 2.4 < found < 2.55


@settings(deadline=None, max_examples=15)
@given(
    train=st.lists(st.integers(0, 2), max_size=60) | st.lists(st.sampled_from([0, 0, 0, 1]), min_size=200, max_size=300)
)
def test_the_chances_of_all_units_sum_to_one_in_every_context(train):
    train, V = np.array(train, np.uint8), 4  # one of them is never seen
    asked = [np.array(word) for word in itertools.product(range(V), repeat=4)]  # three units of context
    last = np.array([baselines.kneser_ney(train, word, V, longest=4)[-1] for word in asked]).reshape(-1, V)
    assert last.sum(axis=1) == pytest.approx(1, abs=1e-12)
    assert last.min() > 0
    beginning = [baselines.kneser_ney(train, np.array([0, unit]), V) for unit in range(V)]
    assert sum(beginning) == pytest.approx(1, abs=1e-12)  # with less context than there could be


def test_kneser_ney_with_discounts_from_the_text(made_up):
    """Long enough that counts of one, two, three and four are there for most lengths, and the paper's formula holds."""
    text = made_up(1500)
    units = [sorted(set(text)).index(c) for c in text]
    train, val, V = units[:1300], units[1300:], len(set(units))
    told = [by_the_paper(Counter(zip(*(train[i:] for i in range(n)), strict=False)).values()) for n in (3, 5)]
    assert any(discounts[1:] != [0.5, 1.0, 1.5] for discounts in told)
    found = baselines.kneser_ney(np.array(train, np.uint8), np.array(val, np.uint8), V)
    assert found == pytest.approx(literal(train, val, V), rel=1e-9)


@pytest.mark.parametrize("V", [1, 2, 65_536, 1 << 32])
def test_texts_of_hardly_anything(V):
    top = V - 1
    for train, val in (([], [top, top]), ([top], [top, 0]), ([0, top], [0, 0, top]), ([0] * 9, [top, top, 0])):
        train, val = np.array(train, np.uint32), np.array(val, np.uint32)
        found = baselines.kneser_ney(train, val, V)
        assert found == pytest.approx(literal(train.tolist(), val.tolist(), V))
        for loss in (baselines.unigram(train, val, V), baselines.bigram(train, val, V)):
            assert 0 <= loss + 1e-12 < 45
        if V == 1:
            assert found == pytest.approx(1)
    with pytest.raises(UsageError, match="the text has 1 ids to be tested on, and a loss needs 2; use a longer text"):
        baselines.kneser_ney(np.zeros(9, np.uint8), np.zeros(1, np.uint8), V)


def test_a_unit_that_only_comes_later_has_its_share_of_a_guess():
    train, val = np.array([0, 1] * 50, np.uint8), np.array([0, 1, 0, 1, 2], np.uint8)
    seldom, rarer = (baselines.kneser_ney(np.tile(train, n), val, 3)[-1] for n in (1, 20))
    assert 0 < rarer < seldom < 0.02


def test_xz_is_what_the_program_says():
    before = b"".join(b"%d green bottles, " % n for n in range(2000))
    text = "ಹತ್ತು ಹಸಿರು, ".encode() * 40
    both, alone = len(lzma.compress(before + text)), len(lzma.compress(before))
    assert baselines.xz(before, text) == pytest.approx((both - alone) * 8 * math.log(2) / len(text.decode()))
    assert baselines.xz(before, before[-3000:]) < 0.1  # said before
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 16, 4000).astype(np.uint8).tobytes()
    assert baselines.xz(b"", noise) == pytest.approx(math.log(16), rel=0.1)  # nothing to be found in it


@pytest.fixture
def prepared(tmp_path, monkeypatch, made_up):
    """Return what prepares a text of so many characters by a tokenizer, in a cache of its own."""
    monkeypatch.setenv("HORNBOOK_CACHE", str(tmp_path / "cache"))

    def prepare(n=12_000, tokenizer="characters"):
        path = tmp_path / f"{n}.txt"
        path.write_text(made_up(n), encoding="utf-8")
        return shards.prepare(Source("text", (path,), "text"), TextSettings(tokenizer))

    return prepare


def test_landmarks_are_found_once_and_made_anew_where_they_are_damaged(prepared, tmp_path, monkeypatch):
    data = prepared()
    found = baselines.landmarks(data)
    assert list(found) == list(WORDS)
    assert found["guess"] > found["unigram"] > found["bigram"] > found["5-gram"] > 0
    assert 0 < found["xz"] < found["guess"]
    (kept,) = (tmp_path / "cache" / "landmarks").iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(baselines, "kneser_ney", None)  # not to be asked again
        assert baselines.landmarks(data) == found
    for damaged in (b"", b"\xff", b"[]", b"{}", b'{"guess": 1.0}', b'{"guess": 1.0, "bigram": 1e999}'):
        kept.write_bytes(damaged)
        assert baselines.landmarks(data) == found
        assert json.loads(kept.read_bytes()) == found


def test_a_cache_that_can_not_be_written_is_done_without(prepared, tmp_path):
    data = prepared()
    (tmp_path / "cache" / "landmarks").write_bytes(b"a file in the way")
    assert list(baselines.landmarks(data)) == list(WORDS)


def test_landmarks_are_a_character_whatever_a_unit_is(prepared):
    letters, data = prepared(), prepared(tokenizer="bytes")
    by_letters, by_bytes = baselines.landmarks(letters), baselines.landmarks(data)
    assert by_bytes["xz"] == by_letters["xz"]
    assert by_bytes["guess"] == pytest.approx(math.log(256) * len(data.val) / len(letters.val))
    assert by_bytes["5-gram"] == pytest.approx(by_letters["5-gram"], rel=0.2)
    assert "xz" not in baselines.landmarks(prepared(600))  # too short to be measured by it


def test_a_5_gram_model_of_tiny_shakespeare_is_good_company(shared_text):
    text = shared_text("tinyshakespeare.txt").read_bytes().decode("utf-8")
    letters = {c: i for i, c in enumerate(sorted(set(text)))}
    ids = np.array([letters[c] for c in text], np.uint8)
    n = int(0.9 * len(ids))
    assert -np.log(baselines.kneser_ney(ids[:n], ids[n:], 65)).mean() == pytest.approx(1.5611, abs=5e-5)
    assert baselines.xz(text[:n].encode()[-baselines.PACKED :], text[n:].encode()) == pytest.approx(1.744, abs=0.01)
