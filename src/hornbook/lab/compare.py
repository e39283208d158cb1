"""`hornbook compare`: the same text, the same seeds, another model or recipe; what came of it, and whether it was luck.

Chance is a function of seed, step and row: with one seed, two variants read the same windows in the same order, and
begin with the same weights wherever both have them. So they are compared seed by seed, and what is common falls out.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from math import inf
from pathlib import Path
from statistics import fmean, stdev
from time import monotonic
from typing import Any, TextIO

import torch

from hornbook import api, planning
from hornbook.errors import DivergedError, UsageError
from hornbook.lab import picture
from hornbook.lab.evidence import LEVEL, Effect, weigh
from hornbook.lab.variants import Variant, Word, read_variants
from hornbook.model.config import ModelConfig
from hornbook.model.count import count_config, total
from hornbook.run import Run, Texts
from hornbook.runs import environment, log
from hornbook.runs.files import encode, naming, to_json
from hornbook.runs.folder import RUNS, RunFolder, file_name
from hornbook.text import shards
from hornbook.text.shards import Shards
from hornbook.training.devices import choose_device, choose_dtype
from hornbook.training.memory import needed
from hornbook.training.progress import Progress, Silent, duration, teller

MOST_SEEDS = 1_000
DECIDES = ("chance.py", "model", "text", "training")  # the sources that a run's losses come from


@dataclass(frozen=True)
class Point:
    """An evaluation: what it found on its slice of the validation text, and what it took to get there."""

    step: int
    tokens: int
    seconds: float
    """of training, without looking and saving"""
    loss: float


@dataclass(frozen=True)
class Trial:
    """What one run came to; `loss` is that of its best checkpoint on the whole validation text."""

    seed: int
    path: str
    loss: float | None
    points: tuple[Point, ...] = ()
    target: Point | None = None
    """the first evaluation that was down to the target"""
    diverged: str = ""
    """why there is no loss"""


@dataclass(frozen=True)
class Result:
    """What became of a variant: means over the seeds, if no run diverged, and what they show against the first one."""

    name: str
    preset: str
    changed: dict[str, Any]
    parameters: int
    memory: int
    """bytes that a training takes, estimated on the large side"""
    trials: tuple[Trial, ...]
    loss: float | None = None
    spread: float | None = None
    """standard deviation of the loss, of two seeds or more"""
    tokens: float | None = None
    seconds: float | None = None
    effect: Effect | None = None

    @property
    def diverged(self) -> str:
        """Say why there is no loss, if there is none."""
        why = [trial.diverged for trial in self.trials if trial.diverged]
        return f"diverged in {len(why)} of {len(self.trials)}: {why[0]}" if why else ""


@dataclass(frozen=True)
class Comparison:
    """What a comparison found: results by variant, the one that the others are compared with first."""

    text: str
    unit: str
    seeds: int
    target: float | None
    results: tuple[Result, ...]
    pictures: tuple[str, ...]
    level: float = LEVEL
    """how often all intervals hold"""

    @property
    def lowest(self) -> float:
        """The lowest loss that any evaluation found."""
        trials = (trial for result in self.results for trial in result.trials)
        return min((point.loss for trial in trials for point in trial.points), default=inf)

    def to_json(self) -> dict[str, Any]:
        """Return all of it as plain data."""
        return asdict(self)


def compare(
    *variants: Word,
    text: Texts | None = None,
    preset: str = "quick",
    vary: str | Iterable[str] = (),
    settings: Mapping[str, Any] | None = None,
    seeds: int = 3,
    steps: int | None = None,
    minutes: float | None = None,
    target: float | None = None,
    out: str | Path | None = None,
    device: str = "auto",
    progress: TextIO | bool = True,
) -> Comparison:
    """Train each variant with the seeds 1 to `seeds`, and weigh the others against the first.

    A variant is a preset, a TOML file, settings such as "model.mlp=nothing", or several of these joined by commas; or a
    mapping. Settings change the preset of their word, else `preset`. `vary` adds a variant for each value of a setting
    ("model.n_embd=32,64"), or for each combination of several; `settings` hold for all. `steps` or `minutes` are for
    each run. Runs are kept in `out` (default: runs/compare), and not made twice. With a `target`, the result tells when
    each run first came down to that loss. Raises `UsageError` for what can't be compared, KeyboardInterrupt where it
    was stopped: what is done by then is kept.
    """
    tell = teller(progress)
    if not 1 <= seeds <= MOST_SEEDS:
        raise UsageError(f"--seeds {seeds} has to be from 1 to {MOST_SEEDS:,}; 3 are usual.")
    if target is not None and not 0 < target < inf:
        raise UsageError(f"--target {target} is no loss: give one above 0, such as 1.9.")
    said = {"recipe.steps": steps, "recipe.minutes": minutes}
    said = {name: value for name, value in said.items() if value is not None}
    if twice := said.keys() & (settings or {}).keys():
        raise UsageError(f"{min(twice)} is given twice, by itself and among the settings (--set): leave one out.")
    vary = [vary] if isinstance(vary, str) else vary
    asked = read_variants(variants, vary, preset, {**(settings or {}), **said})
    try:
        bench = _Bench(asked, text, Path(out) if out else RUNS / "compare", choose_device(device), tell)
        return bench.compare(seeds, target)
    finally:
        tell.clear()


class _Bench:
    """What the runs of a comparison have in common."""

    def __init__(
        self, variants: Sequence[Variant], text: Texts | None, out: Path, device: torch.device, tell: Progress
    ) -> None:
        self.out, self.device, self.tell = out, device, tell
        named = list(dict.fromkeys(variant.preset.source for variant in variants if variant.preset.source))
        if text is None and len(named) > 1:
            raise UsageError(f"these presets have texts of their own ({', '.join(named)}): name one for all, --text.")
        wanted = next(iter(named), None) if text is None else text
        self.source, _ = api.find_text(wanted, variants[0].preset.text, tell)
        self.rivals: list[tuple[Variant, Shards, ModelConfig]] = []
        ids: dict[Any, Shards] = {}
        for variant in variants:
            with naming(variant):
                settings, _ = shards.settled(self.source, variant.preset.text)
                if settings not in ids:
                    ids[settings] = api.prepare_text(self.source, replace(variant.preset, text=settings), tell)
                config = variant.preset.model_config(ids[settings].tokenizer.vocab_size)
                api.check_context(ids[settings], config)
                self.rivals.append((variant, ids[settings], config))
        by_bytes = len({data.tokenizer.fingerprint for data in ids.values()}) > 1
        self.loss, self.unit = ("bits_per_byte", "bits a byte") if by_bytes else ("final_val_loss", "nats a character")
        machine = environment.describe()
        self.made_by = [machine["hornbook"], machine["torch"], machine["processor"], source_hash()]

    def compare(self, seeds: int, target: float | None) -> Comparison:
        """Train what is not there yet, seed by seed, so that what can't be done shows soon; then weigh it."""
        trials: dict[int, list[Trial]] = {i: [] for i in range(len(self.rivals))}
        jobs = [(seed, i) for seed in range(1, seeds + 1) for i in trials]
        took, left = list[float](), ""
        for n, (seed, i) in enumerate(jobs, 1):
            where, started = f"run {n} of {len(jobs)}: {self.rivals[i][0]}, seed {seed}", monotonic()
            with naming(self.rivals[i][0]):
                trial, kept = self._trial(*self.rivals[i], seed, target, _Within(self.tell, where + left))
            trials[i].append(trial)
            took += [] if kept else [monotonic() - started]
            left = f"; about {duration(1 + fmean(took) * (len(jobs) - n))} left" if took and n < len(jobs) else ""
            came_out = trial.diverged or f"{trial.loss:.4f}{', kept from before' if kept else ''}"
            self.tell.say(f"{where}: {came_out}{left}")
        results = [self._result(i, trials[i], trials[0]) for i in trials]
        names = " ".join(trial.path for i in trials for trial in trials[i])
        stem = self.out / f"compare-{hashlib.sha256(encode(names)).hexdigest()[:8]}"
        pictures = tuple(f"{stem}.{kind}" for kind in ("svg", "png"))
        found = Comparison(self.source.label, self.unit, seeds, target, tuple(results), pictures)
        picture.draw(found)
        return found

    def _result(self, i: int, trials: list[Trial], first: list[Trial]) -> Result:
        """Take together what a variant's runs came to."""
        variant, _, config = self.rivals[i]
        preset, size = variant.preset, total(count_config(config))
        memory = needed(config, preset.recipe)
        result = Result(str(variant), preset.name, dict(preset.changes), size, memory, tuple(trials))
        losses = [trial.loss for trial in trials if trial.loss is not None]
        if len(losses) < len(trials):
            return result
        pairs = [one - its.loss for one, its in zip(losses, first, strict=True) if its.loss is not None]
        ends = [trial.points[-1] for trial in trials]
        return replace(
            result,
            loss=fmean(losses),
            spread=stdev(losses) if losses[1:] else None,
            tokens=fmean(end.tokens for end in ends),
            seconds=fmean(end.seconds for end in ends),
            effect=weigh(pairs, len(self.rivals) - 1) if i and len(pairs) == len(losses) else None,
        )

    def _trial(
        self, variant: Variant, data: Shards, config: ModelConfig, seed: int, target: float | None, tell: Progress
    ) -> tuple[Trial, bool]:
        """Return what a variant came to with a seed, and whether that was there before."""
        preset = variant.preset
        asked = {
            "model": config.to_json(),
            "recipe": preset.recipe.to_json(),
            "seed": seed,
            "device": self.device.type,
            "dtype": choose_dtype(preset.recipe.dtype, self.device, config),
            "threads": torch.get_num_threads(),
        }
        digest = hashlib.sha256(to_json([asked, data.key, self.made_by])).hexdigest()
        path = self.out / f"{file_name(self.source.label)[:20]}-{preset.name}-{digest[:12]}-seed{seed}"
        there = (path / "config.json").exists()
        kept = False
        try:
            if there:
                run = Run(RunFolder.open(path))
                if {**run.config, **asked} != run.config or run.config["text"]["ids"] != data.key:
                    raise UsageError(f"{path} is not the run that its name says: delete it, or name another --out.")
                kept = run.final is not None
                run = api.resume(path, tell)
            else:
                unsaid = {f"recipe.{name}" for name in ("steps", "minutes") if getattr(preset.recipe, name) is None}
                said = {**planning.as_it_is(preset), **preset.changes}  # of one size, on any machine
                settings = {name: value for name, value in said.items() if name not in unsaid}
                text, device = list(self.source.asked), self.device.type
                run = api.train(text, preset.name, out=path, settings=settings, seed=seed, device=device, progress=tell)
        except DivergedError as error:
            return Trial(seed, str(path), None, diverged=str(error).partition(";")[0]), False
        if run.final is None:
            self.tell.say(f"stopped; the runs are kept in {self.out}, and the same command goes on with them.")
            raise KeyboardInterrupt
        nats = run.final["final_val_loss"]
        points = self._points(run, run.final[self.loss] / nats if nats else 1.0)
        reached = next((point for point in points if point.loss <= (target or 0)), None)
        return Trial(seed, str(path), run.final[self.loss], points, reached), kept

    def _points(self, run: Run, a_nat: float) -> tuple[Point, ...]:
        """Return the evaluations of a run; a nat a character is so much in the unit of the comparison."""
        tokens = run.recipe.batch_size * run.model_config.block_size
        try:
            clock = training_seconds(log.read(run.folder.times_path))
            looks = ((line["step"], line["val_loss"]) for line in run.evaluations)
            return tuple(Point(step, step * tokens, clock[step], loss * a_nat) for step, loss in looks)
        except (KeyError, ZeroDivisionError):
            raise UsageError(f"{run.folder.times_path} is damaged: delete {run.path}, to train it anew.") from None


class _Within(Silent):
    """Tells of one run among others: only what is going on now, behind which run it is."""

    def __init__(self, outer: Progress, where: str) -> None:
        self.outer, self.where = outer, where

    def now(self, text: str) -> None:
        """Show which run is at what."""
        self.outer.now(f"{self.where}  {text}")

    def clear(self) -> None:
        """Take the live line away."""
        self.outer.clear()


def training_seconds(times: Iterable[Mapping[str, Any]]) -> dict[int, float]:
    """Return the seconds of training up to each evaluation, by its step, from the lines of times.jsonl.

    Each session has a clock of its own. What one trained after its last evaluation, and the next went on from, has no
    time written down: it counts at the pace of the latter.
    """
    clock: dict[int, float] = {}
    total, step, first, before = 0.0, 0, 0, 0.0
    for line in times:
        if line["first"] != first:
            first, before = line["first"], 0.0
            total += (first - step) * line["training_seconds"] / (line["step"] - first)
        total += line["training_seconds"] - before
        step, before = line["step"], line["training_seconds"]
        clock[step] = total
    return clock


@cache
def source_hash() -> str:
    """Return a hash of the sources that decide a run's losses: after an edit of theirs, no run from before counts.

    Comments and layout don't.
    """
    root = Path(__file__).parents[1]
    files = sorted(file for name in DECIDES for file in [root / name, *(root / name).rglob("*.py")] if file.is_file())
    trees = (ast.dump(ast.parse(file.read_text(encoding="utf-8"))) for file in files)
    return hashlib.sha256("\n".join(trees).encode()).hexdigest()
