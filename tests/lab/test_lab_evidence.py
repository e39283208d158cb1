"""The statistics: Student's t against its density and the printed tables; what is called evidence, and what is not."""

import math
from statistics import fmean, stdev

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hornbook.lab.evidence import LEVEL, MOST_SEEDS, quantile, share_within, weigh

DIFFERENCES = st.lists(st.floats(-10, 10).map(lambda x: round(x, 4)), min_size=2, max_size=12)


@pytest.mark.parametrize(
    ("level", "df", "t"),
    [
        (0.95, 1, 12.706),
        (0.95, 2, 4.303),
        (0.95, 10, 2.228),
        (0.99, 1, 63.657),
        (0.99, 2, 9.925),
        (0.99, 3, 5.841),
        (0.99, 4, 4.604),
        (0.99, 9, 3.250),
        (0.99, 30, 2.750),
        (0.99, 120, 2.617),
        (0.999, 5, 6.869),
    ],
)
def test_the_quantiles_are_those_of_the_printed_tables(level, df, t):
    assert round(quantile(level, df), 3) == t


@pytest.mark.parametrize("df", [1, 2, 3, 4, 5, 8, 13, 50, 99])
def test_the_share_is_the_area_under_the_density(df):
    t = np.linspace(-3, 3, 60_001)
    scale = math.exp(math.lgamma((df + 1) / 2) - math.lgamma(df / 2)) / math.sqrt(df * math.pi)
    density = scale * (1 + t**2 / df) ** (-(df + 1) / 2)
    area = float(np.sum((density[1:] + density[:-1]) / 2) * (t[1] - t[0]))
    assert share_within(3.0, df) == pytest.approx(area, abs=1e-8)
    assert share_within(0.0, df) == pytest.approx(0.0, abs=1e-12)
    assert share_within(1e9, df) == pytest.approx(1.0, abs=1e-8)


@given(st.floats(0.5, 0.9999), st.integers(1, 200))
def test_a_quantile_undoes_the_share(level, df):
    assert share_within(quantile(level, df), df) == pytest.approx(level, abs=1e-9)


@given(DIFFERENCES, st.integers(1, 25))
def test_an_interval_is_students_and_the_verdict_is_what_it_says(differences, comparisons):
    assume(any(differences))
    effect = weigh(differences, comparisons)
    n, mean = len(differences), fmean(differences)
    wide = quantile(1 - (1 - LEVEL) / comparisons, n - 1) * stdev(differences) / math.sqrt(n)
    assert (effect.mean, effect.low, effect.high) == (mean, mean - wide, mean + wide)
    assert (effect.verdict == "better") == (mean < -wide)
    assert (effect.verdict == "worse") == (mean > wide)
    assert effect.said.startswith({"unknown": "not enough evidence: "}.get(effect.verdict, f"{effect.verdict} by "))
    assert effect.said.isprintable()


@given(DIFFERENCES)
def test_the_other_way_round_it_is_the_other_verdict(differences):
    there, back = weigh(differences), weigh([-x for x in differences])
    assert {there.verdict, back.verdict} in ({"better", "worse"}, {"unknown"}, {"the same"})


@given(DIFFERENCES)
def test_more_comparisons_never_make_more_certain(differences):
    verdicts = [weigh(differences, n).verdict for n in (1, 2, 7, 25)]
    certain = [verdict in ("better", "worse") for verdict in verdicts]
    assert certain == sorted(certain, reverse=True)


def test_the_words():
    assert weigh([-0.0312, -0.0310, -0.0314]).said == "better by 0.0312 (0.0301 to 0.0323)"
    assert weigh([0.0312, 0.0310, 0.0314]).said == "worse by 0.0312 (0.0301 to 0.0323)"
    assert weigh([0.02, -0.01, 0.03]).said == ("not enough evidence: +0.0133 (-0.1059 to +0.1326); --seeds 20 may tell")
    assert weigh([1.0, -1.0, 0.01]).said == (
        f"not enough evidence: +0.0033 (-5.7269 to +5.7335); needs over {MOST_SEEDS} seeds"
    )
    assert weigh([2e-8, 2e-8, 2.1e-8]).said == "worse by 2.0e-08 (1.7e-08 to 2.4e-08)"


@pytest.mark.parametrize("n", [1, 2, 10])
def test_no_difference_at_all_is_the_same(n):
    assert weigh([0.0] * n).said == "the same, bit for bit"
    assert weigh([0.0] * n).verdict == "the same"


def test_one_seed_never_gives_a_verdict():
    effect = weigh([-100.0])
    assert (effect.verdict, effect.low, effect.high) == ("unknown", None, None)
    assert "one seed can't tell: take --seeds 3 or more" in effect.said


def test_some_equal_and_some_different_is_not_the_same():
    assert weigh([0.0, 0.0, 1e-9]).verdict == "unknown"


def test_as_many_seeds_as_it_names_would_tell_if_they_were_like_these():
    said = weigh([0.02, -0.01, 0.03]).said
    more = int(said.split("--seeds ")[1].split()[0])
    error, mean = stdev([0.02, -0.01, 0.03]), fmean([0.02, -0.01, 0.03])
    assert quantile(LEVEL, more - 1) * error / math.sqrt(more) < mean
    assert quantile(LEVEL, more - 2) * error / math.sqrt(more - 1) >= mean


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_who_follows_its_advice_to_the_end_is_fooled_in_one_of_twenty_at_most(seeds):
    """Looking again after more seeds is another chance to be lucky: the level leaves room for that."""
    chance, fooled, n = np.random.default_rng(1), 0, 800
    for _ in range(n):
        differences = chance.normal(size=seeds).tolist()
        for _ in range(10):
            effect = weigh(differences)
            if effect.verdict != "unknown" or "--seeds" not in effect.said:
                break
            more = int(effect.said.split("--seeds ")[1].split()[0]) - len(differences)
            differences += chance.normal(size=more).tolist()
        fooled += effect.verdict != "unknown"
    assert fooled <= 0.05 * n


def test_intervals_of_a_whole_table_hold_together():
    chance, wrong, n = np.random.default_rng(2), 0, 1_000
    for _ in range(n):
        first, *others = chance.normal(size=(6, 3))
        wrong += any(weigh((other - first).tolist(), 5).verdict != "unknown" for other in others)
    assert wrong <= 0.02 * n
