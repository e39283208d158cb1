"""What `hornbook trace` shows of a run or a preset: as lines, a page, a picture, or plain data."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hornbook.errors import UsageError
from hornbook.model.build import build
from hornbook.presets import Preset
from hornbook.run import Run
from hornbook.runs.files import encode
from hornbook.text.units import Unknown
from hornbook.trace.architecture import Architecture, architecture
from hornbook.trace.diagram import diagram
from hornbook.trace.follow import follow
from hornbook.trace.page import architecture_page, page
from hornbook.trace.plain import to_json
from hornbook.trace.svg import svg
from hornbook.trace.terminal import terminal


@dataclass(frozen=True)
class Shown:
    """One thing in the four ways in which it can be shown; each is made when it is asked for."""

    lines: Callable[[], Iterable[str]]
    html: Callable[[], str]
    svg: Callable[[], str]
    json: Callable[[], dict[str, Any]]


def run(run: Run, prompt: str, vocab_size: int | None, temperature: float, seed: int, unknown: Unknown) -> Shown:
    """Follow a prompt through a run. Raises `UsageError`."""
    if vocab_size is not None:
        raise UsageError(f"--vocab-size is for a preset; {run.path} has the vocabulary of its text: leave it out.")
    trace = follow(run, prompt, temperature=temperature, seed=seed, unknown=unknown)

    def plan() -> Architecture:
        return architecture(run.model, run.model_config)

    return Shown(
        lines=lambda: terminal(trace),
        html=lambda: page(trace, plan()),
        svg=lambda: svg(run.path.name, trace.model, plan()),
        json=lambda: to_json(trace),
    )


def preset(preset: Preset, prompt: str | None, vocab_size: int | None) -> Shown:
    """Draw what a preset would train. Raises `UsageError` for a prompt: there are no weights that know anything."""
    if prompt is not None:
        raise UsageError(
            f"{preset.name} is a preset, which has learned nothing: train it (hornbook train --preset {preset.name}), "
            "then trace the run."
        )
    config = preset.model_config(65 if vocab_size is None else vocab_size)
    plan = architecture(build(config), config)
    return Shown(
        lines=lambda: diagram(preset.name, preset.about, plan),
        html=lambda: architecture_page(preset.name, preset.about, plan),
        svg=lambda: svg(preset.name, preset.about, plan),
        json=lambda: {"preset": preset.name, "about": preset.about, "model": config.to_json(), **asdict(plan)},
    )


def write(path: Path, text: str) -> int:
    """Write a file and return its size in bytes. Raises `UsageError` where it can't be written."""
    data = encode(text)
    try:
        path.write_bytes(data)
    except OSError as error:
        raise UsageError(f"can't write {path}: {error.strerror}; name a file in a folder that there is.") from error
    return len(data)
