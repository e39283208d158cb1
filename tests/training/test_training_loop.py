"""The loop: what it keeps, when it stops, and what it does when a loss is no number any more."""

import json
import math
import re
import threading

import pytest
import torch

from hornbook.errors import UsageError
from hornbook.runs import checkpoints, log
from hornbook.training import loop, task
from hornbook.training.evaluate import Score
from hornbook.training.schedule import learning_rate
from hornbook.training.step import TrainStep


def steps_kept(folder):
    return [saved.step for saved in checkpoints.all_checkpoints(folder)]


def unexpected(line):
    raise AssertionError(line)


@pytest.fixture
def scripted(monkeypatch):
    """Let evaluations find the validation losses that a test says, one after the other."""

    def script(losses):
        left = list(losses)
        found = []

        def evaluate(model, ids, *rest, **options):
            found.append(len(ids))
            loss = left.pop(0) if len(found) % 2 == 0 else 1.0  # the training text comes first
            return Score(loss, 10, 10, 10)

        monkeypatch.setattr(task, "evaluate", evaluate)
        return left

    return script


def test_what_the_log_says(tiny_task, new_folder, silent):
    """Each step once with its rate, each evaluation twice (losses and sample), in order."""
    made, folder = tiny_task(), new_folder()
    assert loop.fit(made, folder, silent) == "done"
    records = log.read(folder.log_path)
    assert [r["step"] for r in records] == [0, 0, 1, 2, 3, 3, 3, 4, 5, 6, 6, 6]
    updates = [r for r in records if "batch_loss" in r]
    assert [r["step"] for r in updates] == [1, 2, 3, 4, 5, 6]
    assert all(set(r) == {"step", "batch_loss", "gradient_norm", "lr"} for r in updates)
    assert [r["lr"] for r in updates] == [learning_rate(step, 6, made.recipe) for step in range(1, 7)]
    looks = [r for r in records if "val_loss" in r]
    assert [r["step"] for r in looks] == [0, 3, 6]
    assert all(set(r) == {"step", "train_loss", "train_slice", "val_loss", "val_slice"} for r in looks)
    assert all(r["train_slice"] == r["val_slice"] == 64 for r in looks)
    drawn = [r["sample"] for r in records if "sample" in r]
    assert len(drawn) == 3
    assert all(len(sample) == 5 for sample in drawn)
    shown = folder.samples_path.read_text(encoding="utf-8")
    assert shown == "".join(f"----- step {s} -----\n{sample}\n\n" for s, sample in zip((0, 3, 6), drawn, strict=True))
    first = updates[0]["batch_loss"]
    assert abs(first - math.log(made.shards.tokenizer.vocab_size)) < 0.2


def test_random_batches_are_in_the_log_if_asked_for(tiny_task, new_folder, silent):
    folder = new_folder()
    loop.fit(tiny_task(random_batches=2), folder, silent)
    looks = [r for r in log.read(folder.log_path) if "val_loss" in r]
    for name in ("train", "val"):
        assert all(abs(r[f"{name}_loss_random_batches"] - r[f"{name}_loss"]) < 1 for r in looks)


def test_the_newest_and_the_best_checkpoint_are_kept(tiny_task, new_folder, silent, scripted):
    for losses, kept in (([4, 2, 3], [3, 6]), ([4, 3, 2], [6]), ([1, 2, 3], [0, 6]), ([4, 2, 2], [3, 6])):
        folder = new_folder()
        scripted(losses)
        assert loop.fit(tiny_task(), folder, silent) == "done"
        assert steps_kept(folder) == kept
        assert sorted(path.name for path in folder.checkpoints_path.iterdir()) == [f"step-{s:08d}" for s in kept]


def test_a_run_saves_between_evaluations_too(tiny_task, new_folder, silent, monkeypatch):
    saves = []
    real = checkpoints.save

    def save(folder, step, *rest):
        saves.append(step)
        return real(folder, step, *rest)

    monkeypatch.setattr(checkpoints, "save", save)
    loop.fit(tiny_task(), new_folder(), silent)
    assert saves == [0, 3, 6]
    saves.clear()
    monkeypatch.setattr(loop, "SAVE_EVERY", -1.0)
    loop.fit(tiny_task(), new_folder(), silent)
    assert saves == [0, 1, 2, 3, 4, 5, 6]


def test_how_often_it_saves_and_reads_changes_nothing(tiny_task, new_folder, silent, monkeypatch, content):
    folders = [new_folder(), new_folder()]
    loop.fit(tiny_task(), folders[0], silent)
    monkeypatch.setattr(loop, "SAVE_EVERY", -1.0)
    monkeypatch.setattr(loop, "READ_EVERY", -1.0)
    loop.fit(tiny_task(), folders[1], silent)
    assert content(folders[0].path) == content(folders[1].path)


@pytest.mark.parametrize(
    ("losses", "patience", "steps"),
    [
        ([3, 2, 2.5, 2.6], 2, 9),  # the best was at step 3: two evaluations later it stops
        ([3, 2, 2, 2], 2, 9),  # not lower is not better
        ([3, 2, 2.5, 1, 1.5, 1.6], 2, 15),  # a new best, and the count begins again
        ([3, 4], 1, 3),
        ([5, 4, 3, 2, 1, 0.5, 0.4, 0.3], 1, 21),  # always better: to the end
    ],
)
def test_it_stops_early_after_so_many_evaluations(tiny_task, new_folder, silent, scripted, losses, patience, steps):
    left = scripted(losses)
    folder = new_folder()
    outcome = loop.fit(tiny_task(steps=21, early_stop=patience), folder, silent)
    assert not left
    assert outcome == ("done" if steps == 21 else "early")
    records = log.read(folder.log_path)
    assert records[-1]["step"] == steps
    best = 3 * losses.index(min(losses))
    assert steps_kept(folder) == sorted({best, steps})
    before = folder.log_path.read_bytes()
    assert loop.fit(tiny_task(steps=21, early_stop=patience), folder, silent) == outcome  # and it stays stopped
    assert folder.log_path.read_bytes() == before
    line = loop.score_whole(tiny_task(steps=21), folder, silent)  # of the best, at the step that was reached
    assert (line["step"], line["best_step"]) == (steps, best)


def test_the_score_at_the_end_is_exact(tiny_task, new_folder, silent):
    from hornbook.model.weights import load_weights
    from hornbook.training.evaluate import evaluate

    made, folder = tiny_task(), new_folder()
    loop.fit(made, folder, silent)
    line = loop.score_whole(made, folder, silent)
    assert log.read(folder.log_path)[-1] == line
    other = tiny_task(seed=2)
    (best,) = (saved for saved in checkpoints.all_checkpoints(folder) if saved.step == line["best_step"])
    load_weights(other.model, best.weights())
    score = evaluate(other.model, made.shards.val, 8, made.shards.tokenizer)
    assert line["final_val_loss"] == score.nats_per_character
    assert line["units"] == len(made.shards.val) - 1


def poisoned(made, step, what="loss"):
    """Let the model's loss, or only its gradient, be no number from update `step` on."""
    calls = []

    def forward(part, args, output):
        if not part.training:
            return output
        calls.append(1)
        bad = len(calls) > 2 * (step - 1)  # two pieces make an update
        if what == "loss":
            return output * (math.nan if bad else 1)
        output.register_hook(lambda gradient: gradient * (math.inf if bad else 1))
        return output

    made.model.norm.register_forward_hook(forward)
    return made


@pytest.mark.parametrize("what", ["loss", "gradient"])
@pytest.mark.parametrize("save_every", [60.0, -1.0])
def test_a_loss_that_is_no_number_stops_at_its_step(
    tiny_task, new_folder, silent, monkeypatch, content, what, save_every
):
    """It is named, what is in the log is good, the last good checkpoint stays, and from there it goes on."""
    monkeypatch.setattr(loop, "SAVE_EVERY", save_every)
    folder, whole = new_folder(), new_folder()
    with pytest.raises(UsageError) as caught:
        loop.fit(poisoned(tiny_task(), 5, what), folder, silent)
    message = str(caught.value)
    became = re.fullmatch(
        rf"the {what} became (nan|inf) at step 5; the newest checkpoint is from before\. "
        r"Try a lower recipe\.learning_rate or more recipe\.warmup in a new run\.",
        message,
    )
    assert became
    assert what == "gradient" or became[1] == "nan"
    newest = checkpoints.latest(folder, unexpected)
    assert newest.step == (3 if save_every > 0 else 4)
    assert all(torch.isfinite(weight).all() for weight in newest.weights().values())
    assert max(r["step"] for r in log.read(folder.log_path)) < 5
    loop.fit(tiny_task(), folder, silent)  # without the poison
    monkeypatch.setattr(loop, "SAVE_EVERY", 60.0)
    loop.fit(tiny_task(), whole, silent)
    assert content(folder.path) == content(whole.path)


@pytest.mark.parametrize("at", [1, 6])
@pytest.mark.parametrize("what", ["weight", "memory"])
@pytest.mark.parametrize("number", [math.nan, -math.inf])
def test_what_is_no_number_is_never_saved(tiny_task, new_folder, silent, monkeypatch, at, what, number):
    """It is put into a weight, or into what the optimizer remembers of it, once the step's own loss is known."""
    monkeypatch.setattr(loop, "SAVE_EVERY", -1.0)
    made, folder, real = tiny_task(), new_folder(), TrainStep.__call__

    def step(self, number_of_step, *batch):
        result = real(self, number_of_step, *batch)
        if number_of_step == at:
            weight = dict(self.model.named_parameters())["norm.weight"]
            of = weight if what == "weight" else self.optimizer.state[weight]["exp_avg"]
            of.data[0] = number
        return result

    monkeypatch.setattr(TrainStep, "__call__", step)
    with pytest.raises(UsageError) as caught:
        loop.fit(made, folder, silent)
    said = str(caught.value)  # the save says it, or the next step's loss does before that
    saving = re.match(rf"'norm\.weight(/exp_avg)?' holds NaN or an infinity at step {at},", said)
    assert saving or re.match(rf"the (train )?loss became (nan|inf) at step ({at}|{at + 1});", said), said
    newest = checkpoints.latest(folder, unexpected)
    assert newest.step == at - 1
    for tensors in (newest.weights(), newest.optimizer()):
        assert all(tensor.isfinite().all() for tensor in tensors.values())


def test_every_nth_checkpoint_is_kept_when_asked_for(tiny_task, new_folder, silent, monkeypatch, content):
    folder, resumed = new_folder(), new_folder()
    loop.fit(tiny_task(steps=9, keep_every=2, evaluate_every=9), folder, silent)
    assert set(steps_kept(folder)) >= {2, 4, 6, 8, 9}
    assert set(steps_kept(folder)) <= {0, 2, 4, 6, 8, 9}
    monkeypatch.setattr(loop, "SAVE_EVERY", -1.0)
    loop.fit(tiny_task(steps=9, keep_every=2, evaluate_every=9), resumed, silent)
    assert content(resumed.path) == content(folder.path)


def test_a_rate_far_too_high_is_told_of(tiny_task, new_folder, silent):
    folder = new_folder()
    with pytest.raises(UsageError, match=r"^the loss became nan at step 2; .* lower recipe\.learning_rate"):
        loop.fit(tiny_task(learning_rate=1e38, warmup=0), folder, silent)
    assert steps_kept(folder) == [0]


@pytest.mark.parametrize("sample_length", [5, 0])
def test_an_evaluation_that_finds_no_number_is_told_of(tiny_task, new_folder, silent, sample_length):
    """The last update before it broke the weights, while its own loss was still fine."""
    folder = new_folder()
    with pytest.raises(UsageError) as caught:
        loop.fit(tiny_task(learning_rate=1e38, warmup=0, evaluate_every=1, sample_length=sample_length), folder, silent)
    assert "step 1" in str(caught.value)
    assert "recipe.learning_rate" in str(caught.value)
    assert steps_kept(folder) == [0]


def test_progress_says_what_happens(tiny_task, new_folder, silent):
    lines = []

    class Heard(type(silent)):
        def say(self, text):
            lines.append(text)

    folder = new_folder()
    loop.fit(tiny_task(), folder, Heard())
    told = [line for line in lines if line.startswith("step ")]
    assert [line.partition("  ")[0] for line in told] == ["step 0 of 6", "step 3 of 6", "step 6 of 6"]
    looks = [r for r in log.read(folder.log_path) if "val_loss" in r]
    for line, look in zip(told, looks, strict=True):
        assert f"val {look['val_loss']:.4f}" in line
        assert f"train {look['train_loss']:.4f}" in line
    times = [json.loads(line) for line in folder.times_path.read_text(encoding="utf-8").splitlines()]
    assert [r["step"] for r in times] == [0, 3, 6]
    assert all(r["tokens_per_second"] >= 0 for r in times)


def test_it_runs_outside_of_the_main_thread(tiny_task, new_folder, silent, content):
    """Where Python allows no handlers for signals: a notebook's worker, a server."""
    folder, other, outcomes = new_folder(), new_folder(), []

    def work():
        torch.set_num_threads(1)
        outcomes.append(loop.fit(tiny_task(), folder, silent))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert outcomes == ["done"]
    loop.fit(tiny_task(), other, silent)
    assert content(folder.path) == content(other.path)


def test_a_step_is_given_its_own_batch(tiny_task, new_folder, silent, monkeypatch):
    """Update s is made with the windows of step s, however training came there."""
    seen = {}
    real = TrainStep.__call__

    def step(self, number, inputs, targets):
        seen[number] = inputs.clone(), targets.clone()
        return real(self, number, inputs, targets)

    monkeypatch.setattr(TrainStep, "__call__", step)
    made = tiny_task()
    loop.fit(made, new_folder(), silent)
    assert list(seen) == [1, 2, 3, 4, 5, 6]
    for number, (inputs, targets) in seen.items():
        again = made.batch(number)
        assert torch.equal(inputs, again[0])
        assert torch.equal(targets, again[1])
        assert inputs.shape == (4, 8)
        assert torch.equal(inputs[:, 1:], targets[:, :-1])
    assert len({tuple(inputs.flatten().tolist()) for inputs, _ in seen.values()}) == 6
