"""The rules for choosing a unit: what they keep, how often they draw it, and what they refuse."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hornbook import chance
from hornbook.errors import UsageError
from hornbook.generation.sampling import Sampling, draw, keep_top_k, keep_top_p, probabilities, with_temperature

INF = float("inf")
LAST = 1 - 2**-53  # the largest number that chance draws
LOGITS = [1.2, -0.3, 0.0, 2.0, 2.0, -INF, 0.7, -1.5, 0.7, 0.1]
DRAWS = 20_000

rows = st.lists(st.floats(-20, 20) | st.sampled_from([-INF, 0.0, 1.0]), min_size=1, max_size=12).filter(
    lambda row: max(row) > -INF
)


def row(*logits):
    return torch.tensor([logits], dtype=torch.float64)


def kept(logits):
    return (logits[0] > -INF).nonzero().flatten().tolist()


def softmax(logits):
    e = [math.exp(x) for x in logits]
    return [x / sum(e) for x in e]


def by_rank(p):
    return sorted(range(len(p)), key=lambda i: (-p[i], i))


def expected(temperature=1.0, top_k=None, top_p=None):
    """The rules once more, in the plainest words."""
    p = softmax([x / temperature for x in LOGITS])
    if top_k is not None:
        p = [x if i in by_rank(p)[:top_k] else 0 for i, x in enumerate(p)]
    p = [x / sum(p) for x in p]
    if top_p is not None:
        nucleus = []
        for i in by_rank(p):
            nucleus.append(i)
            if sum(p[j] for j in nucleus) >= top_p:
                break
        p = [x if i in nucleus else 0 for i, x in enumerate(p)]
    return [x / sum(p) for x in p]


def fits(counts, p):
    """Pearson's chi-square test: false where so large a statistic has a chance of 1e-4 (Wilson, Hilferty 1931)."""
    counts, p = np.asarray(counts), np.asarray(p)
    if counts[p == 0].any():
        return False
    counts, p = counts[p > 0], p[p > 0]
    assert p.min() * counts.sum() >= 5, "the test needs five expected of each"
    df = len(p) - 1
    if df == 0:
        return True
    statistic = ((counts - p * counts.sum()) ** 2 / (p * counts.sum())).sum()
    return bool(statistic < df * (1 - 2 / (9 * df) + 3.719 * math.sqrt(2 / (9 * df))) ** 3)


RULES = [
    {},
    {"temperature": 0.5},
    {"temperature": 2.0},
    {"top_k": 1},
    {"top_k": 3},
    {"top_k": 4},
    {"top_p": 0.3},
    {"top_p": 0.8},
    {"temperature": 0.7, "top_k": 6, "top_p": 0.9},
]


@pytest.fixture(scope="module")
def counts():
    numbers = torch.tensor([chance.uniform(chance.key(3, "test"), i) for i in range(DRAWS)], dtype=torch.float64)
    result = []
    for rule in RULES:
        p = probabilities(row(*LOGITS), Sampling(**rule))
        result.append(torch.bincount(draw(p.expand(DRAWS, -1), numbers), minlength=len(LOGITS)).numpy())
    return result


@pytest.mark.parametrize("i", range(len(RULES)), ids=map(str, RULES))
def test_drawn_frequencies_are_those_of_the_rule_and_of_no_other(counts, i):
    assert fits(counts[i], expected(**RULES[i]))
    for other in range(len(RULES)):
        if other != i:
            assert not fits(counts[i], expected(**RULES[other])), RULES[other]


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_probabilities_are_those_of_the_plain_words(rule):
    p = probabilities(row(*LOGITS).float().double(), Sampling(**rule))
    assert p.dtype == torch.float64
    torch.testing.assert_close(p[0], torch.tensor(expected(**rule), dtype=torch.float64), rtol=1e-6, atol=1e-12)


def test_top_p_counts_what_top_k_left():
    p = probabilities(row(*LOGITS), Sampling(top_k=2, top_p=0.5))
    assert kept(p.log()) == [3]  # half of two equal ones; of all ten units these two are not half


def test_temperature_zero_is_the_limit_and_the_lowest_id_among_ties():
    assert kept(with_temperature(row(*LOGITS), 0)) == [3]
    assert probabilities(row(*LOGITS), Sampling(temperature=0, top_k=3, top_p=0.5))[0, 3] == 1


@pytest.mark.parametrize("temperature", [5e-324, 1e-300, 1e-30, 1e30, 1.7e308])
def test_no_temperature_makes_a_nan(temperature):
    for logits in (row(*LOGITS), row(1e300, -1e300, 0), row(-3e38, -INF, -3e38)):
        p = probabilities(logits, Sampling(temperature=temperature))
        assert p.isfinite().all()
        assert p.sum() == pytest.approx(1)
    assert kept(probabilities(row(*LOGITS), Sampling(temperature=1e-30)).log()) == [3, 4]


def test_ties_at_the_last_place_of_top_k_go_to_the_lower_id():
    assert kept(keep_top_k(row(*LOGITS), 4)) == [0, 3, 4, 6]
    assert kept(keep_top_k(row(0, 0, 0, 0), 2)) == [0, 1]
    assert kept(keep_top_k(row(0, -0.0, 1), 2)) == [0, 2]


def test_ties_at_the_last_place_of_top_p_go_to_the_lower_id():
    assert kept(keep_top_p(row(0, 0, 0, 0), 0.5)) == [0, 1]
    assert kept(keep_top_p(row(0, 0, 0, 0), 0.51)) == [0, 1, 2]
    assert kept(keep_top_p(row(0, 5, 0, 5), 1e-300)) == [1]


def test_top_p_of_one_keeps_even_what_a_sum_would_lose():
    logits = row(100, 0, -500, -INF)
    assert kept(keep_top_p(logits, 1)) == [0, 1, 2]
    assert kept(keep_top_p(logits, LAST)) == [0]


def test_rows_do_not_know_each_other():
    logits = torch.tensor([[0.0, 1, 2, 3], [3, 2, 1, 0], [1, 1, 1, 1]], dtype=torch.float64)
    sampling = Sampling(0.7, 3, 0.8)
    together = probabilities(logits, sampling)
    alone = torch.cat([probabilities(one[None], sampling) for one in logits])
    assert torch.equal(together, alone)


@given(logits=rows, k=st.integers(1, 15))
def test_top_k_keeps_exactly_the_k_first_of_the_ranking(logits, k):
    cut = keep_top_k(row(*logits), k)[0].tolist()
    first = by_rank(logits)[:k]
    assert cut == [x if i in first else -INF for i, x in enumerate(logits)]


@given(logits=rows, p=st.floats(0, 1, exclude_min=True))
def test_top_p_keeps_the_fewest_that_reach_p(logits, p):
    cut = keep_top_p(row(*logits), p)[0].tolist()
    nucleus = [i for i, x in enumerate(cut) if x > -INF]
    ranking, likely = by_rank(logits), softmax(logits)
    n = len(nucleus)
    assert n >= 1
    assert sorted(nucleus) == sorted(ranking[:n])
    assert all(cut[i] == logits[i] for i in nucleus)
    assert sum(likely[i] for i in ranking[:n]) >= p - 1e-12
    if p < 1:
        assert sum(likely[i] for i in ranking[: n - 1]) < p + 1e-12


@given(logits=rows, k=st.integers(1, 12), u=st.sampled_from([0.0, 2**-53, 0.5, LAST]) | st.floats(0, LAST))
@settings(max_examples=300)
def test_a_unit_of_probability_zero_is_never_drawn(logits, k, u):
    p = probabilities(row(*logits), Sampling(top_k=k))
    assert p[0, draw(p, torch.tensor([u], dtype=torch.float64))] > 0


@pytest.mark.parametrize("total", [1, 0.1, 1 / 3, 1 + 2**-52, 1 - 2**-53, 7.0])
def test_a_draw_at_the_ends_is_the_first_and_the_last_possible_unit(total):
    p = torch.tensor([[0, 0.25, 0, 0.5, 0.25, 0]], dtype=torch.float64) * total
    ends = torch.tensor([0.0, LAST], dtype=torch.float64)
    assert draw(p.expand(2, -1), ends).tolist() == [1, 4]


def test_a_draw_between_two_units_is_the_next():
    p = torch.tensor([[0.25, 0, 0.75]], dtype=torch.float64)
    numbers = torch.tensor([0.25 - 2**-54, 0.25], dtype=torch.float64)
    assert draw(p.expand(2, -1), numbers).tolist() == [0, 2]


@pytest.mark.parametrize("broken", [float("nan"), INF])
def test_logits_that_are_no_numbers_are_refused(broken):
    with pytest.raises(UsageError) as error:
        probabilities(torch.tensor([[0.0, 1.0], [broken, 0.0]]), Sampling())
    assert str(error.value) == (
        "the model's logits are NaN or infinite: its weights are broken; generate from an earlier checkpoint, "
        "or train again with a lower learning rate."
    )


def test_a_row_where_nothing_can_come_is_refused():
    with pytest.raises(UsageError, match="NaN or infinite"):
        probabilities(row(-INF, -INF), Sampling())


@pytest.mark.parametrize("value", [-0.1, -INF, INF, float("nan"), "hot", None, True])
def test_a_temperature_without_meaning_is_refused(value):
    with pytest.raises(UsageError) as error:
        Sampling(temperature=value)
    assert str(error.value) == (
        f"temperature is {value}; it has to be a finite number, at least 0; "
        "0 always takes the likeliest unit, 1 samples as the model predicts."
    )


@pytest.mark.parametrize("value", [0, -3, 1.5, True, "5"])
def test_a_top_k_without_meaning_is_refused(value):
    with pytest.raises(UsageError) as error:
        Sampling(top_k=value)
    assert str(error.value) == (
        f"top_k is {value}; it has to be a whole number, at least 1; leave it out to choose among all units."
    )


@pytest.mark.parametrize("value", [0, -0.5, 1.01, float("nan"), INF, True, "0.9"])
def test_a_top_p_without_meaning_is_refused(value):
    with pytest.raises(UsageError) as error:
        Sampling(top_p=value)
    assert str(error.value) == (
        f"top_p is {value}; it has to be above 0 and at most 1; leave it out to choose among all units."
    )


def test_ends_of_the_ranges_and_numpy_numbers_are_fine():
    Sampling(0, 1, 1)
    Sampling(np.float64(0.8), np.int64(5), np.float32(0.5))
    assert kept(keep_top_k(row(*LOGITS), 10**9)) == [0, 1, 2, 3, 4, 6, 7, 8, 9]
