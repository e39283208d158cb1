"""Checkpoints: what was learned, and all that training needs to go on exactly.

Each is a folder with a manifest that holds the hash of every file. It is written under another name and renamed
when whole, to a name that never existed: nothing is replaced, and "the latest" is found by looking.
"""

import errno
import hashlib
import json
import math
import re
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from hornbook.errors import UsageError
from hornbook.runs import log
from hornbook.runs.files import (
    HELD,
    MOST_JSON,
    encode,
    from_json,
    move,
    read_bytes,
    sha256_of,
    sync_folder,
    to_json,
    write_new,
)
from hornbook.runs.folder import FORMAT, RunFolder, check_format

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS, OPTIMIZER, STATE = "weights.safetensors", "optimizer.safetensors", "state.json"
MANIFEST = "manifest.json"
DTYPES = {"I64": "int64", "F64": "float64", "C64": "complex64", "F32": "float32", "I32": "int32", "BF16": "bfloat16"}
DTYPES |= {"F16": "float16", "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool"}  # as they stand in a file
MOST_DIMENSIONS = 8  # of a tensor


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk. What is loaded from it is what was saved, or else a UsageError names the file."""

    path: Path
    step: int
    weights_sha256: str

    @classmethod
    def open(cls, path: Path) -> "Checkpoint":
        """Read a checkpoint's manifest; UsageError when it is missing, unreadable or of another step."""
        step, files = _manifest(path)
        return cls(path, step, files[WEIGHTS]["sha256"])

    def verify(self) -> None:
        """Read and hash every file; UsageError naming the first that is missing or damaged."""
        for name in (WEIGHTS, OPTIMIZER, STATE):
            self._read(name)

    def weights(self) -> dict[str, "Tensor"]:
        """Return the model's tensors, on the CPU."""
        return _tensors(self._read(WEIGHTS), self.path / WEIGHTS)

    def optimizer(self) -> dict[str, "Tensor"]:
        """Return the optimizer's tensors, on the CPU."""
        return _tensors(self._read(OPTIMIZER), self.path / OPTIMIZER)

    def state(self) -> dict[str, Any]:
        """Return what else training goes on from."""
        return from_json(self._read(STATE), self.path / STATE)

    def _read(self, name: str) -> bytearray:
        # Hashed anew at each reading: the bytes that are used are those that were checked.
        _, files = _manifest(self.path)
        data = read_bytes(self.path / name, most=files[name]["bytes"])
        if files[name] != _entry(data):
            raise UsageError(f"{self.path / name} is damaged: its bytes are not those that were saved")
        return data


def save(
    folder: RunFolder,
    step: int,
    weights: Mapping[str, "Tensor"],
    optimizer: Mapping[str, "Tensor"],
    state: dict[str, Any],
) -> Checkpoint:
    """Save a checkpoint durably and return it. Tensors must be contiguous, and tied ones given once.

    UsageError, and nothing saved, where one holds NaN or an infinity. A step that is there already and whole is
    returned as it is; UsageError if its weights are others. One that is damaged is moved aside. OSError (a full disk)
    leaves everything older as it was.
    """
    for name, tensor in (*weights.items(), *optimizer.items()):
        if not _is_finite(tensor):
            raise UsageError(
                f"{name!r} holds NaN or an infinity at step {step}, and was not saved: the newest checkpoint is from "
                "before. Try a lower recipe.learning_rate or more recipe.warmup in a new run."
            )
    files = {WEIGHTS: _pieces(weights), OPTIMIZER: _pieces(optimizer), STATE: [to_json(state, indent=2) + b"\n"]}
    entries = {name: _entry(*pieces) for name, pieces in files.items()}
    manifest = {"format": FORMAT, "step": step, "files": entries}
    root = folder.checkpoints_path
    path, temporary = root / _name(step), root / f".writing-{step}-{token_hex(4)}"

    root.mkdir(exist_ok=True)
    _sweep(root)
    if path.exists():
        try:
            there = Checkpoint.open(path)
            there.verify()
        except UsageError:
            _set_aside(path)
        else:
            return _same(there, entries[WEIGHTS]["sha256"])
    try:
        temporary.mkdir()
        for name, pieces in (*files.items(), (MANIFEST, [to_json(manifest, indent=2) + b"\n"])):
            write_new(temporary / name, *pieces)
            if sha256_of(temporary / name) != (entries.get(name) or _entry(*pieces))["sha256"]:
                raise OSError(errno.EIO, "the disk gave back other bytes than were written", str(path / name))
        sync_folder(temporary)
        move(temporary, path)
        sync_folder(root)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return Checkpoint.open(path)


def all_checkpoints(folder: RunFolder) -> list[Checkpoint]:
    """Return the checkpoints that have a readable manifest, by step; their other files are not looked at."""
    found = []
    for path in _paths(folder):
        try:
            found.append(Checkpoint.open(path))
        except UsageError:
            continue  # `latest` tells of it, and `save` moves it aside
    return found


def latest(folder: RunFolder, report: Callable[[str], None]) -> Checkpoint:
    """Return the newest checkpoint that is whole; `report` gets a line for each that was stepped over.

    UsageError when there is none.
    """
    paths = _paths(folder)
    for path in reversed(paths):
        try:
            checkpoint = Checkpoint.open(path)
            checkpoint.verify()
        except UsageError as error:
            report(f"stepping over {path.name}: {error}")
        else:
            return checkpoint
    if not paths:
        what = "wait for the first, or go on with"
        raise UsageError(f"{folder.path} has no checkpoint yet: {what} `hornbook resume {folder.path}`")
    what = f"none of the {len(paths)} checkpoints in {folder.path} is whole"
    raise UsageError(f"{what}: train it again with another --out")


def verify_all(folder: RunFolder) -> dict[str, str]:
    """Read and hash every checkpoint; return what is wrong with each by its name, "" where it is whole.

    Where the log is not the one that the newest whole one was saved with, that stands behind them.
    """
    faults, changed = {}, ""
    for path in _paths(folder):
        try:
            checkpoint = Checkpoint.open(path)
            checkpoint.verify()
            changed = log.changed_since(folder.log_path, checkpoint.state())
            faults[path.name] = ""
        except UsageError as error:
            if path.exists():  # a training may have removed it meanwhile
                faults[path.name] = str(error)
    return faults | ({folder.log_path.name: changed} if changed else {})


def find(folder: RunFolder, step: int, report: Callable[[str], None]) -> Checkpoint:
    """Return the checkpoint of `step` if it is whole, else the newest that is; `report` gets a line on each that isn't.

    Raises UsageError when none is.
    """
    damage = ""
    for checkpoint in (each for each in all_checkpoints(folder) if each.step == step):
        try:
            checkpoint.verify()
            return checkpoint
        except UsageError as error:
            damage = str(error)
    newest = latest(folder, report)
    if damage and newest.step > step:  # else `latest` came by it
        report(damage)
    return newest


def prune(folder: RunFolder, keep: Callable[[int], bool], whole: Checkpoint | None = None) -> None:
    """Remove the checkpoints older than the newest that is whole, but for those whose step `keep` is true of.

    `whole` is one that was just found to be so, and spares looking for the newest. Damaged ones that are newer stay:
    training will come to them and move them aside. UsageError when none is whole.
    """
    found = all_checkpoints(folder)
    newest = (whole or latest(folder, lambda line: None)).step if found else 0
    old = [checkpoint for checkpoint in found if checkpoint.step < newest and not keep(checkpoint.step)]
    for checkpoint in old:
        # Out of sight first, on the disk too: a folder half removed would look like a damaged checkpoint.
        with suppress(*HELD):  # the next save removes it
            move(checkpoint.path, checkpoint.path.with_name(f".removing-{checkpoint.step}-{token_hex(4)}"))
    if old:
        sync_folder(folder.checkpoints_path)
    _sweep(folder.checkpoints_path)


def _name(step: int) -> str:
    return f"step-{step:08d}"


def _entry(*pieces: Any) -> dict[str, Any]:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return {"sha256": digest.hexdigest(), "bytes": sum(map(len, pieces))}


def _is_finite(tensor: "Tensor") -> bool:
    # By numpy, on one thread: torch would start threads for it, which wait busily and slow those that train.
    import numpy
    import torch

    return bool(numpy.isfinite((tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()).all())


def _pieces(tensors: Mapping[str, "Tensor"]) -> list[Any]:
    """Return the bytes of a safetensors file: its header, then the memory of each tensor itself, not a copy.

    They are those that the format's own library writes, which would copy all: by type, then by name.
    """
    import torch

    kinds = {getattr(torch, long): short for short, long in DTYPES.items()}
    places = [tensor.data_ptr() for tensor in tensors.values() if tensor.numel()]
    if len(set(places)) < len(places):
        raise RuntimeError("tensors share memory: tied ones are to be given once")
    header, pieces, end = dict[str, Any](), list[Any](), 0
    for name in sorted(tensors, key=lambda name: (list(kinds).index(tensors[name].dtype), name)):
        tensor = tensors[name]
        pieces.append(tensor.view(-1).view(torch.uint8).numpy())
        begin, end = end, end + tensor.nbytes
        header[name] = {"dtype": kinds[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = encode(json.dumps(header, ensure_ascii=False, separators=(",", ":")))
    text += b" " * (-len(text) % 8)
    return [len(text).to_bytes(8, "little") + text, *pieces]


def _manifest(path: Path) -> tuple[int, dict[str, dict[str, Any]]]:
    file = path / MANIFEST
    data = read_bytes(file, MOST_JSON)
    manifest = from_json(data, file)
    check_format(manifest, file)
    step, files = manifest.get("step"), manifest.get("files")
    if not isinstance(files, dict) or files.keys() != {WEIGHTS, OPTIMIZER, STATE}:
        raise UsageError(f"{file} is damaged: it does not list the files of a checkpoint")
    for entry in files.values():
        if not isinstance(entry, dict) or [type(entry.get(key)) for key in ("sha256", "bytes")] != [str, int]:
            raise UsageError(f"{file} is damaged: it lacks the hash of a file, or its size")
    if type(step) is not int or path.name != _name(step):
        raise UsageError(f"{file} is damaged or from elsewhere: it belongs to step {str(step)[:80]}")
    if data != to_json(manifest, indent=2) + b"\n":  # a space that was none, 1 that was 01: harmless, but damage
        raise UsageError(f"{file} is damaged: it is not written as it was saved")
    return step, files


def _tensors(data: bytearray, file: Path) -> dict[str, "Tensor"]:
    """Return the tensors of a safetensors file: they are its bytes, not copies.

    The format's own library would take a name that stands twice, and more than a second for a header of 100,000.
    """
    import torch

    place = start = 8 + int.from_bytes(data[:8], "little")
    header, tensors = from_json(data[8 : min(start, MOST_JSON)], file), dict[str, "Tensor"]()
    header.pop("__metadata__", None)
    for name, said in header.items():
        try:
            dtype, shape, (begin, end) = getattr(torch, DTYPES[said["dtype"]]), said["shape"], said["data_offsets"]
            if len(shape) > MOST_DIMENSIONS or not all(0 <= n <= len(data) for n in shape):
                raise ValueError("no tensor has such a shape")
            if (start + begin, end) != (place, begin + math.prod(shape) * dtype.itemsize):
                raise ValueError("it stands in another place than it should")
            tensor = torch.frombuffer(data, dtype=torch.uint8)[place : start + end].view(dtype).view(shape)
            if not _is_finite(tensor):
                raise ValueError("it holds NaN or an infinity")
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise UsageError(f"{file} is damaged at {name[:80]!r}: {str(error)[:80]}") from None
        tensors[name], place = tensor, start + end
    if place != len(data):
        raise UsageError(f"{file} is damaged: it does not end where its last tensor does")
    return tensors


def _paths(folder: RunFolder) -> list[Path]:
    names = re.compile(r"step-\d{8,}")
    found = [path for path in folder.checkpoints_path.glob("step-*") if names.fullmatch(path.name)]
    return sorted(found, key=lambda path: int(path.name.removeprefix("step-")))


def _same(there: Checkpoint, weights_sha256: str) -> Checkpoint:
    if there.weights_sha256 != weights_sha256:
        raise UsageError(
            f"{there.path} was saved before, with other weights: this run does not repeat itself "
            "(another machine, number of threads or torch?); train it again with another --out"
        )
    return there


def _set_aside(path: Path) -> None:
    places = (path.with_name(f"{path.name}-damaged-{n}") for n in count(1))
    move(path, next(place for place in places if not place.exists()))


def _sweep(root: Path) -> None:
    for leftover in (*root.glob(".writing-*"), *root.glob(".removing-*")):
        shutil.rmtree(leftover, ignore_errors=True)
