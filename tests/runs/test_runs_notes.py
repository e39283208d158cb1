"""Notes and samples: the user's words stay, the model's are shown as they are."""

import json

import pytest

from hornbook.runs import notes, samples
from hornbook.runs.folder import RunFolder


@pytest.fixture
def folder(tmp_path):
    return RunFolder.create(tmp_path / "ಶಾಲೆ", "")


def test_notes_are_begun_and_added_to(folder):
    notes.begin(folder, ["text: faust.txt", "preset: quick"])
    notes.add(folder, "Came out", ["validation 1.47"])
    assert folder.notes_path.read_bytes().decode("utf-8") == (
        "# ಶಾಲೆ\n\n"
        "These notes are yours: write anywhere. hornbook only ever adds at the end.\n\n"
        "## Asked\n\n- text: faust.txt\n- preset: quick\n\n"
        "## Expected\n\n- What do you think will come out, and why? Write it here before you look.\n\n"
        "## Came out\n\n- validation 1.47\n"
    )


@pytest.mark.parametrize("users", [b"mine", b"mine\n", b"\xff\xfe not UTF-8", b"a\r\nb\r\n", b"\n"])
def test_what_the_user_wrote_stays(folder, users):
    folder.notes_path.write_bytes(users)
    notes.begin(folder, [])
    notes.add(folder, "Came out", ["1", "2"])
    after = folder.notes_path.read_bytes()
    assert after.startswith(users)
    assert after.endswith(b"\n\n## Came out\n\n- 1\n- 2\n")
    assert b"\n\n## Asked\n" in after.removeprefix(users[:-1])


def test_notes_that_are_gone_begin_anew(folder):
    notes.add(folder, "Came out", ["1"])
    assert folder.notes_path.read_text(encoding="utf-8").startswith("# ಶಾಲೆ\n")
    assert folder.notes_path.read_text(encoding="utf-8").endswith("\n\n## Came out\n\n- 1\n")


def test_samples_appended_and_rebuilt_are_the_same(folder):
    records = [{"step": 1, "batch_loss": 4.0}, {"step": 2, "sample": "a\r\nb\u2028ನ\ud800"}, {"step": 4, "sample": ""}]
    for record in records:
        if "sample" in record:
            samples.append_sample(folder, record["step"], record["sample"])
    appended = folder.samples_path.read_bytes()
    assert appended == "----- step 2 -----\na\r\nb\u2028ನ\\ud800\n\n----- step 4 -----\n\n\n".encode()
    samples.write_samples(folder, records)
    assert folder.samples_path.read_bytes() == appended
    samples.write_samples(folder, [])
    assert folder.samples_path.read_bytes() == b""


def test_the_environment_is_told():
    import torch

    from hornbook.runs.environment import describe

    told = describe()
    assert json.loads(json.dumps(told)) == told
    assert told["torch"].startswith(torch.__version__.partition("+")[0])
    assert told["threads"] == torch.get_num_threads()
    assert told["cores"] >= 1
    assert told["processor"]


def test_the_environment_is_told_without_torch(monkeypatch):
    import sys

    from hornbook.runs.environment import describe

    monkeypatch.setitem(sys.modules, "torch", None)
    assert describe()["threads"] is None
