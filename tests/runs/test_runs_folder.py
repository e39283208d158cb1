"""Run folders: never shared, never taken for what they are not."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hornbook.errors import UsageError
from hornbook.runs.files import write_json
from hornbook.runs.folder import FORMAT, RESERVED, RunFolder, file_name


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run_at(path):
    folder = RunFolder.create(Path(path), "")
    folder.begin({"seed": 1}, {"kind": "characters"}, {"python": "3"})
    return folder


def refusal(action, *args):
    with pytest.raises(UsageError) as error:
        action(*args)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_run_is_found_again():
    folder = RunFolder.create(None, "shakespeare-quick")
    assert folder.path == Path("runs/shakespeare-quick")
    assert "is not a run, it has no config.json" in refusal(RunFolder.open, folder.path)
    folder.begin({"seed": 1}, {"kind": "characters"}, {"python": "3"})
    assert RunFolder.open(folder.path) == folder
    assert folder.config() == {"format": FORMAT, "seed": 1}
    assert list(folder.config()) == ["format", "seed"]
    assert folder.vocabulary() == {"kind": "characters"}
    names = {path.name for path in folder.path.iterdir()}
    assert names == {"config.json", "vocabulary.json", "environment.json", "checkpoints"}


def test_the_config_comes_last_and_only_once(disk):
    folder = RunFolder.create(None, "a")
    for k in range(1, 100):
        with disk(fail_at=k, dies=True):
            folder.begin({"seed": 1}, {}, {})
        if folder.config_path.exists():
            break
    assert k > 10
    assert RunFolder.open(folder.path).vocabulary() == {}
    assert "already holds a run" in refusal(folder.begin, {"seed": 2}, {}, {})
    assert folder.config()["seed"] == 1


def test_names_count_up():
    made = [RunFolder.create(None, "faust").path.as_posix() for _ in range(3)]
    assert made == ["runs/faust", "runs/faust-2", "runs/faust-3"]


def test_an_explicit_place_must_be_free():
    Path("empty").mkdir()
    assert RunFolder.create(Path("empty"), "x").path == Path("empty")
    assert RunFolder.create(Path("deep/er/place"), "x").path.is_dir()
    run_at("run")
    assert refusal(RunFolder.create, Path("run"), "x") == (
        "run already holds a run: name another --out, or continue it with `hornbook resume run`"
    )
    Path("full").mkdir()
    Path("full/a.txt").touch()
    assert refusal(RunFolder.create, Path("full"), "x") == "full already holds something: name another --out"
    Path("empty/checkpoints/a").touch()
    assert refusal(RunFolder.create, Path("empty"), "x") == "empty already holds something: name another --out"
    Path("file").touch()
    assert "no folder for the run can be made at file: " in refusal(RunFolder.create, Path("file"), "x")
    assert "can be made at " in refusal(RunFolder.create, Path("file/under"), "x")
    Path("runs").touch()
    assert "no folder for the run can be made at runs: " in refusal(RunFolder.create, None, "x")


def test_threads_never_share_a_folder():
    gate, done, refusals = Barrier(8), Barrier(8), set()

    def take(out):
        gate.wait()
        try:
            with RunFolder.claim(out, "a") as folder:
                done.wait()
                return folder.path
        except UsageError as error:
            refusals.add("is being trained" in str(error))
            done.wait()

    with ThreadPoolExecutor(8) as pool:
        for n in range(20):
            assert len(set(pool.map(take, [None] * 8))) == 8
            assert list(pool.map(take, [Path(f"out-{n}")] * 8)).count(None) == 7
    assert refusals == {True}
    assert not any(any(path.iterdir()) for path in Path().iterdir())  # no run was begun


def test_what_a_killed_process_left_before_its_run_began_is_in_nobody_s_way():
    with pytest.raises(KeyboardInterrupt), RunFolder.claim(Path("a"), "x") as folder:
        raise KeyboardInterrupt
    assert not folder.path.exists()
    left = ("environment.json", "vocabulary.json", ".config.json.0a.part", "training.json", ".lock")
    folder.checkpoints_path.mkdir(parents=True)
    for name in left:
        (folder.path / name).touch()
    with RunFolder.claim(Path("a"), "x") as again:
        again.begin({}, {}, {})
    assert RunFolder.open(Path("a")) == again
    assert "already holds a run" in refusal(RunFolder.create, Path("a"), "x")


def in_a_process(code):
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUTF8": "1"}
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, encoding="utf-8", env=env)


def test_processes_never_share_a_folder():
    code = "from hornbook.runs.folder import RunFolder as R\nfor _ in range(50): print(R.create(None, 'a').path)"
    processes = [in_a_process(code) for _ in range(3)]
    made = [line for process in processes for line in process.communicate()[0].splitlines()]
    assert len(made) == len(set(made)) == 150


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("shakespeare-quick", "shakespeare-quick"),
        ("ಕನ್ನಡ ಪಠ್ಯ", "ಕನ್ನಡ-ಪಠ್ಯ"),
        ("हिन्दी", "हिन्दी"),
        ("한국어", "한국어"),
        ("cafe\u0301", "caf\u00e9"),
        ('a/b\\c:d*e?f"g<h>i|j\x00k', "a-b-c-d-e-f-g-h-i-j-k"),
        ("../../etc", "etc"),
        (".hidden.", "hidden"),
        ("", "run"),
        ("🙂", "run"),
        ("con", "run-con"),
        ("Com1.txt", "run-Com1.txt"),
        ("COM¹", "run-COM¹"),
        ("console", "console"),
        ("x" * 300, "x" * 100),
        ("ಕ" * 300, "ಕ" * 33),
        ("a\ud800b", "a-b"),
    ],
)
def test_labels_become_names(label, name):
    assert file_name(label) == name


@given(st.text())
def test_any_label_is_a_name(label):
    name = file_name(label)
    assert not set(name) & set('/\\:*?"<>| \x00\n')
    assert 1 <= len(name.encode("utf-8")) <= 110
    assert name[0] not in ".-"
    assert name[-1] not in ". "
    assert name.partition(".")[0].upper() not in RESERVED
    assert file_name(name) == name


def test_what_is_not_a_run_is_told_so():
    assert refusal(RunFolder.open, Path("runs/a")) == "runs/a does not exist; `hornbook train` makes one".replace(
        "runs/a", str(Path("runs/a"))
    )
    run_at("runs/shakespeare-quick")
    run_at("runs/goethe")
    assert refusal(RunFolder.open, Path("runs/shakespear-quick")).endswith("did you mean 'runs/shakespeare-quick'?")
    assert refusal(RunFolder.open, Path("goethe")).endswith("did you mean 'runs/goethe'?")
    assert refusal(RunFolder.open, Path("zzz")).endswith("known: runs/goethe, runs/shakespeare-quick.")
    assert refusal(RunFolder.open, Path("runs")).startswith("runs is not a run, it has no config.json; ")
    Path("text.txt").touch()
    assert "text.txt is a file, not the folder of a run; " in refusal(RunFolder.open, Path("text.txt"))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "is not one that hornbook wrote: it names no version of its format"),
        ({"format": True}, "is not one that hornbook wrote"),
        ({"format": 0}, "is not one that hornbook wrote"),
        ({"format": "1"}, "is not one that hornbook wrote"),
        (
            {"format": FORMAT + 1},
            f"was written by a newer hornbook (format {FORMAT + 1}; this one reads up to {FORMAT}): "
            "upgrade hornbook to open it",
        ),
    ],
)
def test_other_formats_are_refused(config, message):
    Path("run").mkdir()
    write_json(Path("run/config.json"), config)
    assert refusal(RunFolder.open, Path("run")).startswith(f"{Path('run/config.json')} {message}")


def test_an_unreadable_config_is_named():
    folder = run_at("run")
    folder.config_path.write_bytes(b'{"format": 1,')
    assert refusal(RunFolder.open, Path("run")).startswith(f"{folder.config_path} cannot be read as JSON: ")


def test_looking_imports_nothing_heavy():
    code = (
        "import sys, pkgutil, importlib, hornbook.runs as runs\n"
        "for m in pkgutil.iter_modules(runs.__path__): importlib.import_module(f'hornbook.runs.{m.name}')\n"
        "print([m for m in ('torch', 'numpy', 'matplotlib', 'safetensors') if m in sys.modules])\n"
        "print(len([m for m in sys.modules if m.startswith('hornbook.runs.')]))"
    )
    assert in_a_process(code).communicate()[0].splitlines() == ["[]", "12"]
