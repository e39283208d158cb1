"""What a loss is compared with: counted here once more, by hand and by a dictionary."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hornbook.training import baselines


def counted(train, val, vocab_size, pseudo=0.1):
    """The same table, as one would write it on paper."""
    pairs = Counter(itertools.pairwise(train))
    firsts = Counter(train[:-1])
    surprises = [
        -math.log((pairs[a, b] + pseudo) / (firsts[a] + pseudo * vocab_size)) for a, b in itertools.pairwise(val)
    ]
    return math.fsum(surprises) / len(surprises)


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
    found = baselines.bigram(ids[:cut], ids[cut:], vocab_size)
    assert found == pytest.approx(counted(units[:cut], units[cut:], vocab_size), rel=1e-12)


def test_the_two_ways_give_the_same_pairs(made_up):
    text = made_up(2000)
    letters = sorted(set(text))
    ids = np.array([letters.index(c) for c in text], np.uint8)
    table, times = baselines._pairs(ids, 1000)
    sorting, also = baselines._pairs(ids, 1025)
    assert [divmod(int(p), 1000) for p in table] == [divmod(int(p), 1025) for p in sorting]
    assert times.tolist() == also.tolist()
    assert times.sum() == len(ids) - 1


def test_the_largest_ids_have_room():
    """Pairs of a large vocabulary are counted in 64 bits, whatever type the ids have."""
    top = 200_000
    ids = np.array([top - 1, 0, top - 1, 0, top - 1, top - 1], np.uint32)
    assert baselines.bigram(ids, ids, top) == pytest.approx(counted(ids.tolist(), ids.tolist(), top), rel=1e-12)
    ids = np.array([255, 254, 255, 254, 255], np.uint8)
    assert baselines.bigram(ids, ids, 256) == pytest.approx(counted(ids.tolist(), ids.tolist(), 256), rel=1e-12)


def test_of_a_long_text_the_beginning_is_counted(monkeypatch):
    ids = np.random.default_rng(1).integers(0, 9, 600).astype(np.uint8)
    expected = baselines.bigram(ids[:100], ids[300:400], 9)
    assert baselines.bigram(ids[:300], ids[300:], 9) != expected
    monkeypatch.setattr(baselines, "COUNTED", 100)
    assert baselines.bigram(ids[:300], ids[300:], 9) == expected


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
