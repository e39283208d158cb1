"""How much of the validation text stands in the training text: against counting by hand, and by sample."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hornbook.errors import UsageError
from hornbook.text import leakage
from hornbook.text.leakage import Leak, leaked

FEW = st.lists(st.integers(0, 2), max_size=40).map(np.array)


def covered(train, val, length):
    """Which units of val stand in a window of `length` that is also in train, the slow way."""
    windows = {tuple(train[i : i + length]) for i in range(len(train) - length + 1)}
    found = np.zeros(len(val), bool)
    for i in range(len(val) - length + 1):
        if tuple(val[i : i + length]) in windows:
            found[i : i + length] = True
    return found


@given(train=FEW, val=FEW, length=st.integers(1, 9))
def test_it_is_what_counting_by_hand_gives(train, val, length):
    train, val = train.astype(np.uint16), val.astype(np.uint16)
    found = covered(train.tolist(), val.tolist(), length)
    leak = leaked(train, val, length)
    assert leak.share == pytest.approx(found.sum() / max(1, len(val)))
    assert (leak.looked, leak.units) == (len(val), len(val))
    runs = "".join("x" if each else " " for each in found).split()
    assert leak.stop - leak.start == max(map(len, runs), default=0)
    assert found[leak.start : leak.stop].all()


@given(train=FEW, val=FEW, length=st.integers(1, 5), cuts=st.lists(st.integers(0, 40)))
def test_the_training_text_may_come_in_pieces(train, val, length, cuts):
    pieces = np.split(train.astype(np.uint8), sorted(cuts))
    mixed = [piece.astype(np.uint32 if i % 2 else np.uint8) for i, piece in enumerate(pieces)]
    assert leaked(iter(mixed), val.astype(np.uint8), length) == leaked(
        train.astype(np.uint8), val.astype(np.int64), length
    )


@given(train=FEW, val=FEW, piece=st.integers(1, 9))
def test_pieces_that_are_hashed_at_a_time_change_nothing(train, val, piece):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leakage, "PIECE", piece)
        found = covered(train.tolist(), val.tolist(), 3)
        assert leaked(train.astype(np.int64), val.astype(np.int64), 3).share == pytest.approx(
            found.sum() / max(1, len(val))
        )


def test_the_share_is_of_characters():
    train, val = np.array([1, 2, 3, 4], np.uint8), np.array([2, 3, 0], np.uint8)
    assert leaked(train, val, 2).share == pytest.approx(2 / 3)
    assert leaked(train, val, 2, sizes=np.array([1, 9, 5, 4, 9])).share == pytest.approx(9 / 10)


def test_a_long_validation_text_is_sampled(monkeypatch):
    monkeypatch.setattr(leakage, "SAMPLE", 1 << 14)
    monkeypatch.setattr(leakage, "RUN", 1 << 6)
    chance = np.random.default_rng(0)
    train, val = chance.integers(0, 90, 50_000, np.uint8), chance.integers(0, 90, 100_000, np.uint8)
    for start in range(0, 100_000, 1_000):  # 30 in 100 leak, in stretches longer and shorter than a sample's
        n = 200 if start % 2_000 else 400
        val[start : start + n] = train[start // 4 : start // 4 + n]
    leak = leaked(train, val)
    assert (leak.looked, leak.units) == (1 << 14, 100_000)
    assert leak.share == pytest.approx(0.3, abs=0.03)
    found = covered(train.tolist(), val.tolist(), 40)
    assert found[leak.start : leak.stop].all()
    assert 0 < leak.stop - leak.start <= 1 << 6


def test_memory_maps_do(tmp_path):
    np.arange(100, dtype="<u2").tofile(tmp_path / "ids.bin")
    ids = np.memmap(tmp_path / "ids.bin", "<u2", mode="r")
    assert leaked(ids[:90], ids[40:]) == Leak(50 / 60, 60, 60, 0, 50)
    assert leaked(ids[:50], ids[50:]).share == 0


def test_what_is_too_short_leaks_nothing():
    nothing, some = np.zeros(0, np.uint8), np.arange(39, dtype=np.uint8)
    for train, val in ((nothing, nothing), (some, some), (some, nothing), (nothing, some)):
        assert leaked(train, val) == Leak(0.0, len(val), len(val))


def test_a_length_below_one_is_refused():
    with pytest.raises(UsageError, match="the length of a leaked stretch is 0 units, and has to be at least 1"):
        leaked(np.zeros(3, int), np.zeros(3, int), 0)
