"""How a run stands, seen from its folder."""

import pytest

from hornbook.errors import UsageError
from hornbook.runs import lock, log
from hornbook.runs.folder import RunFolder
from hornbook.runs.status import all_runs, status

FINAL = ("best_step", "nats_per_unit", "bits_per_character", "bits_per_byte", "units", "characters", "bytes", "unknown")


@pytest.fixture
def run(tmp_path):
    folder = RunFolder.create(tmp_path / "ಓಟ", "")
    folder.begin({"steps": 9}, {}, {})
    with log.Log(folder.log_path) as lines:
        for step, loss in ((0, 4.0), (3, 2.0), (6, 3.0)):
            lines.append({"step": step, "train_loss": 1.0, "val_loss": loss})
    return folder


def test_the_states_of_a_run(run):
    found = status(run.path)
    assert (found.state, found.step, found.steps, found.val_loss, found.fault) == ("stopped", 6, 9, 2.0, "")
    assert found.bytes == sum(file.stat().st_size for file in run.path.rglob("*") if file.is_file())
    with lock.hold(run.path), lock.at_work(run.path):
        assert status(run.path).state == "training"
    (run.path / lock.AT_WORK).touch()
    assert status(run.path).state == "killed"
    (run.path / lock.AT_WORK).unlink()
    with log.Log(run.log_path) as lines:
        lines.append({"step": 9, "final_val_loss": 2.0, **dict.fromkeys(FINAL, 1)})
    assert status(run.path).state == "done"


def test_damage_is_an_answer(run):
    whole = run.log_path.read_bytes()
    run.log_path.write_bytes(b"{}\n")
    assert status(run.path).state == "damaged"
    assert "log.jsonl, line 1, is damaged" in status(run.path).fault
    run.log_path.write_bytes(whole)
    run.config_path.write_bytes(b'{"format": 1}')
    assert "does not say how many steps" in status(run.path).fault
    run.config_path.write_bytes(b'{"format": 99}')
    assert "a newer hornbook" in status(run.path).fault


def test_runs_are_listed_by_name(run, tmp_path):
    for name in ("b", "a"):
        RunFolder.create(tmp_path / name, "").begin({"steps": 1}, {}, {})
    (tmp_path / "no run").mkdir()
    assert [each.path.name for each in all_runs(tmp_path)] == ["a", "b", "ಓಟ"]
    assert list(all_runs(tmp_path / "no run")) == []
    with pytest.raises(UsageError, match="is not a folder; `hornbook train` makes runs"):
        list(all_runs(tmp_path / "nowhere"))
