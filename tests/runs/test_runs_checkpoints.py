"""Checkpoints: whatever fails, and whenever, the last good one stays, and a damaged one is never taken for good."""

import json
import shutil
import tracemalloc
from itertools import groupby

import pytest
import torch

from hornbook.errors import UsageError
from hornbook.runs.checkpoints import Checkpoint, all_checkpoints, latest, prune, save
from hornbook.runs.folder import RunFolder

FILES = ("weights.safetensors", "optimizer.safetensors", "state.json", "manifest.json")


@pytest.fixture
def folder(tmp_path):
    return RunFolder.create(tmp_path / "run", "")


def saved(folder, step, shift=0.0):
    weights = {"head.weight": torch.arange(6.0).reshape(2, 3) + step + shift, "norm": torch.ones(2).bfloat16()}
    return save(folder, step, weights, {"head.weight.exp_avg": torch.tensor(0.5)}, {"step": step, "best": 0.1 + 0.2})


def names(folder):
    return sorted(path.name for path in folder.checkpoints_path.iterdir())


def content(checkpoint):
    return {name: (checkpoint.path / name).read_bytes() for name in FILES}


def unexpected(line):
    raise AssertionError(line)


def test_what_is_saved_is_loaded(folder):
    checkpoint = saved(folder, 1500)
    assert checkpoint.path == folder.path / "checkpoints" / "step-00001500"
    assert names(folder) == ["step-00001500"]
    assert sorted(path.name for path in checkpoint.path.iterdir()) == sorted(FILES)
    found = latest(folder, unexpected)
    assert found == checkpoint
    assert torch.equal(found.weights()["head.weight"], torch.arange(6.0).reshape(2, 3) + 1500)
    assert found.weights()["norm"].dtype == torch.bfloat16
    assert torch.equal(found.optimizer()["head.weight.exp_avg"], torch.tensor(0.5))
    assert found.state() == {"step": 1500, "best": 0.1 + 0.2}
    manifest = json.loads((checkpoint.path / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["files"]["weights.safetensors"]["sha256"] == checkpoint.weights_sha256
    assert manifest["files"]["state.json"]["bytes"] == (checkpoint.path / "state.json").stat().st_size


def test_what_is_loaded_can_be_trained_on(folder):
    weights = saved(folder, 1).weights()
    weights["head.weight"].add_(1)
    assert torch.equal(saved(folder, 1).weights()["head.weight"], torch.arange(6.0).reshape(2, 3) + 1)


def test_no_optimizer_and_no_state_will_do(folder):
    checkpoint = save(folder, 0, {"w": torch.zeros(0, 3)}, {}, {})
    assert (checkpoint.optimizer(), checkpoint.state()) == ({}, {})
    assert checkpoint.weights()["w"].shape == (0, 3)


def test_the_same_tensors_make_the_same_bytes(tmp_path):
    first, second = (saved(RunFolder.create(tmp_path / name, ""), 7) for name in "ab")
    assert content(first) == content(second)


def test_the_order_of_the_operations(folder, disk):
    with disk() as state:
        saved(folder, 1)
    file, name = ["open", "write", "fsync"], ["open folder", "fsync folder"]
    log = [op for op, _ in groupby(state.log) if op != "mkdir"]  # a file is written in as many pieces as it has tensors
    assert log in (4 * file + name + ["replace"] + name, 4 * file + ["replace"])
    assert tuple(state.opened) == FILES  # the manifest last


@pytest.mark.parametrize("dies", [True, False], ids=["crash", "disk-full"])
def test_no_failure_costs_the_last_good_checkpoint(folder, disk, dies):
    good = saved(folder, 1)
    before = content(good)
    for k in range(1, 1000):
        with disk(fail_at=k, dies=dies) as state:
            saved(folder, 2)
        assert content(good) == before
        found = latest(folder, unexpected)
        assert found.step in (1, 2)
        if not dies:
            assert set(names(folder)) <= {"step-00000001", "step-00000002"}
        again = saved(folder, 2)  # as after a restart: it succeeds, and cleans up
        again.verify()
        assert names(folder) == ["step-00000001", "step-00000002"]
        if not state.failed:
            break
        shutil.rmtree(again.path)
    assert k >= 15


@pytest.mark.parametrize("dies", [True, False], ids=["crash", "disk-full"])
def test_no_failure_while_pruning_costs_what_is_kept(folder, disk, dies):
    for k in range(1, 1000):
        for step in (1, 2, 3, 4):
            saved(folder, step)
        with disk(fail_at=k, dies=dies) as state:
            prune(folder, {2}.__contains__)  # a folder that cannot be removed just now is left for the next time
        assert latest(folder, unexpected).step == 4
        kept = {checkpoint.step: checkpoint for checkpoint in all_checkpoints(folder)}
        assert set(kept) >= {2, 4}
        for checkpoint in kept.values():
            checkpoint.verify()
        prune(folder, {2}.__contains__)
        assert names(folder) == ["step-00000002", "step-00000004"]
        if not state.failed:
            break
    assert k > 8


def test_leftovers_are_swept(folder):
    saved(folder, 1)
    for name in (".writing-2-ab", ".removing-1-cd"):
        (folder.checkpoints_path / name).mkdir()
        (folder.checkpoints_path / name / "weights.safetensors").touch()
    assert [checkpoint.step for checkpoint in all_checkpoints(folder)] == [1]
    saved(folder, 2)
    assert names(folder) == ["step-00000001", "step-00000002"]


def test_every_flipped_bit_is_noticed(folder):
    checkpoint = saved(folder, 3)
    for name in FILES:
        path = checkpoint.path / name
        whole = path.read_bytes()
        for place in range(len(whole)):
            data = bytearray(whole)
            data[place] ^= 1 << place % 8
            path.write_bytes(data)
            with pytest.raises(UsageError) as error:
                checkpoint.verify()
            named = str(path) if name != "manifest.json" else str(checkpoint.path)
            assert named in str(error.value)
            assert "\n" not in str(error.value)
        path.write_bytes(whole)
    checkpoint.verify()


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("how", ["empty", "shorter", "longer", "gone"])
def test_damage_is_named_and_stepped_over(folder, name, how):
    old, new = saved(folder, 1), saved(folder, 2)
    path = new.path / name
    whole = path.read_bytes()
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes({"empty": b"", "shorter": whole[:-3], "longer": whole + b"x"}[how])
    with pytest.raises(UsageError, match=f"{name} (is|cannot)"):
        new.verify()
    told = []
    assert latest(folder, told.append) == old
    assert len(told) == 1
    assert told[0].startswith(f"stepping over step-00000002: {path} ")
    prune(folder, set().__contains__)
    assert latest(folder, told.append) == old


def test_a_damaged_file_is_never_loaded(folder):
    checkpoint = saved(folder, 1)
    for name, load in zip(FILES, (checkpoint.weights, checkpoint.optimizer, checkpoint.state), strict=False):
        path = checkpoint.path / name
        path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
        with pytest.raises(UsageError) as error:
            load()
        assert str(error.value) == f"{path} is damaged: its bytes are not those that were saved"


def test_swapped_files_are_noticed(folder):
    first, second = saved(folder, 1), saved(folder, 2)
    shutil.copyfile(first.path / "weights.safetensors", second.path / "weights.safetensors")
    with pytest.raises(UsageError, match=r"weights\.safetensors is damaged"):
        second.verify()
    shutil.copyfile(first.path / "manifest.json", second.path / "manifest.json")
    with pytest.raises(UsageError, match=r"manifest\.json is damaged or from elsewhere: it belongs to step 1"):
        second.verify()
    assert all_checkpoints(folder) == [first]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "was written by a newer hornbook"),
        ({"files": []}, "does not list the files of a checkpoint"),
        ({"files": {"../../config.json": {}}}, "does not list the files of a checkpoint"),
        ({"files": dict.fromkeys(FILES[:3])}, "lacks the hash of a file"),
        ({"files": {name: {"sha256": 1} for name in FILES[:3]}}, "lacks the hash of a file"),
        ({"step": "1"}, "it belongs to step 1"),
        ({"step": True}, "it belongs to step True"),
    ],
)
def test_odd_manifests_are_refused(folder, change, message):
    path = saved(folder, 1).path / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | change), encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        Checkpoint.open(path.parent)


def test_a_step_that_is_whole_is_kept_and_one_that_is_damaged_moves_aside(folder):
    checkpoint = saved(folder, 5)
    stamp = (checkpoint.path / "weights.safetensors").stat().st_mtime_ns
    assert saved(folder, 5) == checkpoint
    assert (checkpoint.path / "weights.safetensors").stat().st_mtime_ns == stamp
    for _ in range(2):
        (checkpoint.path / "state.json").write_bytes(b"{}")
        assert saved(folder, 5) == checkpoint
        checkpoint.verify()
    assert names(folder) == ["step-00000005", "step-00000005-damaged-1", "step-00000005-damaged-2"]
    assert all_checkpoints(folder) == [checkpoint]
    assert latest(folder, unexpected) == checkpoint


def test_a_step_that_comes_out_otherwise_is_refused(folder):
    checkpoint = saved(folder, 5)
    with pytest.raises(UsageError, match="was saved before, with other weights: this run does not repeat itself"):
        saved(folder, 5, shift=1e-3)
    checkpoint.verify()
    assert names(folder) == ["step-00000005"]


def test_a_disk_that_gives_back_other_bytes_is_not_trusted(folder, monkeypatch):
    from hornbook.runs import checkpoints

    good = saved(folder, 1)
    monkeypatch.setattr(checkpoints, "sha256_of", lambda path: "0" * 64)
    with pytest.raises(OSError, match="the disk gave back other bytes than were written"):
        saved(folder, 2)
    assert names(folder) == [good.path.name]


def test_none_and_none_whole_are_told_apart(folder):
    with pytest.raises(UsageError) as error:
        latest(folder, unexpected)
    assert str(error.value) == (
        f"{folder.path} has no checkpoint yet: wait for the first, or go on with `hornbook resume {folder.path}`"
    )
    for step in (1, 2):
        (saved(folder, step).path / "state.json").unlink()
    told = []
    with pytest.raises(UsageError, match=r"none of the 2 checkpoints in .* is whole"):
        latest(folder, told.append)
    assert [line.split(":")[0] for line in told] == [f"stepping over step-0000000{step}" for step in (2, 1)]


def test_steps_sort_as_numbers(folder):
    for step in (100_000_000, 99_999_999, 0):
        saved(folder, step)
    assert [checkpoint.step for checkpoint in all_checkpoints(folder)] == [0, 99_999_999, 100_000_000]


def test_pruning_keeps_the_newest_and_the_named(folder):
    prune(folder, set().__contains__)
    for step in range(1, 6):
        saved(folder, step)
    prune(folder, {2, 99}.__contains__)
    assert names(folder) == ["step-00000002", "step-00000005"]
    prune(folder, set().__contains__)
    assert names(folder) == ["step-00000005"]


def test_a_run_goes_on_past_a_damaged_checkpoint(folder):
    for step in (1, 2, 4):
        saved(folder, step)
    (folder.checkpoints_path / "step-00000004" / "state.json").write_bytes(b"{}")
    for step, left in ((3, (3, 4)), (4, (4,)), (5, (5,))):  # resumed at 2
        saved(folder, step)
        prune(folder, {step}.__contains__)
        assert [checkpoint.step for checkpoint in all_checkpoints(folder)] == list(left)
        assert latest(folder, lambda line: None).step == step
    assert names(folder) == ["step-00000004-damaged-1", "step-00000005"]


def test_nothing_is_pruned_when_none_is_whole(folder):
    for step in (1, 2):
        (saved(folder, step).path / "state.json").unlink()
    with pytest.raises(UsageError, match="none of the 2 checkpoints"):
        prune(folder, set().__contains__)
    assert names(folder) == ["step-00000001", "step-00000002"]


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.complex64])
def test_what_is_not_finite_is_not_saved(folder, dtype, number):
    good = saved(folder, 1)
    for place in (0, 4, 8):
        tensor = torch.ones(3, 3).to(dtype)
        tensor.view(-1)[place] = number
        for weights, memory in (({"a": torch.ones(2), "b": tensor}, {}), ({}, {"b": tensor})):
            with pytest.raises(UsageError, match=r"^'b' holds NaN or an infinity at step 2, and was not saved"):
                save(folder, 2, weights, memory, {})
    assert names(folder) == [good.path.name]
    save(folder, 2, {"large": torch.full((9,), torch.finfo(dtype).max, dtype=dtype)}, {}, {})  # though their sum is not


def test_nothing_is_copied_to_be_saved(folder):
    """What is written is the tensors' own memory: new memory is what a save costs most."""
    weights = {"a": torch.zeros(1000, 1000)}
    tracemalloc.start()
    try:
        save(folder, 1, weights, {}, {})
        assert tracemalloc.get_traced_memory()[1] < 2_000_000  # of numpy, too: which numbers are finite, a byte each
    finally:
        tracemalloc.stop()


def test_a_checkpoint_known_to_be_whole_is_not_read_again_to_prune(folder, monkeypatch):
    newest = [saved(folder, step) for step in (1, 2, 3)][-1]
    monkeypatch.setattr(Checkpoint, "verify", unexpected)
    prune(folder, {2}.__contains__, newest)
    assert names(folder) == ["step-00000002", "step-00000003"]


def test_tensors_that_share_memory_are_refused(folder):
    tied = torch.ones(2, 2)
    with pytest.raises(RuntimeError, match="share memory"):
        save(folder, 1, {"a": tied, "b": tied}, {}, {})
    assert names(folder) == []
