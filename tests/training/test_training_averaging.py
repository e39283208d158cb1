"""The average: equal to the sum it stands for, out of the way of the training, and what a run evaluates and saves."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hornbook.errors import UsageError
from hornbook.model.weights import load_weights
from hornbook.runs import checkpoints, log
from hornbook.training import loop
from hornbook.training.averaging import Average


@settings(deadline=None)
@given(decay=st.floats(0, 0.999999), values=st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=30))
def test_it_is_the_sum_that_it_stands_for(decay, values):
    weight = torch.zeros(2, dtype=torch.float64)
    average, expected = Average([weight], decay), 0.0
    for step, value in enumerate(values, 1):
        weight.fill_(value)
        average.update(step)
        kept = min(decay, (1 + step) / (10 + step))
        expected = kept * expected + (1 - kept) * value
    assert average.means[0].tolist() == pytest.approx([expected] * 2, rel=1e-9, abs=1e-9)


def test_of_weights_that_stay_it_is_those_and_the_first_ones_are_soon_forgotten():
    weight = torch.nn.Parameter(torch.tensor([1.0]))
    average = Average([weight], 0.999)
    weight.data.fill_(3.0)
    for step in range(1, 51):
        average.update(step)
    assert average.means[0].item() == pytest.approx(3, abs=1e-3)  # 0.999 alone would have 1.1


def test_it_changes_places_with_the_weights_bit_for_bit_and_comes_back_after_an_error():
    weight = torch.nn.Parameter(torch.rand(5))
    average = Average([weight], 0.9)
    first = weight.detach().clone()
    weight.data.mul_(2)
    place = weight.data_ptr()

    def look():
        with average.shown():
            assert torch.equal(weight, first)
            assert torch.equal(average.means[0], 2 * first)
            raise RuntimeError("on the way")

    with pytest.raises(RuntimeError, match="on the way"):
        look()
    assert torch.equal(weight, 2 * first)
    assert torch.equal(average.means[0], first)
    assert weight.data_ptr() == place  # whatever holds on to a weight sees the change
    assert weight.requires_grad
    assert not average.means[0].requires_grad


def test_what_is_trained_does_not_know_of_it(tiny_task, new_folder, silent):
    """The losses of the steps are those without it; those of the evaluations are not."""
    found = []
    for average in (0.0, 0.9):
        folder = new_folder()
        loop.fit(tiny_task(average=average), folder, silent)
        records = log.read(folder.log_path)
        found.append([[r[name] for r in records if name in r] for name in ("batch_loss", "gradient_norm", "val_loss")])
    (steps, norms, looks), (same, also, others) = found
    assert (steps, norms) == (same, also)
    assert looks[0] == others[0]
    assert looks[1:] != others[1:]


def test_what_is_saved_is_what_was_evaluated_and_beside_it_what_is_trained(tiny_task, new_folder, silent):
    folders, plain, made = (new_folder(), new_folder()), tiny_task(), tiny_task(average=0.9)
    loop.fit(plain, folders[0], silent)
    loop.fit(made, folders[1], silent)
    saved = checkpoints.latest(folders[1], print)
    trained = {name.removesuffix("/trained"): w for name, w in saved.optimizer().items() if name.endswith("/trained")}
    last = checkpoints.latest(folders[0], print).weights()
    assert trained.keys() == last.keys() == saved.weights().keys()
    assert all(torch.equal(trained[name], last[name]) for name in last)
    assert all(torch.equal(trained[name], weight) for name, weight in made.model.state_dict().items())
    load_weights(made.model, saved.weights())
    assert made.look(6)[0]["val_loss"] == log.read(folders[1].log_path)[-2]["val_loss"]


@pytest.mark.parametrize("damage", ["missing", "other", "shape", "unasked"])
def test_a_checkpoint_of_another_kind_is_refused_by_the_weight(tiny_task, new_folder, silent, monkeypatch, damage):
    folder = new_folder()
    loop.fit(tiny_task(average=0.9, steps=3), folder, silent)
    memory = checkpoints.latest(folder, print).optimizer()
    if damage == "missing":
        del memory["head.weight/trained"]
    if damage == "other":
        memory["tail/trained"] = torch.zeros(1)
    if damage == "shape":
        memory["head.weight/trained"] = torch.zeros(1)
    monkeypatch.setattr(checkpoints.Checkpoint, "optimizer", lambda self: memory)
    said = {
        "missing": "the weight 'head.weight' is missing",
        "other": "the weight 'tail' is not one of this model",
        "shape": "the weight 'head.weight' is \\(1,\\); the model's",
        "unasked": "/trained' is nothing the optimizer remembers",
    }
    with pytest.raises(UsageError, match=said[damage]):
        loop.fit(tiny_task(average=0.0 if damage == "unasked" else 0.9), folder, silent)
