import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hornbook.errors import UsageError
from hornbook.text.batches import batch, evaluation_windows, starts


def test_every_window_is_reached_and_no_other():
    seen = np.concatenate([starts(20, 8, seed=1, step=step, rows=range(16)) for step in range(50)])
    assert seen.dtype == np.int64
    assert set(seen.tolist()) == set(range(12))  # the last one covers ids 11 to 19


def test_windows_are_about_equally_likely():
    counts = np.bincount(np.concatenate([starts(14, 4, 7, step, range(100)) for step in range(100)]), minlength=10)
    assert np.square(counts - 1000).sum() / 1000 < 27.9  # chi squared with 9 degrees of freedom, p = 0.001


def test_a_row_does_not_depend_on_how_the_batch_is_cut_up():
    whole = starts(10_000, 64, seed=3, step=5, rows=range(12))
    parts = [starts(10_000, 64, seed=3, step=5, rows=range(i, i + 3)) for i in range(0, 12, 3)]
    assert np.concatenate(parts).tolist() == whole.tolist()
    assert len(set(whole.tolist())) > 6
    assert starts(10_000, 64, 3, 5, range(0)).shape == (0,)


def test_seed_step_and_purpose_each_change_the_windows():
    base = starts(10_000, 64, 3, 5, range(12)).tolist()
    assert base == starts(10_000, 64, 3, 5, range(12), purpose="batch").tolist()
    assert base != starts(10_000, 64, 4, 5, range(12)).tolist()
    assert base != starts(10_000, 64, 3, 6, range(12)).tolist()
    assert base != starts(10_000, 64, 3, 5, range(12), purpose="evaluation").tolist()


def test_these_windows_stay_for_all_time():
    assert starts(1_003_854, 256, seed=1337, step=0, rows=range(4)).tolist() == [726414, 223687, 220245, 660416]


@settings(deadline=None)
@given(st.integers(2, 60), st.integers(1, 59), st.integers(0, 5))
def test_targets_are_the_inputs_moved_on_by_one(n, block_size, step):
    ids = np.arange(n, dtype=np.uint8)
    if n <= block_size:
        with pytest.raises(UsageError):
            starts(n, block_size, 0, step, range(3))
        return
    at = starts(n, block_size, 0, step, range(3))
    inputs, targets = batch(ids, at, block_size)
    assert inputs.shape == targets.shape == (3, block_size)
    assert inputs.dtype == targets.dtype == np.int64
    assert inputs.flags.c_contiguous
    assert targets.flags.c_contiguous
    assert np.array_equal(inputs[:, 0], at)
    assert np.array_equal(targets, inputs + 1)  # the ids are their own places
    assert targets.max() < n


def test_a_text_shorter_than_a_window_says_what_to_do():
    assert starts(9, 8, 0, 0, range(2)).tolist() == [0, 0]
    with pytest.raises(UsageError) as error:
        starts(8, 8, 0, 0, range(2))
    assert str(error.value) == (
        "the text has 8 ids here, and a window of block_size 8 needs 9; use --set model.block_size=7 or a longer text"
    )
    with pytest.raises(UsageError, match="needs 9; use a longer text"):
        starts(1, 8, 0, 0, range(2))


def predicted(n: int, block_size: int, windows: np.ndarray) -> list[int]:
    return [i for s in windows.tolist() for i in range(s + 1, min(s + block_size, n - 1) + 1)]


@settings(deadline=None)
@given(st.integers(2, 300), st.integers(1, 310))
def test_an_evaluation_predicts_each_id_but_the_first_once(n, block_size):
    assert predicted(n, block_size, evaluation_windows(n, block_size)) == list(range(1, n))
    assert evaluation_windows(n, block_size, n - 1).tolist() == evaluation_windows(n, block_size).tolist()


@settings(deadline=None)
@given(st.integers(2, 300), st.integers(1, 310), st.integers(0, 310))
def test_a_shortened_evaluation_is_whole_windows_evenly_spread(n, block_size, at_most):
    windows = evaluation_windows(n, block_size, at_most)
    ids = predicted(n, block_size, windows)
    assert windows.dtype == np.int64
    assert len(windows) >= 1
    assert len(ids) == len(set(ids))
    assert set(ids) <= set(range(1, n))
    assert len(ids) <= at_most or len(windows) == 1
    if len(ids) < n - 1:
        assert len(ids) == block_size * len(windows)
        assert len(ids) + block_size > at_most or len(windows) == (n - 1) // block_size
        gaps = np.diff(windows // block_size)
        assert gaps.size == 0 or gaps.max() - gaps.min() <= 1


def test_tiny_shakespeare_has_111539_characters_to_predict():
    windows = evaluation_windows(111_540, 256)
    assert len(predicted(111_540, 256, windows)) == 111_539
    assert len(predicted(111_540, 256, evaluation_windows(111_540, 256, 65_536))) == 65_536


def test_a_text_of_one_id_can_not_be_evaluated():
    with pytest.raises(UsageError, match="has 1 ids here, and an evaluation needs 2"):
        evaluation_windows(1, 8)
