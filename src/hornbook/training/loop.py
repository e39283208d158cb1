"""The training loop: step, look, save, until it is done, or told to stop."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from hornbook.errors import UsageError
from hornbook.model.weights import get_weights, load_weights
from hornbook.runs import board, checkpoints, landmarks, log, samples
from hornbook.runs.files import naming
from hornbook.runs.folder import RunFolder
from hornbook.training.evaluate import evaluate
from hornbook.training.optimizers import get_memory, load_memory, make_optimizer
from hornbook.training.pace import Pace
from hornbook.training.progress import Progress, bar
from hornbook.training.saving import Saver, settle
from hornbook.training.schedule import evaluation_steps, learning_rate
from hornbook.training.step import TrainStep
from hornbook.training.stopping import StopSignals
from hornbook.training.task import Task, check_finite

TRAINED = "/trained"  # of a weight, in the optimizer's file: what it is, where its average is saved as the weight
SAVE_EVERY = 30.0  # seconds: what a power cut may cost, between evaluations
READ_EVERY = 0.5  # seconds: how often the losses of the steps are fetched from the device
SCORED_AT_END = 1 << 22  # units of the validation split; `hornbook evaluate` scores what is beyond


def fit(task: Task, folder: RunFolder, progress: Progress) -> str:
    """Train from the newest checkpoint of the run, or from the beginning: returns "done", "early" or "stopped".

    After a kill at any moment, calling this again gives the same weights and the same log, bit for bit.
    """
    settle()
    return _Loop(task, folder, progress).run()


class _Loop:
    """What the loop keeps between its steps."""

    def __init__(self, task: Task, folder: RunFolder, progress: Progress) -> None:
        self.task, self.folder, self.progress = task, folder, progress
        self.optimizer = make_optimizer(task.model, task.recipe)
        self.train_step = TrainStep(task.model, self.optimizer, task.recipe, task.steps, task.seed, task.dtype)
        self.average = self.train_step.average  # what is looked at and saved as the weights, where there is any
        self.step = self.saved = self._restore()
        for path in (folder.log_path, folder.times_path):
            log.truncate_after(path, self.step)
        records = log.read(folder.log_path)
        samples.write_samples(folder, records)
        steps = evaluation_steps(task.steps, task.recipe.evaluate_every)
        self.to_look = {step for step in steps if step > self.step}
        self.looks = log.evaluations(records)
        if self.step >= 0 and not (self.looks and records[-1]["step"] == self.step <= task.steps):
            raise UsageError(
                f"{folder.log_path} does not go to step {self.step:,}, as the checkpoints do: put it back."
            )
        self.finished = bool(self.looks) and self._early()
        self.losses: list[tuple[int, Tensor, Tensor]] = []  # of the steps not yet in the log
        self.loss = math.nan  # the newest that is
        self.copies: dict[str, Tensor] = {}  # of what is being saved: kept, for new memory is slow
        self.pace = Pace(self.step, task.recipe.batch_size * task.block_size)
        self.saved_at = self.read_at = time.monotonic()

    def _restore(self) -> int:
        """Go back to the newest checkpoint; return its step."""
        if not any(self.folder.checkpoints_path.glob("step-*")):
            return -1  # nothing has happened yet, not even the first look
        saved = checkpoints.latest(self.folder, self.progress.say)
        self.progress.say(f"going on from step {saved.step:,} of {self.task.steps:,}")
        if changed := log.changed_since(self.folder.log_path, saved.state()):
            self.progress.say(changed)
        with naming(saved.path):
            load_weights(self.task.model, saved.weights())
            memory = saved.optimizer()
            if self.task.recipe.average:
                self.average.swap()
                own = [key for key in memory if key.endswith(TRAINED)]
                load_weights(self.task.model, {key.removesuffix(TRAINED): memory.pop(key) for key in own})
            load_memory(self.task.model, self.optimizer, memory)
        return saved.step

    def run(self) -> str:
        """Step, look, save; say how it ended."""
        task, last = self.task, self.task.steps
        with StopSignals() as signals, self._logs():
            while self.step < last and not self.finished and not signals.asked:
                self.step += 1
                if self.step > 0:
                    loss, norm = self.train_step(self.step, *task.batch(self.step))
                    self.losses.append((self.step, loss, norm))
                if self.step in self.to_look:
                    self._look()
                elif self._is_kept(self.step) or time.monotonic() - self.saved_at > SAVE_EVERY:
                    self._save()
                self._show()
            if self.step > self.saved:
                self._save()
            self.progress.clear()
        if self.finished:
            return "early"
        return "done" if self.step == last else "stopped"

    @contextmanager
    def _logs(self) -> Iterator[None]:
        with (
            log.Log(self.folder.log_path) as self.log,
            log.Log(self.folder.times_path) as self.times,
            board.open_board(self.folder, self.step) as self.board,
            Saver() as self.saver,
        ):
            yield

    def _note(self, record: dict[str, Any]) -> None:
        """Write a line of what happened."""
        self.log.append(record)
        self.board.append(record)

    def _read_losses(self) -> None:
        """Move the losses into the log. Only here does the loop wait for the device."""
        for step, loss, norm in self.losses:
            self.loss, length = loss.item(), norm.item()
            check_finite(self.loss, "loss", step)
            check_finite(length, "gradient", step)
            rate = learning_rate(step, self.task.steps, self.task.recipe)
            self._note({"step": step, "batch_loss": self.loss, "gradient_norm": length, "lr": rate})
        self.losses.clear()
        self.read_at = time.monotonic()

    def _look(self) -> None:
        """Evaluate, say what came out, save."""
        self._read_losses()
        self.times.append(self.pace.record(self.step))
        self.progress.now(f"{self._where()}  evaluating …")
        with self.pace.pause(looks=1), self.average.shown():
            record, sample = self.task.look(self.step)
            self._note(record)
            self._note(sample)
            samples.append_sample(self.folder, self.step, sample["sample"])
        self.looks.append(record)
        self.to_look.discard(self.step)
        self.progress.say(
            f"step {self.step:,} of {self.task.steps:,}  train {record['train_loss']:.4f}  "
            f"val {record['val_loss']:.4f}{self._meaning()}{self._speed()}"
        )
        self.progress.quote(sample["sample"])
        self.finished = self._early()
        self._save()

    def _meaning(self) -> str:
        """Say beside a loss what it means: once at the start, and when it is first below a landmark."""
        marks = self.task.landmarks
        if len(self.looks) == 1:
            return f" (a guess at random: {marks['guess']:.2f})" if "guess" in marks else ""
        told = landmarks.passed(marks, *(record["val_loss"] for record in self.looks[-2:]))
        return f" ({told})" if told else ""

    def _early(self) -> bool:
        """Say whether the validation loss has not fallen for as many evaluations as the recipe waits."""
        losses = [record["val_loss"] for record in self.looks]
        patience = self.task.recipe.early_stop
        return patience is not None and len(losses) - 1 - losses.index(min(losses)) >= patience

    def _save(self) -> None:
        """Have what is needed to go on from here written, from a copy; the newest, the best and the kept stay."""
        self._read_losses()
        with self.pace.pause():
            self.saver.wait()  # before another copy is made
            for lines in (self.log, self.times, self.board):
                lines.flush()
            memory = self._copied(get_memory(self.task.model, self.optimizer))
            if self.task.recipe.average:
                memory |= self._copied({f"{name}{TRAINED}": w for name, w in get_weights(self.task.model).items()})
            with self.average.shown():
                weights = self._copied(get_weights(self.task.model))
            step, best = self.step, log.best(self.looks)["step"]
            state = {"step": step, **self.log.seal()}

            def write() -> None:
                self.log.sync()  # a checkpoint never knows of a step that the log does not
                self.times.sync()
                saved = checkpoints.save(self.folder, step, weights, memory, state)
                checkpoints.prune(self.folder, lambda old: old in (step, best) or self._is_kept(old), saved)

            self.saver.start(write)
        self.saved, self.saved_at = step, time.monotonic()

    def _copied(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return copies on the CPU, in the order in which they are read; they hold until this is asked for again."""
        for name, each in tensors.items():
            if name not in self.copies:
                self.copies[name] = torch.empty_like(each, device="cpu", memory_format=torch.contiguous_format)
            self.copies[name].copy_(each)
        return {name: self.copies[name] for name in tensors}

    def _is_kept(self, step: int) -> bool:
        """Say whether the recipe asks for the checkpoint of this step to be kept."""
        every = self.task.recipe.keep_every
        return every is not None and step > 0 and step % every == 0

    def _speed(self) -> str:
        return self.pace.told(self.step, self.task.steps - self.step, len(self.to_look))

    def _where(self) -> str:
        return f"{bar(self.step, self.task.steps)} {self.step:,}/{self.task.steps:,}"

    def _show(self) -> None:
        """Show the live line, and see that all is well: of the losses, twice a second."""
        self.saver.check()
        if time.monotonic() - self.read_at > READ_EVERY:
            self._read_losses()
        val = f"  val {self.looks[-1]['val_loss']:.3f}" if self.looks else ""
        self.progress.now(f"{self._where()}  loss {self.loss:.3f}{val}{self._speed()}")


def score_whole(task: Task, folder: RunFolder, progress: Progress) -> dict[str, Any]:
    """Score the best checkpoint on the whole validation split, in float32; add it to the log and return the line."""
    records = log.read(folder.log_path)
    saved = checkpoints.find(folder, log.best(records)["step"], progress.say)
    load_weights(task.model, saved.weights())
    show = progress.bar("scoring the validation text")
    score = evaluate(
        task.model, task.shards.val, task.block_size, task.shards.tokenizer, at_most=SCORED_AT_END, progress=show
    )
    progress.clear()
    figures = score.to_json()
    line = {"step": records[-1]["step"], "best_step": saved.step, "final_val_loss": figures.pop("val_loss"), **figures}
    with log.Log(folder.log_path) as out:
        out.append(line)
    return line
