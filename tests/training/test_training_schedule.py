"""The schedule: pure functions, looked at where they begin, turn and end."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hornbook.training.recipe import SCHEDULES, Recipe
from hornbook.training.schedule import batch_shape, evaluation_steps, learning_rate, weight_decay_at

PEAK = 0.5  # and numbers of steps that are powers of two: the rates below are exact


def rates(steps, **recipe):
    recipe = Recipe(learning_rate=PEAK, **recipe)
    return [learning_rate(step, steps, recipe) for step in range(1, steps + 2)]  # to one past the last


def test_a_linear_decay_at_its_ends():
    """Steps 1 to 3 warm up, 4 has the peak, 12 is one past the last."""
    expected = [PEAK * share for share in (1 / 4, 2 / 4, 3 / 4, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8, 0)]
    assert rates(11, warmup=3, schedule="linear") == expected


def test_a_cosine_decay_at_its_ends():
    found = rates(11, warmup=3, schedule="cosine")
    assert found[:4] == [PEAK / 4, PEAK / 2, PEAK * 3 / 4, PEAK]
    assert found[7] == pytest.approx(PEAK / 2, rel=1e-15)  # half way
    assert found[10] == pytest.approx(PEAK * (1 + math.cos(math.pi * 7 / 8)) / 2, rel=1e-15)
    assert found[11] == 0


def test_a_decay_ends_at_its_floor_one_past_the_last():
    for schedule in ("linear", "cosine"):
        found = rates(8, schedule=schedule, floor=0.25)
        assert found[0] == PEAK
        assert found[7] > found[8] == PEAK / 4
    assert rates(8, schedule="linear", floor=1) == [PEAK] * 9


def test_a_constant_rate_only_warms_up():
    assert rates(6, warmup=1) == [PEAK / 2, *[PEAK] * 6]
    assert rates(1) == [PEAK, PEAK]


def test_one_step_has_the_peak():
    for schedule in SCHEDULES:
        assert rates(1, schedule=schedule)[0] == PEAK


def test_a_warm_up_longer_than_the_run_is_cut_off():
    for schedule in SCHEDULES:
        assert rates(4, warmup=7, schedule=schedule) == [PEAK * step / 8 for step in range(1, 6)]
        assert rates(4, warmup=4, schedule=schedule)[-1] == PEAK


def test_a_decay_that_is_held_back():
    """Of ten steps, four have the peak, and the one that begins the decay."""
    expected = [PEAK] * 5 + [PEAK * left / 6 for left in (5, 4, 3, 2, 1, 0)]
    assert rates(10, schedule="linear", hold=0.4) == pytest.approx(expected, rel=1e-15)
    assert rates(10, schedule="linear", hold=0.4, warmup=2)[2:] == pytest.approx(expected[2:], rel=1e-15)
    assert rates(10, schedule="linear", hold=0.4, warmup=6) == rates(10, schedule="linear", warmup=6)
    assert rates(10, schedule="cosine", hold=1) == rates(10, hold=0.4) == [PEAK] * 11
    assert rates(1, schedule="linear", hold=0.4) == [PEAK, 0]


def test_the_weight_decay_falls_to_zero_with_the_rate():
    recipe = Recipe(schedule="cosine", floor=0.5, warmup=2, weight_decay=3, decay_schedule="linear", hold=0.5)
    found = [weight_decay_at(step, 8, recipe) for step in range(1, 10)]
    assert found == [3, 3, 3, 3, 3, 3 * 3 / 4, 3 * 2 / 4, 3 / 4, 0]
    recipe = Recipe(warmup=2, weight_decay=3, decay_schedule="cosine")
    assert [weight_decay_at(step, 6, recipe) for step in (1, 2, 3, 5)] == pytest.approx([3, 3, 3, 1.5], rel=1e-15)


def test_windows_grow_and_a_step_sees_as_many_units():
    recipe = Recipe(batch_size=6, length_warmup=0.5)
    shapes = [batch_shape(step, 16, 32, recipe) for step in range(1, 17)]
    assert shapes == [(24, 8)] * 4 + [(12, 16)] * 4 + [(6, 32)] * 8
    assert [batch_shape(step, 2, 32, recipe) for step in (1, 2)] == [(12, 16), (6, 32)]
    assert batch_shape(1, 1, 32, recipe) == (6, 32)  # half of one step
    assert batch_shape(1, 0, 32, recipe) == (6, 32)  # no run yet


@given(
    steps=st.integers(1, 300),
    share=st.floats(0, 1),
    block_size=st.integers(1, 70),
    batch_size=st.integers(1, 9),
)
def test_windows_only_grow_and_are_whole(steps, share, block_size, batch_size):
    recipe = Recipe(batch_size=batch_size, length_warmup=share)
    shapes = [batch_shape(step, steps, block_size, recipe) for step in range(1, steps + 1)]
    lengths = [T for _, T in shapes]
    assert lengths == sorted(lengths)
    assert len(set(lengths)) <= 3
    assert sum(block_size > T for T in lengths) <= share * steps
    for B, T in shapes:
        assert B % batch_size == 0  # so that it is cut into the same pieces
        assert 1 <= T <= block_size
        units = B * T
        assert batch_size * block_size - 3 * batch_size <= units <= batch_size * block_size


@given(
    steps=st.integers(1, 300),
    warmup=st.integers(0, 310),
    schedule=st.sampled_from(SCHEDULES),
    floor=st.floats(0, 1),
    peak=st.floats(1e-30, 1e10),
    hold=st.just(0) | st.floats(0, 1),
)
def test_the_rate_rises_then_falls_and_is_never_zero(steps, warmup, schedule, floor, peak, hold):
    recipe = Recipe(learning_rate=peak, warmup=warmup, schedule=schedule, floor=floor, hold=hold)
    found = [learning_rate(step, steps, recipe) for step in range(1, steps + 1)]
    assert all(0 < rate <= peak * (1 + 1e-15) for rate in found)
    rising, falling = found[: warmup + 1], found[warmup:]
    assert all(a < b for a, b in itertools.pairwise(rising))
    assert all(a >= b * (1 - 1e-15) for a, b in itertools.pairwise(falling))
    assert all(rate >= peak * floor * (1 - 1e-15) for rate in falling)
    held = found[warmup : round(hold * steps)]
    assert all(rate == pytest.approx(peak, rel=1e-15) for rate in held)
    if falling:
        assert falling[0] == pytest.approx(peak, rel=1e-15)


def test_evaluations_at_multiples():
    assert evaluation_steps(30, 10) == [0, 10, 20, 30]
    assert evaluation_steps(31, 10) == [0, 10, 20, 30, 31]
    assert evaluation_steps(29, 10) == [0, 10, 20, 29]
    assert evaluation_steps(5, 100) == [0, 5]
    assert evaluation_steps(1, 1) == [0, 1]


def test_evaluations_if_nothing_is_said():
    assert evaluation_steps(6400, None) == [0, 200, *range(800, 6401, 800)]
    assert evaluation_steps(1, None) == [0, 1]
    assert evaluation_steps(8, None) == [0, 1, 2, 3, 4, 5, 6, 7, 8]


@given(steps=st.integers(1, 5000), every=st.none() | st.integers(1, 6000))
def test_the_first_and_the_last_are_always_there(steps, every):
    found = evaluation_steps(steps, every)
    assert found == sorted(set(found))
    assert found[0] == 0
    assert found[-1] == steps
    if every is None:
        assert len(found) <= 10
        assert max(b - a for a, b in itertools.pairwise(found)) <= steps / 8 + 1
    else:
        assert all(step % every == 0 for step in found[:-1])
        assert max(b - a for a, b in itertools.pairwise(found)) <= every
