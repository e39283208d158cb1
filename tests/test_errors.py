"""The user's errors: a kind of their own, and hints that help."""

import pytest

from hornbook.errors import UsageError, nearest


def test_a_usage_error_is_a_value_error_with_its_message():
    with pytest.raises(ValueError, match="what to do") as caught:
        raise UsageError("what was wrong; what to do")
    assert str(caught.value) == "what was wrong; what to do"


@pytest.mark.parametrize(
    ("word", "known", "hint"),
    [
        ("quik", ["quick", "small", "bigram"], "did you mean 'quick'?"),
        ("cosin", ("constant", "linear", "cosine"), "did you mean 'cosine'?"),
        ("model.n_layr", {"model.n_layer": 1, "model.n_head": 2}, "did you mean 'model.n_layer'?"),
        ("zzz", {"b", "a"}, "known: a, b."),
        ("", ["a"], "known: a."),
        ("same", ["same"], "did you mean 'same'?"),
    ],
)
def test_nearest_names_the_closest_or_else_all_in_order(word, known, hint):
    assert nearest(word, known) == hint
    assert nearest(word, iter(known)) == hint
