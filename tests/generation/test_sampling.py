"""The rules for choosing a unit: what they keep, how often they draw it, and what they refuse."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hornbook import chance
from hornbook.errors import UsageError
from hornbook.generation.sampling import (
    Sampling,
    draw,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    penalise_repetition,
    probabilities,
    with_temperature,
)

INF = float("inf")
LAST = 1 - 2**-53  # the largest number that chance draws
LOGITS = [1.2, -0.3, 0.0, 2.0, 2.0, -INF, 0.7, -1.5, 0.7, 0.1]
SEEN = [3, 0, 7, 3, 5]  # one of them cannot come
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


def expected(temperature=1.0, top_k=None, top_p=None, min_p=None, repetition_penalty=1.0):
    """The rules once more, in the plainest words."""
    asked = list(LOGITS)
    for i in set(SEEN):
        asked[i] = asked[i] / repetition_penalty if asked[i] > 0 else asked[i] * repetition_penalty
    p = softmax([x / temperature for x in asked])
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
    if min_p is not None:
        p = [x if x >= min_p * max(p) else 0 for x in p]
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
    {"min_p": 0.14},
    {"temperature": 2.0, "min_p": 0.5},
    {"repetition_penalty": 1.5},
    {"repetition_penalty": 0.8},
    {"temperature": 0.9, "top_k": 7, "top_p": 0.95, "min_p": 0.1, "repetition_penalty": 1.3},
]


@pytest.fixture(scope="module")
def counts():
    numbers = torch.tensor([chance.uniform(chance.key(3, "test"), i) for i in range(DRAWS)], dtype=torch.float64)
    result = []
    for rule in RULES:
        p = probabilities(row(*LOGITS), Sampling(**rule), torch.tensor([SEEN]))
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
    p = probabilities(row(*LOGITS).float().double(), Sampling(**rule), torch.tensor([SEEN]))
    assert p.dtype == torch.float64
    torch.testing.assert_close(p[0], torch.tensor(expected(**rule), dtype=torch.float64), rtol=1e-6, atol=1e-12)


def test_top_p_counts_what_top_k_left():
    p = probabilities(row(*LOGITS), Sampling(top_k=2, top_p=0.5))
    assert kept(p.log()) == [3]  # half of two equal ones; of all ten units these two are not half


def test_min_p_asks_for_the_likeliest_after_the_temperature():
    logits = row(math.log(0.5), math.log(0.26), math.log(0.24))
    assert kept(probabilities(logits, Sampling(min_p=0.5)).log()) == [0, 1]
    assert kept(probabilities(logits, Sampling(temperature=0.5, min_p=0.5)).log()) == [0]
    assert kept(probabilities(logits, Sampling(temperature=9, min_p=0.5)).log()) == [0, 1, 2]
    assert kept(keep_min_p(row(2, 1, 2, -INF), 1)) == [0, 2]
    assert kept(keep_min_p(row(0, -INF, -744), 5e-324)) == [0, 2]


def test_a_penalty_is_for_what_was_seen_once_or_often_and_never_raises():
    logits = row(2, -2, 0, -INF, 2, -2)
    weaker = penalise_repetition(logits, torch.tensor([[0, 1, 0, 0, 2, 3]]), 2.0)
    assert weaker[0].tolist() == [1, -4, 0, -INF, 2, -2]
    assert torch.equal(penalise_repetition(logits, torch.tensor([[0, 1, 2, 3]]), 1.0), logits)


def test_each_row_is_penalised_for_what_it_saw_itself():
    logits = torch.tensor([[1.0, 2, 3], [1, 2, 3]], dtype=torch.float64)
    assert penalise_repetition(logits, torch.tensor([[0, 0], [2, 1]]), 2.0).tolist() == [[0.5, 2, 3], [1, 1, 1.5]]


@pytest.mark.parametrize("penalty", [5e-324, 1e-300, 1e300, 1.7e308])
def test_no_penalty_makes_a_nan(penalty):
    for logits in (row(*LOGITS), row(-5, -7), row(1e308, -1e308, -INF), row(-3e38, -INF, 3e38), row(0)):
        p = probabilities(logits, Sampling(0.5, repetition_penalty=penalty), torch.arange(logits.shape[1])[None])
        assert p.isfinite().all()
        assert p.sum() == pytest.approx(1)
        assert not p[logits == -INF].any()


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


@given(logits=rows, p=st.floats(0, 1, exclude_min=True) | st.sampled_from([1.0, 5e-324, 0.5, 0.1]))
def test_min_p_keeps_just_what_is_likely_enough(logits, p):
    cut = keep_min_p(row(*logits), p)[0].tolist()
    assert all(after in (before, -INF) for before, after in zip(logits, cut, strict=True))
    for before, after in zip(logits, cut, strict=True):
        share = math.exp(before - max(logits))
        assert after == before or share <= p * (1 + 1e-12)
        assert after == -INF or share >= p * (1 - 1e-12)
    assert cut[by_rank(logits)[0]] == max(logits)
    assert not torch.isnan(row(*cut).softmax(-1)).any()


@given(
    logits=rows,
    seen=st.lists(st.integers(0, 11), min_size=1, max_size=6),
    penalty=st.floats(0, exclude_min=True, allow_infinity=False) | st.sampled_from([1.0, 1.2, 5e-324, 1e308]),
)
def test_a_penalty_changes_what_was_seen_towards_less_and_nothing_else(logits, seen, penalty):
    seen = [i % len(logits) for i in seen]
    found = penalise_repetition(row(*logits), torch.tensor([seen]), penalty)[0].tolist()
    for i, (before, after) in enumerate(zip(logits, found, strict=True)):
        assert (after == -INF) == (before == -INF)
        if i not in seen or penalty == 1:
            assert after == before
        else:
            assert after <= before if penalty > 1 else after >= before
            assert after * before >= 0 or before == -INF  # of the same sign


@given(
    logits=rows,
    rules=st.builds(
        Sampling,
        temperature=st.sampled_from([0.0, 0.3, 1.0, 5.0]),
        top_k=st.none() | st.integers(1, 12),
        top_p=st.none() | st.floats(0, 1, exclude_min=True),
        min_p=st.none() | st.floats(0, 1, exclude_min=True),
        repetition_penalty=st.none() | st.floats(0.01, 100),
    ),
)
def test_all_rules_together_leave_probabilities_and_the_likeliest(logits, rules):
    seen = torch.tensor([[0]])
    p = probabilities(row(*logits), rules, seen)[0]
    assert p.isfinite().all()
    assert p.sum() == pytest.approx(1)
    assert not p[row(*logits)[0] == -INF].any()
    penalty = rules.repetition_penalty or 1.0
    best = by_rank(penalise_repetition(row(*logits), seen, penalty)[0].tolist())[0]
    assert p[best] == p.max()


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


@pytest.mark.parametrize("name", ["top_p", "min_p"])
@pytest.mark.parametrize("value", [0, -0.5, 1.01, float("nan"), INF, True, "0.9"])
def test_a_share_without_meaning_is_refused(name, value):
    with pytest.raises(UsageError) as error:
        Sampling(**{name: value})
    assert str(error.value) == (
        f"{name} is {value}; it has to be above 0 and at most 1; leave it out to choose among all units."
    )


@pytest.mark.parametrize("value", [0, -1.2, float("nan"), INF, True, "1.2", 10**400])
def test_a_repetition_penalty_without_meaning_is_refused(value):
    with pytest.raises(UsageError) as error:
        Sampling(repetition_penalty=value)
    assert str(error.value) == (
        f"repetition_penalty is {value}; it has to be a finite number above 0; 1 changes nothing, 1.2 is usual."
    )


def test_ends_of_the_ranges_and_numpy_numbers_are_fine():
    Sampling(0, 1, 1, 1, 1)
    Sampling(np.float64(0.8), np.int64(5), np.float32(0.5), np.float32(0.5), Fraction(6, 5))
    assert kept(keep_top_k(row(*LOGITS), 10**9)) == [0, 1, 2, 3, 4, 6, 7, 8, 9]
