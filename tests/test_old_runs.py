"""Runs that earlier versions wrote open, score, write and go on as they did then (`fixtures/runs/README.md`)."""

import json
import shutil
from pathlib import Path

import pytest

import hornbook as hb
from hornbook.cli.app import run as hornbook
from hornbook.errors import UsageError
from hornbook.runs.folder import FORMAT

VERSIONS = Path(__file__).parent / "fixtures" / "runs"
RUNS = sorted(path.parent for path in VERSIONS.glob("*/*/config.json"))


@pytest.fixture(params=RUNS, ids=lambda path: path.relative_to(VERSIONS).as_posix())
def old(request, tmp_path, monkeypatch):
    monkeypatch.setenv("HORNBOOK_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(request.param, "run")
    shutil.copy(request.param.parent / "text.txt", tmp_path)
    return tmp_path / "run"


def test_every_version_has_its_runs():
    assert {path.parent.name for path in RUNS} >= {"0.1.0"}
    assert max(json.loads((path / "config.json").read_text("utf-8"))["format"] for path in RUNS) == FORMAT


def test_an_old_run_opens_and_goes_on(old, capsys):
    known = json.loads((old / "known.json").read_text(encoding="utf-8"))
    run = hb.open(old)
    assert (run.state, run.reached) == ("stopped", "step 6 of 12")
    assert run.evaluate().loss == pytest.approx(known["nats_per_unit"], abs=1e-5)
    assert run.generate("the", tokens=20, temperature=0) == known["text"]
    done = hb.resume(old, progress=False)
    assert (done.state, done.reached) == ("done", "step 12 of 12")
    assert done.final["final_val_loss"] == pytest.approx(known["final_val_loss"], abs=1e-4)
    for words in (["show", "run"], ["show", "run", "--verify"], ["runs", "."]):
        assert hornbook(words) == 0
    assert "step-00000012: whole" in capsys.readouterr().out


def test_a_text_that_changed_is_not_taken_for_the_old_one(old):
    with Path("text.txt").open("ab") as file:
        file.write(b"and more\n")
    with pytest.raises(UsageError, match=r"text\.txt is not the text that .* was begun with"):
        hb.resume(old, progress=False)


def test_a_log_torn_behind_the_checkpoint_keeps_no_run_from_going_on(old):
    known = json.loads((old / "known.json").read_text(encoding="utf-8"))
    with (old / "log.jsonl").open("ab") as file:
        file.write(b"\0" * 40 + b'\n{"step": 7, "batch_l\n')
    done = hb.resume(old, progress=False)
    assert done.final["final_val_loss"] == pytest.approx(known["final_val_loss"], abs=1e-4)
