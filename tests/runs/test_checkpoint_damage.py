"""Damage to a checkpoint is found, wherever and whatever it is: the newest whole one is used, and the user is told."""

import json
import random
import shutil
from itertools import permutations

import pytest
import torch

from hornbook.errors import UsageError
from hornbook.runs.checkpoints import Checkpoint, all_checkpoints, find, latest, save
from hornbook.runs.folder import RunFolder

FILES = ("weights.safetensors", "optimizer.safetensors", "state.json", "manifest.json")


def saved(folder, step, width=2):
    """Save a checkpoint, of about 12 * width * width bytes."""
    drawn = torch.randn(3, width, width, generator=torch.Generator().manual_seed(step))
    memory = {"a/exp_avg": drawn[1], "a/exp_avg_sq": drawn[2].square(), "a/step": torch.tensor(float(step))}
    return save(folder, step, {"a": drawn[0]}, memory, {"step": step})


@pytest.fixture
def folder(tmp_path):
    return RunFolder.create(tmp_path / "run", "")


@pytest.fixture
def two(folder):
    return saved(folder, 1), saved(folder, 2)


def is_found(folder, old, new, name):
    """Assert that damage to a file of the newer of two checkpoints is found, named and stepped over."""
    told = []
    assert latest(folder, told.append) == old
    (line,) = told
    named = new.path / name
    assert line.startswith(f"stepping over {new.path.name}: {named if name != 'manifest.json' else new.path}")
    assert "\n" not in line
    assert find(folder, 2, lambda line: None) == old
    for file, load in zip(FILES, (new.weights, new.optimizer, new.state), strict=False):
        if file == name:
            with pytest.raises(UsageError):
                load()


def places(file, whole, n):
    """Return n places in a file, evenly spaced, or all."""
    return range(0, len(whole), max(1, len(whole) // n)) if n else range(len(whole))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    ("n", "flips"), [(0, [1]), pytest.param(0, [1 << bit for bit in range(8)] + [0xFF], marks=pytest.mark.slow)]
)
def test_every_byte_that_changes_is_noticed(folder, two, name, n, flips):
    old, new = two
    path = new.path / name
    whole = path.read_bytes()
    for place in places(path, whole, n):
        for flip in flips:
            data = bytearray(whole)
            data[place] ^= flip
            path.write_bytes(data)
            is_found(folder, old, new, name)
    path.write_bytes(whole)
    assert latest(folder, pytest.fail) == new


@pytest.mark.parametrize("times", [200, pytest.param(10_000, marks=pytest.mark.slow)])
def test_random_bits_of_a_larger_one_are_noticed(folder, times):
    old, new = saved(folder, 1), saved(folder, 2, width=130)
    chance, sizes = random.Random(1), {name: (new.path / name).stat().st_size for name in FILES}
    assert sum(sizes.values()) > 200_000
    for _ in range(times):
        (name,) = chance.choices(list(sizes), list(sizes.values()))
        place, bit = chance.randrange(sizes[name]), 1 << chance.randrange(8)
        with (new.path / name).open("r+b") as file:
            file.seek(place)
            (byte,) = file.read(1)
            file.seek(place)
            file.write(bytes([byte ^ bit]))
        with pytest.raises(UsageError, match=r"step-00000002.* (is|cannot)"):
            new.verify()
        assert latest(folder, lambda line: None) == old
        with (new.path / name).open("r+b") as file:
            file.seek(place)
            file.write(bytes([byte]))
    assert latest(folder, pytest.fail) == new


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("n", [40, pytest.param(0, marks=pytest.mark.slow)])
def test_a_file_cut_at_any_length_is_noticed(folder, two, name, n):
    old, new = two
    path = new.path / name
    whole = path.read_bytes()
    for size in places(path, whole, n):
        path.write_bytes(whole[:size])
        is_found(folder, old, new, name)
    for more in (b"\0", b" ", b"\n", whole):
        path.write_bytes(whole + more)
        is_found(folder, old, new, name)


@pytest.mark.parametrize("name", FILES)
def test_files_swapped_between_checkpoints_are_noticed(folder, name):
    three = [saved(folder, step) for step in (1, 2, 3)]
    whole = {each: (each.path / name).read_bytes() for each in three}
    for into, origin in permutations(three, 2):
        (into.path / name).write_bytes(whole[origin])
        with pytest.raises(UsageError, match=name):
            into.verify()
        told = []
        assert latest(folder, told.append) == (three[1] if into is three[2] else three[2])
        assert len(told) == (into is three[2])
        (into.path / name).write_bytes(whole[into])


def test_checkpoints_that_changed_names_are_noticed(folder, two):
    old, new = two
    aside = shutil.move(old.path, folder.path / "aside")
    shutil.move(new.path, old.path)
    shutil.move(aside, new.path)
    told = []
    with pytest.raises(UsageError, match="none of the 2 checkpoints"):
        latest(folder, told.append)
    assert [line.rpartition(":")[2] for line in told] == [" it belongs to step 1", " it belongs to step 2"]
    assert all_checkpoints(folder) == []


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_zeros_or_a_folder_is_noticed(folder, two, name):
    old, new = two
    path = new.path / name
    path.write_bytes(bytes(path.stat().st_size))
    is_found(folder, old, new, name)
    path.unlink()
    is_found(folder, old, new, name)
    path.mkdir()
    is_found(folder, old, new, name)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace('"step": 2', '"step":  2'),
        lambda text: text.replace('"step": 2', '"step": 2.0'),
        lambda text: text.replace('"step"', '"\\u0073tep"'),
        lambda text: json.dumps(json.loads(text)) + "\n",
        lambda text: json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n ",
        lambda text: "\ufeff" + text,
    ],
)
def test_a_manifest_that_says_the_same_in_other_bytes_is_noticed(folder, two, change):
    old, new = two
    path = new.path / "manifest.json"
    path.write_bytes(change(path.read_bytes().decode("utf-8")).encode("utf-8"))
    is_found(folder, old, new, "manifest.json")


def test_a_file_longer_than_its_manifest_says_is_not_read(folder, two, monkeypatch):
    old, new = two
    with (new.path / "weights.safetensors").open("r+b") as file:
        file.truncate(1 << 40)  # it takes no place on the disk
    is_found(folder, old, new, "weights.safetensors")


def test_what_is_read_is_what_the_formats_own_library_reads(folder):
    from safetensors.torch import load_file
    from safetensors.torch import save as to_bytes

    tensors = {
        f"{dtype}/{n}".removeprefix("torch."): (torch.arange(6).reshape(shape) % 2).to(dtype)
        for n, shape in enumerate([(6,), (2, 3), (1, 2, 3)])
        for dtype in (
            torch.float32,
            torch.bfloat16,
            torch.float16,
            torch.float64,
            torch.int64,
            torch.int32,
            torch.int16,
        )
    }
    tensors |= {"none": torch.zeros(0, 3), "one": torch.tensor(0.5), "bool": torch.tensor([True, False, True])}
    tensors |= {"bytes": torch.arange(7, dtype=torch.uint8), "signed": torch.arange(3, dtype=torch.int8)}
    tensors |= {"complex": torch.tensor([1 + 2j]), 'ನದಿ "\\\n': torch.ones(1)}
    checkpoint = save(folder, 1, tensors, {}, {})
    assert (checkpoint.path / "weights.safetensors").read_bytes() == to_bytes(tensors)
    assert (checkpoint.path / "optimizer.safetensors").read_bytes() == to_bytes({})
    read, others = checkpoint.weights(), load_file(checkpoint.path / "weights.safetensors")
    assert read.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert (read[name].dtype, read[name].shape) == (tensor.dtype, tensor.shape)
        assert torch.equal(read[name], tensor)
        assert torch.equal(read[name], others[name])


def test_a_checkpoint_that_opens_is_told_from_one_that_is_whole(folder, two):
    _, new = two
    (new.path / "weights.safetensors").unlink()
    assert Checkpoint.open(new.path) == new
    with pytest.raises(UsageError, match=r"weights\.safetensors is missing"):
        new.verify()
