"""What `train` and `open` mean: text, preset, training and generation, put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from errno import EDQUOT, ENOSPC
from pathlib import Path
from typing import Any, TextIO

import torch

from hornbook import planning, story
from hornbook.errors import UsageError, nearest
from hornbook.forecast import Forecast, forecast
from hornbook.model.build import build
from hornbook.model.config import ModelConfig
from hornbook.model.count import count, count_config, total
from hornbook.presets import PRESETS, USED_BY_BIGRAM, Preset, find_preset
from hornbook.run import Run, Texts, resolve
from hornbook.runs import board, checkpoints, environment, landmarks, lock, notes, picture, samples
from hornbook.runs.files import encode, read_bytes
from hornbook.runs.folder import RunFolder, check_free
from hornbook.settings import read_toml
from hornbook.text import corpora, shards
from hornbook.text.corpora import Source
from hornbook.text.settings import AUTO, TextSettings
from hornbook.text.shards import Shards
from hornbook.text.units import on_circle
from hornbook.training import baselines, forms
from hornbook.training.budget import fit_steps
from hornbook.training.devices import choose_device, choose_dtype
from hornbook.training.evaluate import check_comparable
from hornbook.training.loop import fit, score_whole
from hornbook.training.memory import advising, check_memory, needed
from hornbook.training.progress import Progress, teller
from hornbook.training.task import Task


def train(
    text: Texts | None = None,
    preset: str = "quick",
    *,
    out: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    config: str | Path | None = None,
    tokenizer: str | None = None,
    vocab_size: int | None = None,
    seed: int = 1,
    steps: int | None = None,
    minutes: float | None = None,
    device: str = "auto",
    dtype: str | None = None,
    tensorboard: bool = False,
    progress: TextIO | Progress | bool = True,
) -> Run:
    """Train a model on a text and return its run.

    `text` is a path, a glob, the name of a text, or several of them, or a folder that `hornbook prepare` wrote; None
    takes the first named text that can be had. `settings` such as {"model.n_layer": 8} change the preset's, after those
    of the TOML file `config`. `tokenizer` says what a unit is: "characters", "graphemes", "aksharas", "bytes" or "bpe"
    (of `vocab_size` units); "auto" goes by the text's script. `out` is the run's folder (default:
    runs/<text>-<preset>). `tensorboard` writes the log for TensorBoard too. `progress` is where to tell what is going
    on: a stream, True for standard output, False for nowhere.
    Raises `UsageError` for what can't be done, with what to do instead.
    """
    tell = teller(progress)
    if not 0 <= seed < 1 << 64:
        raise UsageError(f"the seed is {seed}; it has to be from 0 to 2**64 - 1.")
    given = {"recipe.steps": steps, "recipe.minutes": minutes, "recipe.dtype": dtype}
    given |= {"text.tokenizer": tokenizer, "text.vocab_size": vocab_size}
    asked = _asked(preset, settings, config, given, tell)
    if tensorboard:
        board.check_installed()
    where = choose_device(device)
    try:
        return _train(text, asked, Path(out) if out else None, seed, where, tell, tensorboard)
    finally:
        tell.clear()


def plan(
    text: Texts | None = None,
    preset: str = "quick",
    *,
    settings: Mapping[str, Any] | None = None,
    config: str | Path | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    device: str = "auto",
    progress: TextIO | bool = True,
) -> dict[str, Any]:
    """Say what `train` would do with the same words, and why, and train nothing but a few steps to find out.

    Returns it as plain data: "why" (a line each), "model" and "recipe" (all settings), "steps", "parameters", "memory"
    (bytes, estimated on the large side), "landmarks" (losses to compare with, in nats a character), "expected" (such a
    loss, with "low" and "high"; None where nothing is known: of other presets, and of what was not picked).
    Raises `UsageError` for what can't be done.
    """
    tell = teller(progress)
    asked = _asked(preset, settings, config, {"recipe.steps": steps, "recipe.minutes": minutes}, tell)
    where = choose_device(device)
    try:
        source, text_settings = find_text(asked.source if text is None else text, asked.text, tell)
        task, asked, why, expected = _decide(source, replace(asked, text=text_settings), 1, where, tell)
    finally:
        tell.clear()
    model = asked.model_config(task.shards.tokenizer.vocab_size)
    memory = needed(model, asked.recipe)
    tell.say(f"memory: {memory / 1e6:,.0f} MB at most, as estimated")
    return {
        "why": list(why),
        "model": model.to_json(),
        "recipe": asked.recipe.to_json(),
        "steps": task.steps,
        "parameters": total(count(task.model)),
        "memory": memory,
        "landmarks": dict(task.landmarks),
        "expected": asdict(expected) if expected else None,
    }


def resume(path: str | Path, progress: TextIO | Progress | bool = True) -> Run:
    """Go on with a run from its newest checkpoint; what comes out is what it would have been without the break.

    Raises `UsageError` for a folder that is no run, and for a text that is not the run's any more.
    """
    tell = teller(progress)
    run = Run(RunFolder.open(Path(path)))
    config = run.config
    if _is_told(run):
        tell.say(f"{run.path} is done: nothing is left to train. See it with: hornbook show {run.path}")
        return run
    device = choose_device(config["device"])
    torch.set_num_threads(config["threads"])
    try:
        with lock.hold(run.path), lock.at_work(run.path):
            check_memory(run.model_config, run.recipe, run.size, device)
            if any(run.folder.checkpoints_path.glob("step-*")):
                run.checkpoint = checkpoints.latest(run.folder, lambda line: None)  # `fit` will tell of it
                run.weights()  # before a model is made, which may be larger than what is there
            if not run.folder.notes_path.exists():
                notes.begin(run.folder, story.asked(run))  # it was killed before they were
            model = build(run.model_config, config["seed"]).to(device)
            data = run.data(tell)
            steps, seed, dtype, marks = (config[name] for name in ("steps", "seed", "dtype", "landmarks"))
            task = Task(model, run.model_config.block_size, data, run.recipe, steps, seed, dtype, marks)
            return _fit(task, run.folder, tell)
    finally:
        tell.clear()


def open_run(path: str | Path) -> Run:
    """Open a run's folder, to generate, evaluate or look at it. Raises `UsageError` where there is none."""
    return Run(RunFolder.open(Path(path)))


def find(name: str) -> Run | Preset:
    """Return the run in a folder, or the preset of a name; a folder comes first. Raises `UsageError`."""
    try:
        return open_run(name)
    except UsageError as error:
        if name in PRESETS:
            return PRESETS[name]
        raise UsageError(f"{str(error).rstrip('.')}; as the name of a preset: {nearest(name, PRESETS)}") from None


def _asked(
    preset: str,
    settings: Mapping[str, Any] | None,
    config: str | Path | None,
    given: Mapping[str, Any],
    tell: Progress,
) -> Preset:
    """Return a preset as the words change it, once they are known to be right."""
    said = {name: value for name, value in given.items() if value is not None}
    if twice := [name for name in settings or {} if name in said]:
        raise UsageError(f"{twice[0]} is given twice, by itself and among the settings (--set): leave one out.")
    asked = find_preset(preset).changed(read_toml(Path(config)) if config else {}).changed({**(settings or {}), **said})
    if asked.recipe.steps is None and asked.recipe.minutes is None:
        raise UsageError("say how long to train: --steps or --minutes.")
    ignored = [name for name in asked.changes if name.startswith("model.") and name[6:] not in USED_BY_BIGRAM]
    if ignored and asked.model_config(vocab_size=2).kind == "bigram":
        tell.say(f"without effect on a bigram table: {', '.join(ignored)}")
    # Before the text is read, what can't be says so at once; one block has all the parts that there are.
    count_config(replace(asked.model_config(vocab_size=2), n_layer=1))
    return asked


def _train(
    text: Texts | None,
    asked: Preset,
    out: Path | None,
    seed: int,
    device: torch.device,
    tell: Progress,
    tensorboard: bool,
) -> Run:
    """Do what `train` says, once the settings are known to be right."""
    if out:
        check_free(out)  # first: a folder that is taken says so before a text is looked for
    source, settings = find_text(asked.source if text is None else text, asked.text, tell)
    asked = replace(asked, text=settings)
    with RunFolder.claim(out, f"{source.label}-{asked.name}") as folder:
        task = _begin(source, asked, folder, seed, device, tell)
        if tensorboard:
            folder.board_path.mkdir()
            tell.say(f"TensorBoard shows it with: tensorboard --logdir {folder.board_path}")
        return _fit(task, folder, tell)


def _begin(source: Source, asked: Preset, folder: RunFolder, seed: int, device: torch.device, tell: Progress) -> Task:
    """Turn what was asked into a task, tell about it, and write it into the run's folder."""
    task, asked, *_ = _decide(source, asked, seed, device, tell)
    config = asked.model_config(task.shards.tokenizer.vocab_size)
    tell.say(f"the run is {folder.path}")
    _write_down(source, asked, task, config, folder)
    return task


def _decide(
    source: Source, asked: Preset, seed: int, device: torch.device, tell: Progress
) -> tuple[Task, Preset, Sequence[str], Forecast | None]:
    """Turn what was asked into a task, and tell about it.

    Return also all settings, why they were picked, and what loss is to be expected.
    """
    data = prepare_text(source, asked, tell)
    asked, why = _planned(asked, data, device, tell)
    if asked.recipe.random_batches:
        check_comparable(data.tokenizer)
    config = asked.model_config(data.tokenizer.vocab_size)
    check_context(data, config)
    size = total(count_config(config))
    tell.say(f"model: {story.describe_model(config)}; {size:,} parameters")
    check_memory(config, asked.recipe, size, device)
    with advising(config, asked.recipe, device):
        task = _make_task(data, asked, config, seed, device, tell)
    tell.say(
        f"plan: {task.steps:,} steps of {asked.recipe.batch_size} × {config.block_size} {data.tokenizer.name}"
        + (f", as many as {asked.recipe.minutes:g} minutes hold here" if asked.recipe.minutes else "")
        + f"; {task.dtype} on {device.type}, threads: {torch.get_num_threads()}"
    )
    tell.say(f"loss, in nats a character, lower is better; to compare: {landmarks.told(task.landmarks)}")
    expected = None
    if why and planning.is_all_picked(asked):
        expected = forecast(task.landmarks, task.steps * asked.recipe.batch_size * config.block_size)
    if expected:
        tell.say(f"plan: {expected}")
    return task, asked, why, expected


def check_context(data: Shards, config: ModelConfig) -> None:
    """Raise `UsageError` where a text is too short for a model's context."""
    if len(data.train) <= config.block_size:
        raise UsageError(
            f"the text has {len(data.train)} {data.tokenizer.name} to train on, and a context of {config.block_size} "
            f"needs one more: give a longer text, or --set model.block_size={max(1, len(data.train) // 8)}."
        )


def _planned(asked: Preset, data: Shards, device: torch.device, tell: Progress) -> tuple[Preset, Sequence[str]]:
    """Pick the sizes of a preset that leaves them to the text, the time and the machine, and say why."""
    if not planning.is_needed(asked, data):
        return asked, ()
    tell.now("plan: measuring how fast this machine is …")
    found = planning.plan(asked, data, device)
    tell.clear()
    tell.say("\n".join(f"plan: {line}" for line in found.why))
    return replace(asked.changed(found.settings), changes=asked.changes), found.why


def _make_task(
    data: Shards, asked: Preset, config: ModelConfig, seed: int, device: torch.device, tell: Progress
) -> Task:
    """Build the model, find how many steps fit where a time was asked for, and race the forms of attention if asked."""
    model = build(config, seed).to(device)
    tell.now("counting what a loss is to be compared with …")
    marks = baselines.landmarks(data)
    tell.clear()
    dtype = choose_dtype(asked.recipe.dtype, device, config)
    task = Task(model, config.block_size, data, asked.recipe, asked.recipe.steps or 0, seed, dtype, marks)
    if asked.recipe.minutes is not None:
        tell.now("plan: measuring how fast this machine is …")
        task = replace(task, steps=fit_steps(task, asked.recipe.minutes), model=build(config, seed).to(device))
        tell.clear()
    if asked.forms:
        tell.now("comparing forms of attention …")
        rivals = {form: replace(config, attention=form) for form in asked.forms}
        laps = forms.race({form: replace(task, model=build(of, seed).to(device)) for form, of in rivals.items()})
        tell.clear()
        tell.say(f"attention in {len(laps)} forms, on the same weights and batches: {forms.tell(laps)}")
    return task


def _write_down(source: Source, asked: Preset, task: Task, config: ModelConfig, folder: RunFolder) -> None:
    """Write what was asked into the run's folder, all that the run is a function of: from then on it is a run."""
    data = task.shards
    text = {
        "label": source.label,
        "origin": source.origin,
        "asked": list(source.asked),
        **asdict(data.text),
        **asdict(asked.text),
        **(data.settings if source.prepared else {}),
        "vocabulary": data.tokenizer.fingerprint,
        "ids": data.key,
    }
    record = {
        "preset": asked.name,
        "changed": dict(asked.changes),
        "text": text,
        "model": config.to_json(),
        "recipe": asked.recipe.to_json(),
        "steps": task.steps,
        "seed": task.seed,
        "device": task.device.type,
        "dtype": task.dtype,
        "threads": torch.get_num_threads(),
        "parameters": total(count(task.model)),
        "landmarks": task.landmarks,
    }
    folder.begin(record, data.tokenizer.to_json(), environment.describe())
    notes.begin(folder, story.asked(Run(folder)))


def find_text(text: Texts | None, settings: TextSettings, tell: Progress) -> tuple[Source, TextSettings]:
    """Find the text, and tell which it is and what its units are."""
    found = list[str]()
    if text is None:
        tell.say("text: looking for one that can be had …")
        source = corpora.default_source(found.append)
    else:
        tell.now("text: looking for it …")
        source = resolve(text)
        found = [f"text: {source.origin}"]
    settings, why = shards.settled(source, settings)
    tell.clear()
    units = f"; units: {settings.tokenizer}, {why}" if why else ""
    tell.say("\n".join((found[-1] + units, *source.notes)))
    return source, settings


def prepare_text(source: Source, asked: Preset, tell: Progress) -> Shards:
    """Return a text's ids, and tell of its units. Raises `UsageError` for settings that prepared ids don't have."""
    data = shards.prepare(source, asked.text, progress=tell.bar("reading the text"))
    tell.clear()
    if source.prepared:
        for name in (name.removeprefix("text.") for name in asked.changes if name.startswith("text.")):
            kept = data.settings.get(name)
            if getattr(asked.text, name) not in (kept, AUTO):
                raise UsageError(f"{data.folder} was prepared with text.{name}={kept}: prepare it anew to change that.")
    tokenizer = data.tokenizer
    seen = [on_circle(unit) for unit in tokenizer.units[: tokenizer.own] if unit.isprintable() and not unit.isspace()]
    units = ("" if max(map(len, seen), default=1) == 1 else " ").join(seen[:61])
    tell.say(
        f"vocabulary: {tokenizer.vocab_size:,} {tokenizer.name} ({units[:60]}{'…' if len(units) > 60 else ''}); "
        f"{len(data.train):,} to learn from, {len(data.val):,} to be tested on"
        + (f", of which {data.unknown:.2%} unknown" if tokenizer.rare == "unknown" else "")
    )
    if data.leaked >= 0.005:
        tell.say(
            f"{data.leaked:.1%} of the text to be tested on stands in the text to learn from too: it tests the less"
        )
    return data


def _fit(task: Task, folder: RunFolder, tell: Progress) -> Run:
    """Train until done or stopped; then score, draw and note what came out."""
    run = Run(folder)
    try:
        with advising(run.model_config, task.recipe, task.device):
            outcome = fit(task, folder, tell)
    except BrokenPipeError:  # of what was told: whoever read it has left
        raise
    except OSError as error:
        full = error.errno in (ENOSPC, EDQUOT)
        why = "the disk is full: make room" if full else f"{folder.path} can't be written ({error.strerror}): mend that"
        raise UsageError(f"{why}, then go on with `hornbook resume {folder.path}`; what was saved is whole.") from error
    if outcome != "stopped" and run.final is None:
        score_whole(task, folder, tell)
    tell.now("drawing the losses …")
    samples.write_samples(folder, run.history)  # appended so far, and not synced
    a_unit = baselines.characters_in_a_unit(task.shards.train, task.shards.tokenizer)
    picture.draw(folder, run.history, task.landmarks, a_unit)
    tell.clear()
    if outcome == "stopped":
        tell.say(f"stopped; everything is saved. Go on with: hornbook resume {folder.path}")
        return run
    came_out = story.came_out(run)
    notes.add(folder, "Came out", came_out)  # the last thing that is written: see `_is_told`
    tell.say("\n".join(came_out))
    tell.say(f"the losses as a picture: {folder.png_path}")
    tell.say(f'next: hornbook generate {folder.path} --prompt "{_opening(task)}"\n      hornbook show {folder.path}')
    return run


def _is_told(run: Run) -> bool:
    """Say whether a run has come to its very end: scored, drawn and noted."""
    noted = read_bytes(run.folder.notes_path) if run.folder.notes_path.exists() else b""
    with suppress(UsageError):  # a log that a power cut damaged past the newest checkpoint: `fit` cuts that off
        return run.final is not None and run.folder.png_path.exists() and encode(story.came_out(run)[0]) in noted
    return False


def _opening(task: Task) -> str:
    """Return a word of the text, to be tried as a prompt."""
    words = task.shards.tokenizer.decode(task.shards.train[:80]).split()
    return words[0] if words and not set(words[0]) & set('"\\$`!') else ""
