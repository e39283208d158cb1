"""`hornbook trace`: what it prints, what it writes, and what it says about what can't be done."""

import json
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

from hornbook import api
from hornbook.cli.app import run as command
from hornbook.model.weights import get_weights
from hornbook.trace.show import run as show_run


@pytest.fixture
def call(capsys):
    """Call `hornbook trace WORD …`: the exit code, standard output, standard error."""

    def words(*words):
        capsys.readouterr()
        code = command(["trace", *map(str, words)])
        return code, *capsys.readouterr()

    return words


@pytest.fixture
def folder(make_run):
    return make_run().path


@pytest.fixture
def refused(call):
    """Call what can't be done: exit code 2, nothing on standard output, one line on standard error."""

    def words(*words):
        code, out, err = call(*words)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert err.startswith("hornbook: ")
        return err

    return words


def test_a_run_is_traced_in_plain_text(call, folder):
    code, out, err = call(folder, "--prompt", "ಜ್ಞಾನವೇ")
    assert (code, err) == (0, "")
    assert "the text: ಜ್ಞಾನವೇ" in out
    assert "\x1b" not in out
    assert [line[3:12] for line in out.splitlines() if line.startswith("── ")][:3] == [
        "Text beco",
        "Ids becom",
        "Block 1 o",
    ]


def test_what_is_drawn_is_what_generate_writes_first(call, folder, capsys):
    for seed in range(5):
        _, out, _ = call(folder, "--prompt", "ನಮ್ಮ", "--seed", seed, "--temperature", 1.2, "--json")
        drawn = json.loads(out)["drawn"]["unit"]
        assert command(["generate", str(folder), "--prompt", "ನಮ್ಮ", "--tokens", "1", "--seed", f"{seed}",
                        "--temperature", "1.2", "--json"]) == 0  # fmt: skip
        assert json.loads(capsys.readouterr().out)["texts"] == ["ನಮ್ಮ" + drawn]


def test_json_holds_the_numbers_of_the_checkpoint(call, folder, reference):
    _, out, _ = call(folder, "--prompt", "Once upon", "--json")
    said = json.loads(out)
    opened = api.open_run(folder)
    true = reference(opened.model_config, get_weights(opened.model), said["ids"])
    close = {"rtol": 1e-4, "atol": 1e-5}
    np.testing.assert_allclose(said["logits"], true["logits"][-1], **close)
    np.testing.assert_allclose(said["probabilities"], true["probabilities"][-1], **close)
    assert said["probabilities_sum"] == pytest.approx(1, abs=1e-9)
    np.testing.assert_allclose(said["embedding"]["sum"], true["whole"][-1], **close)
    np.testing.assert_allclose(said["norm"]["after"], true["after_norm"], **close)
    for block, expected in zip(said["blocks"], true["blocks"], strict=True):
        np.testing.assert_allclose(block["after"], expected["after"], **close)
        for branch in block["branches"]:
            np.testing.assert_allclose(branch["norms"], expected[branch["name"]], **close)
        for head, weights in zip(block["weights"], expected["weights"], strict=True):
            for query, row in enumerate(head):
                np.testing.assert_allclose(row, weights[query, : query + 1], **close)
    assert [unit["id"] for unit in said["likeliest"]] == np.argsort(-true["logits"][-1])[:10].tolist()


def test_pages_and_pictures_are_written_and_named(call, folder, tmp_path):
    html, svg = tmp_path / "a.html", tmp_path / "b.svg"
    code, out, _ = call(folder, "--prompt", "ನ", "--html", html, "--svg", svg)
    assert code == 0
    assert out.splitlines() == [f"{path}: {path.stat().st_size:,} bytes" for path in (html, svg)]
    assert html.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert svg.read_text(encoding="utf-8").startswith("<svg ")
    code, out, err = call("quick", "--html", html, "--json")
    assert (code, json.loads(out)["preset"]) == (0, "quick")
    assert "a.html" in err
    assert "quick" in html.read_text(encoding="utf-8")


def test_a_preset_is_drawn_for_a_vocabulary(call):
    code, out, _ = call("quick", "--vocab-size", 87)
    assert code == 0
    assert "block, 4 times: PreNorm" in out
    assert "V = 87 units" in out
    _, out, _ = call("bigram", "--json")
    assert json.loads(out)["parameters"] == 65 * 65


def test_a_folder_comes_before_a_preset_of_its_name(call, folder, tmp_path, monkeypatch):
    shutil.copytree(folder, tmp_path / "quick")
    monkeypatch.chdir(tmp_path)
    assert "Block 1 of 2" in call("quick")[1]


def test_what_can_not_be_done_is_said_in_a_line(refused, folder, tmp_path):
    assert "train it (hornbook train --preset quick)" in refused("quick", "--prompt", "To be")
    assert "--vocab-size is for a preset" in refused(folder, "--vocab-size", 9)
    assert "did you mean 'quick'?" in refused("quik")
    assert "U+2603 SNOWMAN" in refused(folder, "--prompt", "ನ☃")
    assert "temperature is -1" in refused(folder, "--temperature", -1)
    assert "seed is -1" in refused(folder, "--seed", -1)
    missing = tmp_path / "nowhere" / "x.html"
    assert f"can't write {missing}: No such file or directory; name a file" in refused(folder, "--html", missing)
    assert f"can't write {tmp_path}:" in refused("quick", "--svg", tmp_path)
    assert "vocab_size is 0" in refused("quick", "--vocab-size", 0)


def test_a_run_without_a_checkpoint_says_so(refused, folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    shutil.rmtree(copy / "checkpoints")
    assert "checkpoint" in refused(copy)


def test_an_edited_source_is_what_is_traced(folder, tmp_path):
    """A learner edits mlp.py: the trace shows the edited part, in a process of its own."""
    code = (
        "import torch\nfrom hornbook.model import mlp\n"
        "old = mlp.MLP.forward\nmlp.MLP.forward = lambda self, x: 0 * old(self, x)\n"
        f"from hornbook.cli.app import run\nrun(['trace', {str(folder)!r}, '--prompt', 'Once'])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True, timeout=60)
    assert out.stdout.count("+ mlp adds                 0.00") == 2


@pytest.mark.slow
def test_a_model_of_ten_million_is_traced_in_three_seconds_and_its_page_is_under_3_mb(make_run):
    run = make_run(
        **{"model.n_layer": 6, "model.n_head": 6, "model.n_embd": 384, "model.block_size": 256, "recipe.batch_size": 1}
    )
    prompt = "ಕನ್ನಡ ಭಾಷೆಯ ಅಕ್ಷರಗಳು ಸುಂದರವಾಗಿವೆ. ಜ್ಞಾನವೇ ಬೆಳಕು; " * 10
    start = time.process_time()
    shown = show_run(run, prompt[:256], None, 0.8, 1, "error")
    lines = list(shown.lines())
    html = shown.html()
    assert time.process_time() - start < 3
    assert len(lines) > 100
    assert len(html.encode("utf-8")) < 3_000_000
