"""Forms of attention side by side: each does the same training, and what is said of them is what was found."""

import pytest

from hornbook.training.forms import Lap, race, tell


@pytest.fixture
def tasks(tiny_task):
    return lambda *forms: {form: tiny_task(model={"attention": form}) for form in forms}


def test_forms_of_attention_learn_the_same(tasks):
    laps = race(tasks("heads", "batched", "fused"), steps=4)
    assert list(laps) == ["heads", "batched", "fused"]
    for lap in laps.values():
        assert lap.seconds > 0
        assert lap.losses == pytest.approx(laps["heads"].losses, abs=1e-5)
    assert len(set(laps["heads"].losses)) == 4  # it did train


def test_what_is_another_model_is_seen(tasks):
    laps = race(tasks("heads", "nothing"), steps=3)
    assert laps["heads"].losses[-1] != pytest.approx(laps["nothing"].losses[-1], abs=1e-4)


def test_what_is_said():
    laps = {"heads": Lap(0.012, (4.0, 3.5)), "batched": Lap(0.008, (4.0, 3.5000004))}
    assert tell(laps) == (
        "heads 12.0 ms a step, batched 8.0 ms a step (1.50 × as fast); over 2 steps the losses differ by 4e-07 at most"
    )
