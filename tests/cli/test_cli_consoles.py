"""Consoles of all kinds: any encoding, a pipe, a terminal, a reader that leaves."""

import json
import os
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

TINY = (
    *("--set", "model.n_embd=16", "model.n_layer=1", "model.n_head=2", "model.block_size=16"),
    *("recipe.sample_length=20", "recipe.evaluate_on=500", "recipe.batch_size=4", "recipe.dtype=float32"),
)
COMMAND = (sys.executable, "-W", "error", "-m", "hornbook.cli")
ESCAPES = re.compile(rb"\x1b\[[0-9;?]*[a-zA-Z]")  # those with which a program moves a cursor or sets a style


@pytest.mark.parametrize("encoding", [pytest.param("ascii", marks=pytest.mark.slow), "cp1252"])
def test_a_console_that_can_not_show_kannada_gets_escapes(desk, process, encoding):
    name = "ಕನ್ನಡ 😀 é.txt"
    (desk / name).write_bytes((desk / "kn.txt").read_bytes() + "😀 é".encode() * 20)
    answer = process("train", name, "--steps", "2", *TINY, "--json", PYTHONIOENCODING=encoding)
    assert answer.code == 0, answer
    said = answer.err.decode(encoding)  # strictly: nothing else is in it
    assert "\\u0c95\\u0ca8\\u0ccd\\u0ca8\\u0ca1 \\U0001f600" in said
    assert "step 2 of 2" in said
    assert "Traceback" not in said
    assert ("é" in said) == (encoding == "cp1252")
    result = json.loads(answer.out.decode(encoding))  # escapes of Python's are none of JSON's
    assert name.removesuffix(".txt") == result["config"]["text"]["label"]
    assert Path(result["path"]).is_dir()


def test_a_pipe_is_utf_8_where_the_system_says_ascii(desk, process):
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    answer = process("train", "kn.txt", "--steps", "2", *TINY, **locale)
    assert answer.code == 0, answer
    said = answer.out.decode("utf-8")
    assert "ಕ" in said
    assert "\\u" not in said
    assert b"\r" not in answer.out  # plain lines: no live line, no colours
    assert b"\x1b" not in answer.out
    assert answer.err == b""


@pytest.fixture(scope="module")
def shown(shelf, terminal, tmp_path_factory):
    """What a terminal of 80 columns is sent by a training on a text that is full of control characters."""
    folder = tmp_path_factory.mktemp("terminal")
    (folder / "evil \x1b[7m.txt").write_bytes(
        b"\x1b]0;owned\x07\x1b[31m\xc2\x9b31m\r\x08\x7f plain \xe0\xb2\x95\n" * 200
    )
    words = (*TINY, "model.n_embd=64", "recipe.evaluate_every=200", "--out", "run", "--steps", "400")
    words = tuple(word for word in words if word != "model.n_embd=16")
    answer = terminal("train", "evil *.txt", *words, cwd=folder, HORNBOOK_CACHE=str(folder / "cache"))
    assert answer.code == 0, answer
    assert b"step 400 of 400" in answer.out
    return folder, answer.out


def test_a_terminal_gets_no_control_character_of_the_text(shown):
    _, out = shown
    plain = ESCAPES.sub(b"", out).decode("utf-8")
    assert {c for c in plain if unicodedata.category(c) == "Cc"} <= set("\n\r\t")
    assert b"\x1b[31m" not in out
    assert b"\x1b[7m" not in out
    assert "\\x1b" in plain


def test_a_terminal_that_knows_only_ascii_gets_escapes(shown, terminal):
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    answer = terminal("generate", "run", "--tokens", "300", "--prompt", "\x1b[31m", cwd=shown[0], **locale)
    assert answer.code == 0, answer
    assert answer.out.startswith(b"\\x1b[31m")
    assert answer.out.isascii()
    assert set(answer.out) & set(range(32)) <= set(b"\n\r\t")
    assert answer.out.count(b"\\u0c95") > 0


def test_a_live_line_says_all_that_matters_in_80_columns(shown):
    lines = [line.decode("utf-8") for line in re.split(rb"[\r\n]|\x1b\[[0-9;?]*[a-zA-Z]", shown[1])]
    live = [line for line in lines if re.match(r"\[#*\.*\].*\bloss\b", line)]
    assert len(set(live)) > 1, "there is no live line that moves"
    assert all(len(line) <= 80 for line in live)
    assert "…" not in live[-1], live[-1]
    assert re.search(r"\d+ (of|/) ?400|\d+/400", live[-1]), live[-1]
    assert re.search(r"loss \d.*val \d.*\d tok\S*/s.*\d s left", live[-1]), live[-1]


def test_lines_that_stay_fit_into_80_columns(shown):
    """A terminal cuts a longer one within a word, and a sample's second half would stand outside of its frame."""
    lines = ESCAPES.sub(b"", shown[1]).decode("utf-8").replace("\r", "\n").split("\n")
    long = [line for line in lines if len(line) > 80]
    assert not long, "\n".join(long)


def test_text_streams_and_a_reader_that_leaves_ends_it_quietly(desk):
    """Ten million characters would take an hour: the first have to come before the last is made."""
    with subprocess.Popen(
        [*COMMAND, "generate", "run", "--prompt", "to be", "--tokens", "10000000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as child:
        try:
            first = child.stdout.read(30)
            assert child.poll() is None
            child.stdout.close()  # what `| head -c 30` does
            code = child.wait(60)
            said = child.stderr.read()
        finally:
            child.kill()
    assert first.startswith(b"to be")
    assert len(first) == 30
    assert said == b""
    assert code == 0


def test_ctrl_c_while_generating_is_no_traceback(desk):
    if os.name == "nt":
        pytest.skip("on Windows a signal can't be sent to one process alone")
    import signal

    with subprocess.Popen(
        [*COMMAND, "generate", "run", "--tokens", "10000000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as child:
        try:
            child.stdout.read(10)
            child.send_signal(signal.SIGINT)
            child.stdout.read()
            said = child.stderr.read()
            code = child.wait(60)
        finally:
            child.kill()
    assert code == 130
    assert said == b"hornbook: interrupted.\n"


def test_a_pipe_stays_plain_where_colours_are_forced(hornbook, monkeypatch):
    """FORCE_COLOR, which build servers set, is about colours: a live line in a file helps nobody."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    answer = hornbook("train", "my.txt", "--steps", "2", *TINY)
    assert answer.code == 0
    assert "\r" not in answer.out
    assert "\x1b" not in answer.out
