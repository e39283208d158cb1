"""Going on: after a stop, a kill or a full disk, at any moment, a run comes out byte for byte as without it."""

import errno
import json
import os
import re
import shutil
import signal
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

import hornbook as hb
from hornbook.errors import UsageError
from hornbook.runs import checkpoints, log, picture
from hornbook.runs.folder import RunFolder
from hornbook.training import loop
from hornbook.training.step import TrainStep
from hornbook.training.task import Task

SETTINGS = {
    "model.n_layer": 2,
    "model.n_embd": 8,
    "model.n_head": 2,
    "model.block_size": 8,
    "model.dropout": 0.1,
    "model.values": "embedding",
    "recipe.batch_size": 4,
    "recipe.accumulate": 2,
    "recipe.evaluate_every": 10,
    "recipe.evaluate_on": 64,
    "recipe.sample_length": 10,
    "recipe.learning_rate": 0.01,
    "recipe.warmup": 5,
    "recipe.schedule": "cosine",
    "recipe.steps": 30,
}


class Killed(BaseException):
    """The process dies here."""


POINTS = [
    (TrainStep, "__call__"),
    (Task, "look"),
    (log.Log, "append"),
    (checkpoints, "save"),
    (checkpoints, "prune"),
    (checkpoints, "write_new"),
    (checkpoints, "move"),
]


@contextmanager
def dying(at=None):
    """Count the moments before each of POINTS; die at number `at`, and from then on do nothing."""
    passed = []

    def watched(real, name):
        def call(*args, **options):
            passed.append(name)
            if at is not None and len(passed) >= at:
                raise Killed
            return real(*args, **options)

        return call

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "SAVE_EVERY", -1.0)
        for place, name in POINTS:
            patch.setattr(place, name, watched(getattr(place, name), name))
        yield passed


def holds(found, expected):
    """Assert that a run holds all of another, byte for byte; older checkpoints may still stand about."""
    more = {name.partition("/")[0] for name in found.keys() - expected.keys()}
    assert more <= {"checkpoints"}
    for name, data in expected.items():
        assert found[name] == data, name


@pytest.fixture
def die_everywhere(tiny_task, new_folder, silent, content):
    """Train to the end; then again for each moment there was, dying there and going on."""

    def check(**recipe):
        whole = new_folder()
        with dying() as passed:
            loop.fit(tiny_task(**recipe), whole, silent)
        assert set(passed) == {name for _, name in POINTS}
        expected = content(whole.path)
        for at in range(1, len(passed) + 1):  # saves go on beside the steps: which moment is number `at` may differ
            folder = new_folder()
            with dying(at), pytest.raises(Killed):
                loop.fit(tiny_task(**recipe), folder, silent)
            assert loop.fit(tiny_task(**recipe), folder, silent) == "done"
            holds(content(folder.path), expected)
            shutil.rmtree(folder.path)

    return check


def test_dying_at_each_moment_changes_nothing(die_everywhere):
    """The process ends before each step, evaluation, line, file, renaming and cleaning, and goes on from there."""
    die_everywhere(steps=2, evaluate_every=2)


@pytest.mark.slow
def test_dying_at_each_moment_changes_nothing_of_an_average(die_everywhere):
    """The weights that are trained, and those that are saved as such, are two; windows grow, rates turn."""
    more = {"optimizer": "muon", "average": 0.9, "hold": 0.5, "decay_schedule": "linear", "length_warmup": 0.7}
    die_everywhere(steps=3, evaluate_every=2, **more)


@pytest.mark.slow
@pytest.mark.parametrize("attention", ["heads", pytest.param("batched", marks=pytest.mark.long), "fused"])
def test_dying_at_each_moment_of_a_longer_run_changes_nothing(die_everywhere, attention):
    die_everywhere(steps=7, model={"attention": attention})


@pytest.mark.slow
def test_dying_again_and_again_changes_nothing(tiny_task, new_folder, silent, content):
    """A machine that never stays up for long: the n-th moment of each attempt is its last."""
    whole = new_folder()
    loop.fit(tiny_task(steps=12), whole, silent)
    for at in range(26, 60):  # enough for one step and its checkpoint
        folder = new_folder()
        for _ in range(50):
            try:
                with dying(at):
                    outcome = loop.fit(tiny_task(steps=12), folder, silent)
                break
            except Killed:
                continue
        assert outcome == "done"
        holds(content(folder.path), content(whole.path))


@pytest.fixture(scope="module")
def whole(tiny_task, silent, content, tmp_path_factory):
    """Return what six steps leave behind if nothing happens."""
    folder = RunFolder.create(tmp_path_factory.mktemp("whole") / "run", "")
    loop.fit(tiny_task(), folder, silent)
    return content(folder.path)


def test_resuming_what_is_done_changes_nothing(tiny_task, new_folder, silent, content):
    folder = new_folder()
    loop.fit(tiny_task(), folder, silent)
    before = content(folder.path)
    made = tiny_task(seed=1)
    assert loop.fit(made, folder, silent) == "done"
    assert content(folder.path) == before
    newest = checkpoints.latest(folder, print).weights()
    assert all(torch.equal(newest[name], weight) for name, weight in made.model.state_dict().items())


def test_a_damaged_newest_checkpoint_is_stepped_over(tiny_task, new_folder, silent, content, whole, monkeypatch):
    folder, lines = new_folder(), []
    monkeypatch.setattr(checkpoints, "prune", lambda *words: None)
    loop.fit(tiny_task(), folder, silent)
    monkeypatch.undo()
    weights = folder.checkpoints_path / "step-00000006" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")

    class Heard(type(silent)):
        def say(self, text):
            lines.append(text)

    assert loop.fit(tiny_task(), folder, Heard()) == "done"
    assert lines[0].startswith("stepping over step-00000006: ")
    assert lines[1] == "going on from step 3 of 6"
    found = content(folder.path)
    assert all(found[name] == data for name, data in whole.items())


def test_a_log_that_was_changed_is_told_of_and_one_without_a_seal_is_not(tiny_task, new_folder, silent):
    lines = []

    class Heard(type(silent)):
        def say(self, text):
            lines.append(text)

    folder = new_folder()
    loop.fit(tiny_task(), folder, silent)
    whole = folder.log_path.read_bytes()
    for changed in (re.sub(rb'("gradient_norm": \d\.)(.)', lambda m: m[1] + b"%d" % (9 - int(m[2])), whole), whole):
        folder.log_path.write_bytes(changed)
        loop.fit(tiny_task(), folder, Heard())
    said = f"{folder.log_path} is not as it was when the checkpoint was saved: "
    assert [line.removeprefix(said) for line in lines] == [
        "going on from step 6 of 6",
        "what it says of the steps before may be wrong",
        "going on from step 6 of 6",
    ]
    assert log.changed_since(folder.log_path, {"step": 6}) == ""
    for hostile in ("1", -1, True, 10**30, None, [2]):
        log.changed_since(folder.log_path, {"log_bytes": hostile, "log_sha256": hostile})


def test_if_no_checkpoint_is_whole_it_does_not_begin_anew_in_silence(tiny_task, new_folder, silent):
    folder = new_folder()
    loop.fit(tiny_task(), folder, silent)
    for weights in folder.checkpoints_path.glob("*/weights.safetensors"):
        weights.unlink()
    with pytest.raises(UsageError, match=r"^none of the \d checkpoints in .* is whole: train it again"):
        loop.fit(tiny_task(), folder, silent)


@pytest.mark.parametrize("failing", ["weights", "optimizer", "state", "manifest"])
@pytest.mark.parametrize("save", [1, 2])
def test_a_disk_that_fills_up(tiny_task, new_folder, silent, content, whole, monkeypatch, failing, save):
    """The error goes on to the user, the older checkpoint is whole, and with more room the run comes out the same."""
    folder, real, tried = new_folder(), checkpoints.write_new, []

    def write_new(path, *pieces):
        tried.append(path.stem)
        if tried.count(failing) > save and path.stem == failing:
            data = b"".join(map(bytes, pieces))
            path.write_bytes(data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        real(path, *pieces)

    monkeypatch.setattr(checkpoints, "write_new", write_new)
    with pytest.raises(OSError, match="No space left") as caught:
        loop.fit(tiny_task(), folder, silent)
    assert caught.value.errno == errno.ENOSPC
    newest = checkpoints.latest(folder, print)
    newest.verify()
    assert newest.step == 3 * (save - 1)
    assert not list(folder.checkpoints_path.glob(".*"))
    monkeypatch.undo()
    assert loop.fit(tiny_task(), folder, silent) == "done"
    assert content(folder.path) == whole


def test_a_disk_too_full_for_the_log(tiny_task, new_folder, silent, content, whole, monkeypatch):
    folder, real, calls = new_folder(), log.Log.flush, []

    def flush(self):
        calls.append(self)
        if len(calls) > 2:
            real(self)
            with self._file.raw.__class__(self._file.fileno(), "ab", closefd=False) as file:
                file.write(b'{"step": 3, "val_lo')  # half a line reached the disk
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(self)

    monkeypatch.setattr(log.Log, "flush", flush)
    with pytest.raises(OSError, match="No space left"):
        loop.fit(tiny_task(), folder, silent)
    monkeypatch.undo()
    assert folder.log_path.read_bytes().endswith(b"val_lo")
    assert loop.fit(tiny_task(), folder, silent) == "done"
    assert content(folder.path) == whole


# From here on through the doors that a user takes: hb.train, hb.resume, and the command line.


@pytest.fixture(scope="module")
def text(tmp_path_factory, made_up):
    path = tmp_path_factory.mktemp("own") / "ಹಾಡು.txt"
    path.write_bytes(made_up(900).encode("utf-8"))
    return path


@pytest.fixture
def train(text, tmp_path):
    def start(name="run", seed=1, **settings):
        return hb.train(text, "small", out=tmp_path / name, settings={**SETTINGS, **settings}, seed=seed, progress=None)

    return start


@pytest.fixture(scope="module")
def uninterrupted(text, tmp_path_factory, content):
    """Return what a run of 30 steps leaves behind."""
    run = hb.train(text, "small", out=tmp_path_factory.mktemp("runs") / "run", settings=SETTINGS, progress=None)
    found = content(run.path)
    assert {"log.jsonl", "samples.txt", "loss.csv", "checkpoints/step-00000030/weights.safetensors"} <= found.keys()
    assert run.state == "done"
    return found


def test_the_same_seed_gives_the_same_run_and_another_another(train, uninterrupted, content):
    assert content(train("same").path) == uninterrupted
    other = content(train("other", seed=2).path)
    for name in ("log.jsonl", "samples.txt", "loss.csv", "checkpoints/step-00000030/weights.safetensors"):
        assert other[name] != uninterrupted[name]


@pytest.mark.parametrize("seed", [0, 2**32, 2**64 - 1])
def test_every_seed_is_one(train, seed):
    settings = {"recipe.steps": 2, "recipe.evaluate_every": 1}
    assert train(f"seed{seed}", seed=seed, **settings).state == "done"


def test_a_seed_that_is_none_is_refused(train):
    for seed in (-1, 2**64):
        with pytest.raises(UsageError, match=rf"^the seed is {seed}; it has to be from 0 to 2\*\*64 - 1\.$"):
            train("never", seed=seed)


@pytest.mark.parametrize("during", ["score_whole", "picture", "notes"])
def test_dying_after_the_last_step_loses_nothing(train, tmp_path, uninterrupted, content, monkeypatch, during):
    from hornbook import api

    def die(*args, **options):
        raise Killed

    place, name = {"score_whole": (api, "score_whole"), "picture": (picture, "draw"), "notes": (api.notes, "add")}[
        during
    ]
    monkeypatch.setattr(place, name, die)
    with pytest.raises(Killed):
        train()
    monkeypatch.undo()
    run = hb.resume(tmp_path / "run", progress=None)
    assert run.state == "done"
    assert content(run.path) == uninterrupted
    assert run.folder.png_path.exists()
    assert "## Came out" in run.folder.notes_path.read_text(encoding="utf-8")


def test_resuming_a_run_that_is_done_says_so(train, content):
    import io

    run = train()
    before, said = content(run.path), io.StringIO()
    hb.resume(run.path, progress=said)
    assert "nothing is left to train" in said.getvalue()
    assert content(run.path) == before
    assert run.folder.notes_path.read_text(encoding="utf-8").count("## Came out") == 1


def test_a_text_that_has_changed_is_refused(made_up, tmp_path, monkeypatch):
    """With the ids gone from the cache; while they are there, the text is not needed."""
    monkeypatch.setenv("HORNBOOK_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "text.txt"
    path.write_bytes(made_up(900).encode("utf-8"))
    with dying(at=100), pytest.raises(Killed):
        hb.train(path, "small", out=tmp_path / "run", settings=SETTINGS, progress=None)
    shutil.rmtree(tmp_path / "cache")
    path.write_bytes(made_up(903).encode("utf-8"))
    with pytest.raises(UsageError) as caught:
        hb.resume(tmp_path / "run", progress=None)
    assert str(caught.value) == (
        f"{path.resolve()} is not the text that {tmp_path / 'run'} was begun with: it has changed since. "
        "Put the old text back, or train on the new one in a run of its own."
    )
    path.unlink()
    with pytest.raises(UsageError) as caught:
        hb.resume(tmp_path / "run", progress=None)
    assert str(path.resolve()) in str(caught.value)
    path.write_bytes(made_up(900).encode("utf-8"))
    assert hb.resume(tmp_path / "run", progress=None).state == "done"


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        hb.resume(tmp_path / "nothing", progress=None)
    with pytest.raises(UsageError, match="is not a run"):
        hb.resume(tmp_path, progress=None)


@pytest.mark.parametrize(
    ("number", "moment"),
    [(signal.SIGINT, "step 14"), (signal.SIGTERM, "step 20"), (signal.SIGINT, "look 10"), (signal.SIGTERM, "look 0")],
)
@pytest.mark.parametrize("read_every", [60.0, -1.0])  # the losses wait to be fetched, or have been
def test_a_signal_stops_after_the_step_with_all_saved(
    train, tmp_path, uninterrupted, content, monkeypatch, number, moment, read_every
):
    monkeypatch.setattr(loop, "READ_EVERY", read_every)
    what, _, when = moment.partition(" ")
    step, look = TrainStep.__call__, Task.look

    def stepping(self, at, *batch):
        if (what, at) == ("step", int(when)):
            signal.raise_signal(number)
        return step(self, at, *batch)

    def looking(self, at):
        if (what, at) == ("look", int(when)):
            signal.raise_signal(number)
        return look(self, at)

    before = signal.getsignal(number)
    monkeypatch.setattr(TrainStep, "__call__", stepping)
    monkeypatch.setattr(Task, "look", looking)
    run = train()
    monkeypatch.undo()
    assert signal.getsignal(number) is before
    assert (run.state, run.reached) == ("stopped", f"step {when} of 30")
    assert run.final is None
    assert checkpoints.latest(run.folder, print).step == int(when)
    assert max(line["step"] for line in run.history) == int(when)
    assert run.folder.csv_path.exists()
    run = hb.resume(tmp_path / "run", progress=None)
    assert run.state == "done"
    assert content(run.path) == uninterrupted


def test_a_second_signal_interrupts_at_once(train, tmp_path, uninterrupted, content, monkeypatch):
    real = TrainStep.__call__

    def stepping(self, at, *batch):
        if at == 14:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
        return real(self, at, *batch)

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(TrainStep, "__call__", stepping)
    with pytest.raises(KeyboardInterrupt):
        train()
    monkeypatch.undo()
    assert signal.getsignal(signal.SIGINT) is before
    run = hb.resume(tmp_path / "run", progress=None)
    assert content(run.path) == uninterrupted


KILLED = """
import json, os, signal, sys
from hornbook.training import loop
from hornbook.training.step import TrainStep
from hornbook.runs import checkpoints, files

text, out, settings, moment, save_every = sys.argv[1:]
loop.SAVE_EVERY = float(save_every)
place, name, number = moment.split()
place = {"step": TrainStep, "save": checkpoints, "loop": loop}[place]
real, calls = getattr(place, name), []

def call(*args, **options):
    calls.append(name)
    if len(calls) == int(number):
        if name == "write_new":
            args[0].write_bytes(args[1][:9])
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*args, **options)

setattr(place, name, call)
import hornbook
from hornbook import api
api.score_whole = loop.score_whole
hornbook.train(text, "small", out=out, settings=json.loads(settings), progress=None)
raise SystemExit("it was not killed")
"""

MOMENTS = {
    "in a step": ("step __call__ 14", 60),
    "in a step, saved a step ago": ("step __call__ 27", -1),
    "in the middle of a checkpoint": ("save write_new 11", 60),
    "between two renames": ("save move 3", -1),
    "in the first look": ("save write_new 1", 60),
    "before the score": ("loop score_whole 1", 60),
}


def killed(python, text, out, moment):
    """Train in a process of its own, which the system kills without a word at that moment."""
    where, save_every = MOMENTS[moment]
    process = python("-c", KILLED, text, out, json.dumps(SETTINGS), where, save_every)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL, errors
    return out


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_killed_by_the_system_and_resumed(python, text, tmp_path, uninterrupted, content):
    """In a step, far from a checkpoint; and with half a checkpoint on disk. Both at once, as that saves time."""
    moments = ("in a step", "in the middle of a checkpoint")
    names = {moment: tmp_path / f"run{i}" for i, moment in enumerate(moments)}
    for moment, out in names.items():
        killed(python, text, out, moment)
        assert not (out / "loss.csv").exists()
        run = hb.resume(out, progress=None)
        assert run.state == "done"
        assert content(run.path) == uninterrupted, moment


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_by_the_system_at_other_moments(python, text, tmp_path, uninterrupted, content, moment):
    killed(python, text, tmp_path / "run", moment)
    assert content(hb.resume(tmp_path / "run", progress=None).path) == uninterrupted


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no Ctrl-C to one process alone")
def test_ctrl_c_on_the_command_line(python, text, tmp_path):
    """It ends well, says how to go on, and all up to there is saved, as in a run without an end of its own."""
    settings = {**SETTINGS, "recipe.steps": 10**6, "recipe.schedule": "constant"}
    words = [f"{name}={value}" for name, value in settings.items()]
    out = tmp_path / "run"
    process = python("-m", "hornbook.cli", "train", text, "--preset", "small", "--out", out, "--set", *words)
    for line in process.stdout:
        if line.startswith("step 20 of 1,000,000"):
            process.send_signal(signal.SIGINT)
            break
    said, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert f"stopped; everything is saved. Go on with: hornbook resume {out}" in said
    assert errors == ""
    run = hb.open(out)
    reached = checkpoints.latest(run.folder, print).step
    assert reached >= 20
    assert run.history[-1]["step"] == reached
    settings["recipe.steps"] = 20
    whole = hb.train(text, "small", out=tmp_path / "whole", settings=settings, progress=None)
    expected = whole.folder.log_path.read_bytes().splitlines()[:-1]  # but for the score at its end
    assert run.folder.log_path.read_bytes().splitlines()[: len(expected)] == expected


def test_paths_are_kept_in_the_script_that_they_are_in(train, text):
    run = train("one", **{"recipe.steps": 1})
    assert run.config["text"]["label"] == Path(text).stem == "ಹಾಡು"
