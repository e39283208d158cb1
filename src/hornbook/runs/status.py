"""How a run stands, seen from its folder."""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hornbook.errors import UsageError
from hornbook.runs import lock, log
from hornbook.runs.folder import RunFolder


@dataclass(frozen=True)
class Status:
    """How a run stands; `fault` says in a line what is damaged, and then the rest is empty."""

    path: Path
    bytes: int
    """what its files take on the disk, all of them together"""
    state: str = "damaged"
    step: int = 0
    steps: int = 0
    val_loss: float | None = None
    """the lowest of an evaluation so far, in nats a character"""
    fault: str = ""


def state(folder: RunFolder, records: Iterable[dict[str, Any]]) -> str:
    """Say whether a run is in "training", "done", or was "stopped" or "killed" before its end; by its log's records."""
    if lock.is_held(folder.path):
        return "training"
    if any("final_val_loss" in record for record in records):
        return "done"
    return "killed" if lock.was_killed(folder.path) else "stopped"


def status(path: Path) -> Status:
    """Look at a run's folder; what is wrong with it is in the answer, not raised."""
    size = _size(path)
    try:
        folder = RunFolder.open(path)
        records, steps = log.read(folder.log_path), folder.config().get("steps")
        if type(steps) is not int:
            raise UsageError(f"{folder.config_path} is damaged: it does not say how many steps there are")
    except UsageError as error:
        return Status(path, size, fault=str(error))
    reached = max((record["step"] for record in records), default=0)
    return Status(path, size, state(folder, records), reached, steps, log.best(records).get("val_loss"))


def _size(path: Path) -> int:
    size = 0
    for folder, _, names in os.walk(path):  # stops at nothing that a training removes meanwhile, as rglob does
        for name in names:
            with suppress(OSError):
                size += Path(folder, name).lstat().st_size
    return size


def all_runs(where: Path) -> Iterator[Status]:
    """Yield how each run stands whose folder is in `where`, by name; UsageError where there is no such folder."""
    if not where.is_dir():
        raise UsageError(f"{where} is not a folder; `hornbook train` makes runs in ./runs")
    yield from (status(file.parent) for file in sorted(where.glob("*/config.json")))
