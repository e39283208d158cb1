"""What can't be done: one clear line, exit code 2, and nothing lost, nothing left behind."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hornbook.training import loop

SMALL = (
    *("model.n_embd=16", "model.n_layer=1", "model.n_head=2", "model.block_size=16"),
    *("recipe.sample_length=5", "recipe.evaluate_on=100", "recipe.batch_size=4", "recipe.dtype=float32"),
)
TINY = ("--set", *SMALL)


def tree(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def root_or_windows():
    return not hasattr(os, "geteuid") or os.geteuid() == 0


# --- texts -----------------------------------------------------------------------------------------------------------

BAD_TEXTS = {
    "empty": (b"", "empty"),
    "byte order mark alone": (b"\xef\xbb\xbf", "empty"),
    "one character": (b"a", "'a'"),
    "one character, repeated": (b"a" * 5_000, "'a'"),
    "PNG": (bytes.fromhex("89504e470d0a1a0a0000000d4948445200000001"), "byte 0x89 at offset 0, line 1"),
    "NUL": (b"some text\nand then\0" * 9, "NUL character at byte 18"),
    "UTF-16 without a mark": ("some text, and more of it".encode("utf-16-le"), "UTF-16"),
    "Latin-1": ("line one\nun café noir\n".encode("latin-1") * 9, "byte 0xe9 at offset 15, line 2"),
    "a cut character": ("ಕನ್ನಡ" * 30).encode()[:-1],
    "shorter than the context": (b"to be or not", "10 characters to train on"),
    "two characters": (b"ab", "at least 2"),
}
BAD_TEXTS["a cut character"] = (BAD_TEXTS["a cut character"], "not UTF-8")


@pytest.mark.parametrize("what", BAD_TEXTS)
def test_train_and_prepare_refuse_a_text_that_is_none(refuses, desk, what):
    data, says = BAD_TEXTS[what]
    (desk / "bad.txt").write_bytes(data)
    refuses("train", "bad.txt", "--steps", "1", *TINY, says=says)
    refuses("train", "bad.txt", "--steps", "1", *TINY, "--out", "new", says=says)
    if what != "shorter than the context":
        refuses("prepare", "bad.txt", "--out", "prepared", says=says)


@pytest.mark.parametrize(
    "word", ["missing.txt", "*.nope", "folder", "folder/", "", "no\nsuch\x1b[31m", "tinyshakespear"]
)
def test_a_text_that_is_not_there(refuses, desk, word):
    (desk / "folder").mkdir()
    says = {"tinyshakespear": "did you mean 'tinyshakespeare'?", "": "''"}.get(word, word.rstrip("/").split("\n")[0])
    refuses("train", word, "--steps", "1", *TINY, says=says)
    refuses("prepare", word, "--out", "prepared", says=says)
    refuses("evaluate", "run", "--text", word, says=says)
    refuses("train", "my.txt", word, "--steps", "1", *TINY, says=says)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no FIFOs and no /dev/null")
def test_what_is_no_regular_file_is_refused_and_not_waited_for(refuses, desk):
    refuses("train", "/dev/null", "--steps", "1", *TINY, says="not a regular file")
    os.mkfifo(desk.parent / "fifo")  # beside the desk: the check of what is left behind would wait for it
    refuses("train", "../fifo", "--steps", "1", *TINY, says="not a regular file")
    refuses("prepare", "../fifo", "--out", "x", says="not a regular file")
    refuses("evaluate", "run", "--text", "../fifo", says="not a regular file")
    refuses("train", "my.txt", "--config", "/dev/null/x", says="/dev/null/x")


@pytest.mark.skipif(os.name == "nt", reason="a symbolic link needs rights that a user of Windows does not have")
def test_a_broken_symbolic_link_is_a_missing_file(refuses, desk):
    (desk / "link.txt").symlink_to("nowhere.txt")
    refuses("train", "link.txt", "--steps", "1", *TINY, says="link.txt")
    (desk / "loop.txt").symlink_to("loop.txt")
    refuses("train", "loop.txt", "--steps", "1", *TINY, says="loop.txt")


@pytest.mark.skipif(root_or_windows(), reason="root can read everything, and Windows has no such mode")
def test_what_the_user_may_not_read_or_write(refuses, desk):
    (desk.parent / "locked.txt").write_text("to be or not to be " * 9, encoding="utf-8")
    (desk.parent / "locked.txt").chmod(0)
    refuses("train", "../locked.txt", "--steps", "1", *TINY, says="Permission denied")
    (desk.parent / "closed").mkdir(mode=0o500)
    refuses("train", "my.txt", "--out", "../closed/x", "--steps", "1", *TINY, says="Permission denied")
    refuses("prepare", "my.txt", "--out", "../closed/x", says="Permission denied")


def test_evaluate_needs_two_characters_that_the_model_knows(refuses, desk):
    (desk / "one.txt").write_text("t", encoding="utf-8")
    (desk / "empty.txt").write_text("", encoding="utf-8")
    (desk / "chess.txt").write_text("♔♕", encoding="utf-8")
    refuses("evaluate", "run", "--text", "one.txt", says="longer text")
    refuses("evaluate", "run", "--text", "empty.txt", says="longer text")
    refuses("evaluate", "run", "--text", "chess.txt", "--unknown", "skip", says="longer text")
    refuses("evaluate", "run", "--text", "chess.txt", says=["'♔'", "U+2654", "WHITE CHESS KING", "--unknown skip"])
    refuses("evaluate", "run", "--random-batches", "-3", says="-3")


# --- folders ---------------------------------------------------------------------------------------------------------


def test_a_folder_that_holds_a_run_stays_byte_for_byte(refuses):
    refuses("train", "my.txt", "--out", "run", "--steps", "1", *TINY, says=["run already holds a run", "resume run"])
    refuses("train", "my.txt", "--out", "run/checkpoints", "--steps", "1", *TINY, says="already holds")


def test_a_folder_that_holds_something_else_stays_as_it_is(refuses, desk):
    (desk / "other").mkdir()
    (desk / "other" / "thesis.txt").write_text("years of work", encoding="utf-8")
    (desk / ".hidden").mkdir()
    (desk / ".hidden" / ".x").write_text("1", encoding="utf-8")
    refuses("train", "my.txt", "--out", "other", "--steps", "1", *TINY, says="other already holds something")
    refuses("train", "my.txt", "--out", ".hidden", "--steps", "1", *TINY, says=".hidden already holds something")
    refuses("train", "my.txt", "--out", ".", "--steps", "1", *TINY, says="already holds")
    refuses("train", "my.txt", "--out", "my.txt", "--steps", "1", *TINY, says="my.txt")
    refuses("train", "my.txt", "--out", "my.txt/x", "--steps", "1", *TINY, says="my.txt")
    refuses("prepare", "my.txt", "--out", "my.txt", says="my.txt")
    refuses("prepare", "my.txt", "--out", "my.txt/x", says="my.txt")


def test_an_empty_folder_that_the_user_made_is_taken_and_stays_where_it_can_not_be_used(hornbook, refuses, desk):
    (desk / "mine").mkdir()
    (desk / "bad.txt").write_bytes(b"a")
    refuses("train", "bad.txt", "--out", "mine", "--steps", "1", *TINY)  # also not removed
    assert hornbook("train", "my.txt", "--out", "mine", "--steps", "1", *TINY).code == 0


def test_prepare_writes_over_nothing(refuses, hornbook):
    assert hornbook("prepare", "my.txt", "--out", "prepared").code == 0
    refuses("prepare", "kn.txt", "--out", "prepared", says="prepared is there already, and not an empty folder")


def test_no_folder_for_runs_is_left_where_no_run_came_of_it(refuses, desk):
    (desk / "runs").rmdir()
    (desk / "bad.txt").write_bytes(b"a")
    refuses("train", "bad.txt", "--steps", "1", *TINY)
    refuses("train", "my.txt", "--steps", "1", *TINY, "model.mlp=gellu")
    refuses("train", "bad.txt", "--steps", "1", *TINY, "--out", "new/deep")
    refuses("prepare", "bad.txt", "--out", "new/deep")


# --- runs ------------------------------------------------------------------------------------------------------------

VERBS_OF_A_RUN = (("show",), ("evaluate",), ("generate", "--tokens", "3"), ("resume",))


def for_each_verb(refuses, run, says):
    for verb, *rest in VERBS_OF_A_RUN:
        refuses(verb, run, *rest, says=says)


def test_a_run_that_is_not_there(refuses, desk):
    shutil.copytree("run", "runs/my-quick")
    for_each_verb(refuses, "nope", "nope does not exist")
    for_each_verb(refuses, "my.txt", "my.txt is a file")
    for_each_verb(refuses, "runs", ["runs is not a run", "did you mean"])
    for_each_verb(refuses, "runs/my-quik", ["does not exist", "did you mean 'runs/my-quick'?"])
    for_each_verb(refuses, "my-quick", ["does not exist", "'runs/my-quick'"])
    for_each_verb(refuses, "", ". is not a run")


def test_a_run_without_config(refuses):
    Path("run/config.json").unlink()
    for_each_verb(refuses, "run", ["run is not a run", "config.json"])


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "config.json"),
        (b'{"format": 1, "model"', "config.json cannot be read as JSON"),
        (b"[]", "config.json"),
        (b"\xff\xfe", "config.json"),
        (b"{}", "format"),
        (b'{"format": 99}', "newer hornbook"),
        (b'{"format": 1}', "config.json"),
        (b'{"format": 1, "model": 3, "text": [], "seed": "x"}', "config.json"),
    ],
)
def test_a_config_that_is_broken(refuses, data, says):
    Path("run/config.json").write_bytes(data)
    for_each_verb(refuses, "run", says)


@pytest.mark.parametrize(
    ("group", "name", "value"),
    [("model", "n_embd", 15), ("model", "n_embd", "x"), ("model", "new", 1), ("model", "attention", "flash")],
)
def test_a_config_with_a_model_that_can_not_be(refuses, group, name, value):
    config = json.loads(Path("run/config.json").read_text(encoding="utf-8"))
    config[group][name] = value
    Path("run/config.json").write_text(json.dumps(config), encoding="utf-8")
    refuses("generate", "run", says=name)
    refuses("evaluate", "run", says=name)


def test_a_model_that_is_not_the_one_of_the_weights(refuses):
    config = json.loads(Path("run/config.json").read_text(encoding="utf-8"))
    config["model"]["n_layer"] = 2
    Path("run/config.json").write_text(json.dumps(config), encoding="utf-8")
    refuses("generate", "run", says="weight")


def test_a_checkpoint_with_a_flipped_byte_is_not_used(hornbook, weights_of):
    for path in Path("run/checkpoints").glob("step-*/weights.safetensors"):
        data = bytearray(path.read_bytes())
        data[-5] ^= 1
        path.write_bytes(data)
    before = tree(Path("run"))
    for verb in ("generate", "evaluate"):
        answer = hornbook(verb, "run")
        assert (answer.code, answer.out) == (2, ""), answer
        *stepped_over, last = answer.err.splitlines()
        assert last.startswith("hornbook: "), answer
        assert "weights.safetensors is damaged" in answer.err
        assert len(stepped_over) == len(set(stepped_over)) <= 1, answer  # one checkpoint: it is said once
    assert tree(Path("run")) == before


def test_a_damaged_best_checkpoint_does_not_pass_for_a_good_one(hornbook, weights_of):
    plain = hornbook("generate", "run", "--tokens", "20").out
    steps = [saved["step"] for saved in hornbook("show", "run", "--json").json["checkpoints"]]
    path = weights_of("run", steps[-1])
    path.write_bytes(path.read_bytes()[:-1])
    answer = hornbook("generate", "run", "--tokens", "20")
    if answer.code == 0:
        assert len(steps) > 1
        assert answer.err, "another checkpoint is used, and nothing says so"
    else:
        assert answer.code == 2
        assert "weights.safetensors" in answer.err or "checkpoint" in answer.err
        assert answer.out != plain


def test_a_run_without_checkpoints(refuses, hornbook):
    shutil.rmtree("run/checkpoints")
    refuses("generate", "run", says="checkpoint")
    refuses("evaluate", "run", says="checkpoint")
    assert hornbook("show", "run").code == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda units: units[:-1],
        lambda units: [*units, "☺"],
        lambda units: [*units[:-1], units[0]],
        lambda units: [*units[:-1], "two"],
        lambda units: "abc",
        lambda units: [],
    ],
)
def test_a_vocabulary_that_was_edited(refuses, change):
    path = Path("run/vocabulary.json")
    vocabulary = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**vocabulary, "units": change(vocabulary["units"])}), encoding="utf-8")
    refuses("generate", "run", says="vocabulary")
    refuses("evaluate", "run", says="vocabulary")


def test_a_vocabulary_whose_characters_changed_places_is_not_taken_for_the_runs(refuses):
    path = Path("run/vocabulary.json")
    vocabulary = json.loads(path.read_text(encoding="utf-8"))
    vocabulary["units"][2:4] = vocabulary["units"][3:1:-1]
    path.write_text(json.dumps(vocabulary), encoding="utf-8")
    refuses("evaluate", "run", says="vocabulary")


def test_a_vocabulary_that_is_missing_or_no_json(refuses):
    Path("run/vocabulary.json").write_text("{", encoding="utf-8")
    refuses("generate", "run", says="vocabulary.json")
    Path("run/vocabulary.json").unlink()
    refuses("generate", "run", says="vocabulary.json")


def test_a_log_that_is_damaged_in_the_middle(refuses):
    path = Path("run/log.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], b"{oops\n", *lines[4:]]))
    refuses("show", "run", says=["log.jsonl", "line 4"])


def stopped_run(hornbook, desk):
    """A run that was killed early: what a kill leaves is that there is nothing after some step."""
    answer = hornbook("train", "my.txt", "--out", "half", "--steps", "6", *TINY)
    assert answer.code == 0
    for path in sorted(Path("half/checkpoints").glob("step-*"))[1:]:
        shutil.rmtree(path)
    log = Path("half/log.jsonl")
    kept = [line for line in log.read_bytes().splitlines(keepends=True) if b"final_val_loss" not in line]
    log.write_bytes(b"".join(kept))


def test_resume_refuses_a_text_that_has_changed_and_loses_nothing(refuses, hornbook, desk, tmp_path):
    stopped_run(hornbook, desk)
    shutil.rmtree(tmp_path / "cache")
    text = (desk / "my.txt").read_bytes()
    (desk / "my.txt").write_bytes(text.replace(b"to be", b"or be", 1))
    refuses("resume", "half", says=["my.txt", "changed"])
    (desk / "my.txt").unlink()
    refuses("resume", "half", says="my.txt")
    (desk / "my.txt").write_bytes(text)
    assert hornbook("resume", "half").code == 0


# --- settings --------------------------------------------------------------------------------------------------------

BAD_SETTINGS = {
    "model.n_head=3": "n_head=2 would",
    "model.n_embd=15": "does not divide",
    "model.n_embd=-1": "model.n_embd is -1",
    "model.n_embd=0": "model.n_embd is 0",
    "model.n_embd=nan": "not a whole number",
    "model.n_embd=inf": "not a whole number",
    "model.n_embd=abc": "n_embd=abc is not a whole number",
    "model.n_embd=2.5": "not a whole number",
    "model.n_embd=1000000000000000": "model.n_embd is 1000000000000000",
    "model.n_layer=0": "model.n_layer is 0",
    "model.n_hidden=0": "n_hidden is 0",
    "model.dropout=1": "model.dropout",
    "model.dropout=-0.1": "model.dropout",
    "model.dropout=nan": "dropout",
    "model.init_std=0": "model.init_std",
    "model.tied=maybe": "true or false",
    "model.mlp=gellu": "did you mean 'gelu'?",
    "model.attention=flash": "known: ",
    "model.norm=xyz": "known: ",
    "model.positions=rope": "known: ",
    "model.block=prae": "did you mean 'pre'?",
    "model.kind=gtp": "did you mean 'gpt'?",
    "model.vocab_size=5": "comes from the text",
    "model.n_emb=8": "did you mean 'model.n_embd'?",
    "n_embd=8": "did you mean 'model.n_embd'?",
    "modle.n_embd=8": "did you mean 'model.n_embd'?",
    "zzz=1": "no setting",
    "model.block_size=100000": "model.block_size=",
    "recipe.learning_rate=nan": "recipe.learning_rate",
    "recipe.learning_rate=inf": "recipe.learning_rate",
    "recipe.learning_rate=0": "recipe.learning_rate",
    "recipe.learning_rate=-1": "recipe.learning_rate",
    "recipe.schedule=cosin": "did you mean 'cosine'?",
    "recipe.dtype=float16": "recipe.dtype=float16",
    "recipe.batch_size=0": "recipe.batch_size",
    "recipe.accumulate=3": "does not divide",
    "recipe.evaluate_on=0": "recipe.evaluate_on",
    "recipe.evaluate_every=0": "recipe.evaluate_every",
    "recipe.early_stop=0": "recipe.early_stop",
    "recipe.warmup=-1": "recipe.warmup",
    "recipe.clip=-1": "recipe.clip",
    "recipe.weight_decay=inf": "recipe.weight_decay",
    "recipe.floor=2": "recipe.floor",
    "recipe.beta1=1": "recipe.beta1",
    "recipe.beta2=1.0": "recipe.beta2",
    "recipe.sample_length=-1": "recipe.sample_length",
    "text.split=0": "split",
    "text.split=1": "split",
    "text.split=nan": "split",
    "text.split=1e-9": "split",
    "text.tokenizer=characterz": "did you mean 'characters'?",
    "model.n_layer": "NAME=VALUE",
    "model.n_layer=": "NAME=VALUE",
    "=3": "NAME=VALUE",
}


@pytest.mark.parametrize("setting", BAD_SETTINGS)
def test_settings_that_no_training_can_have(refuses, setting):
    others = [other for other in SMALL if other.partition("=")[0] != setting.partition("=")[0]]
    refuses("train", "my.txt", "--steps", "1", "--set", *others, setting, says=BAD_SETTINGS[setting])


@pytest.mark.parametrize("setting", ["model.n_embd=15", "model.mlp=gellu", "text.tokenizer=x", "text.split=2"])
def test_settings_are_checked_before_the_text_is_read(refuses, setting):
    answer = refuses("train", "my.txt", "--steps", "1", "--set", setting)
    assert "vocabulary:" not in answer.out


def test_a_number_too_large_is_not_said_to_be_no_number(refuses):
    answer = refuses("train", "my.txt", "--steps", "1", "--set", "model.n_embd=99999999999999999999")
    assert "not a whole number" not in answer.err
    answer = refuses("train", "my.txt", "--minutes", "inf")
    assert "has to be above 0." not in answer.err  # infinity is


def test_a_setting_given_twice(refuses):
    refuses("train", "my.txt", "--steps", "1", "--set", "model.n_layer=1", "model.n_layer=2", says="twice")
    refuses("train", "my.txt", "--steps", "1", "--set", "model.n_layer=1", "--set", "model.n_layer=2", says="twice")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--steps", "5", "--minutes", "1"), "not both"),
        (("--steps", "0"), "steps is 0"),
        (("--steps", "-5"), "steps is -5"),
        (("--steps", "abc"), "--steps"),
        (("--steps", "1.5"), "--steps"),
        (("--steps", "nan"), "--steps"),
        (("--seed", "-1", "--steps", "1"), "seed is -1"),
        (("--seed", "1.5", "--steps", "1"), "--seed"),
        (("--seed", str(1 << 64), "--steps", "1"), "seed is"),
        (("--minutes", "0"), "minutes is 0"),
        (("--minutes", "-1"), "minutes is -1"),
        (("--minutes", "nan"), "minutes"),
        (("--minutes", "inf"), "minutes"),
        (("--minutes", "0.0000001"), ["too few", "give --minutes "]),
        (("--device", "gpu", "--steps", "1"), "did you mean 'cpu'?"),
        (("--preset", "quik", "--steps", "1"), "did you mean 'quick'?"),
        (("--preset", "zzz", "--steps", "1"), "bigram, block, head"),
        (("--stepz", "1"), "--steps"),
        (("--steps",), "--steps"),
        (("--steps", "1", "--steps", "2"), "--steps"),
    ],
)
def test_words_of_train_that_can_not_be_followed(refuses, words, says):
    refuses("train", "my.txt", *words, *TINY, says=says)


def test_a_device_that_this_machine_lacks(refuses):
    import torch

    for name, there in (("cuda", torch.cuda.is_available()), ("mps", torch.backends.mps.is_available())):
        if not there:
            refuses("train", "my.txt", "--steps", "1", "--device", name, says=["no", name, "cpu"])


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"[model\nx=", "bad.toml is not TOML"),
        (b"\xff\xfe\0", "bad.toml is not TOML"),
        (b"[model]\nn_layr = 2\n", "did you mean 'model.n_layer'?"),
        (b"[modle]\nn_layer = 2\n", "did you mean 'model.n_layer'?"),
        (b"n_layer = 2\n", "outside of a table"),
        (b"[model]\nn_layer = [1, 2]\n", "not a whole number"),
        (b"[model]\nn_layer = true\n", "not a whole number"),
        (b"[model]\nn_layer = 1.5\n", "not a whole number"),
        (b"[model]\nn_layer = {a = 1}\n", "not a whole number"),
        (b"[model]\nmlp = 3\n", "model.mlp=3"),
        (b"[recipe]\nsteps = 2020-01-01\n", "not a whole number"),
        (b"[recipe]\nlearning_rate = nan\n", "learning_rate"),
        (b"[recipe]\nsteps = 3\nminutes = 1\n", "not both"),
    ],
)
def test_a_toml_file_that_is_wrong(refuses, data, says):
    Path("bad.toml").write_bytes(data)
    refuses("train", "my.txt", "--config", "bad.toml", says=says)


def test_a_toml_file_that_is_not_there_or_is_a_folder(refuses, hornbook):
    refuses("train", "my.txt", "--config", "missing.toml", says="missing.toml")
    refuses("train", "my.txt", "--config", "run", says="run")
    Path("notepad.toml").write_bytes(b"\xef\xbb\xbf[recipe]\r\nsteps = 1\r\n")  # as Windows' Notepad saves it
    assert hornbook("train", "my.txt", "--config", "notepad.toml", *TINY).code == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--temperature", "-1"), "temperature is -1"),
        (("--temperature", "nan"), "temperature is nan"),
        (("--temperature", "inf"), "temperature is inf"),
        (("--temperature", "hot"), "--temperature"),
        (("--top-k", "0"), "is 0"),
        (("--top-k", "-1"), "is -1"),
        (("--top-k", "1.5"), "--top-k"),
        (("--top-p", "0"), "is 0"),
        (("--top-p", "1.5"), "is 1.5"),
        (("--top-p", "nan"), "is nan"),
        (("--min-p", "1.5"), "min_p is 1.5"),
        (("--repetition-penalty", "0"), "repetition_penalty is 0"),
        (("--repetition-penalty", "often"), "--repetition-penalty"),
        (("--tokens", "-1"), "tokens is -1"),
        (("--tokens", "many"), "--tokens"),
        (("--tokens", "2.5"), "--tokens"),
        (("--samples", "0"), "samples is 0"),
        (("--samples", "-1"), "samples is -1"),
        (("--seed", "-1"), "seed is -1"),
        (("--seed", str(1 << 64)), "seed is"),
        (("--stop", ""), "stop string is empty"),
        (("--stop", "x", "--stop", ""), "stop string is empty"),
        (("--prompt", "toಕ"), ["'ಕ'", "U+0C95", "KANNADA LETTER KA", "character 3", "--unknown"]),
        (("--prompt", "to\x1b[31m"), ["U+001B", "character 3"]),
        (("--prompt", "to\u0cbf"), ["U+0CBF", "character 3"]),
        (("--prompt", "to\udcff"), "U+DCFF"),
        (("--unknown", "ignore"), "skip"),
        (("--promt", "to"), "--prompt"),
        (("surplus",), "surplus"),
        (("--samples", "2", "--json", "--temperature", "-1"), "temperature is -1"),
    ],
)
def test_words_of_generate_that_can_not_be_followed(refuses, words, says):
    answer = refuses("generate", "run", *words, says=says)
    assert answer.out == ""


def test_without_a_replacement_that_the_vocabulary_has(refuses, hornbook, desk):
    (desk / "ab.txt").write_text("ab" * 200, encoding="utf-8")
    assert hornbook("train", "ab.txt", "--out", "ab", "--steps", "1", *TINY).code == 0
    refuses("generate", "ab", "--prompt", "abc", "--unknown", "replace", says=["'c'", "--unknown skip"])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("trian", "my.txt"), "train"),
        (("--nonsense",), "--nonsense"),
        (("train", "my.txt", "--preset", "bigram", "--steps", "1", "--set"), "--set"),
        (("generate",), "RUN"),
        (("show",), "RUN"),
        (("show", "run", "kn"), "kn"),
        (("prepare", "my.txt"), "--out"),
        (("prepare", "--out", "x"), "no text is named"),
        (("prepare", "my.txt", "--out", "x", "--split", "1"), "split is 1"),
        (("prepare", "my.txt", "--out", "x", "--split", "0"), "split is 0"),
        (("prepare", "my.txt", "--out", "x", "--split", "nan"), "text.split=nan is not a number"),
        (("prepare", "my.txt", "--out", "x", "--split", "half"), "--split"),
        (("prepare", "my.txt", "--look", "--tokenizer", "bytes"), "leave out text.tokenizer"),
        (("prepare", "my.txt", "--look", "--set", "text.split_by=lines"), "leave out text.split_by"),
        (("prepare", "my.txt", "--out", "x", "--set", "text.encoding=rot13"), "rot13"),
        (("train", "my.txt", "--set", "text.split_by=documents"), "there are too few documents: split by position"),
        (
            ("train", "my.txt", "--preset", "nanogpt-cpu", "--tokenizer", "bytes"),
            "compare by bits a character or a byte",
        ),
        (("train", "my.txt", "--dtype", "float16", "--steps", "1"), "did you mean"),
        (
            ("train", "my.txt", "--steps", "1", "--set", "recipe.steps=2"),
            "recipe.steps is given twice, by itself and among the settings (--set)",
        ),
        (("runs", "nowhere"), "nowhere is not a folder"),
        (("evaluate", "kn", "--random-batches", "3"), "compare by bits a character or a byte"),
        (("presets", "quik"), "did you mean 'quick'?"),
        (("presets", "quick", "--vocab-size", "0"), "vocab_size is 0"),
        (("presets", "quick", "--vocab-size", "x"), "--vocab-size"),
    ],
)
def test_other_words_that_can_not_be_followed(refuses, words, says):
    refuses(*words, says=says)


def test_an_option_that_is_missing_is_said_to_be_missing(refuses):
    answer = refuses("prepare", "my.txt")
    assert "--out requires an argument" not in answer.err  # it was not given at all
    answer = refuses("presets", "quick", "more")
    assert "Unused Tokens" not in answer.err  # a word of the parser's, not of the user's


def test_a_learning_rate_that_blows_up_says_what_to_change(hornbook):
    rest = ("--steps", "5", *TINY, "recipe.learning_rate=1e300")
    answer = hornbook("train", "my.txt", "--out", "new", *rest)
    assert answer.code == 2
    assert len(answer.err.splitlines()) == 1
    assert "learning rate" in answer.err.replace("_", " ")
    assert "step" in answer.err


NO_MEMORY = (
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"),
    MemoryError(),
)


@pytest.mark.parametrize("error", NO_MEMORY, ids=["torch", "numpy"])
def test_memory_that_is_not_there_is_one_line(hornbook, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(loop.Task, "look", fail)
    try:
        answer = hornbook("train", "my.txt", "--steps", "1", *TINY)
    except (RuntimeError, MemoryError):
        pytest.fail("a machine with too little memory is no bug: nobody should see a traceback for it")
    assert answer.code == 2
    assert answer.err.startswith("hornbook: ")
    assert "memory" in answer.err
    assert len(answer.err.splitlines()) == 1


# --- a disk that fills up --------------------------------------------------------------------------------------------


def final_hash(hornbook, folder):
    return hornbook("show", folder, "--json").json["checkpoints"][-1]["sha256"]


@pytest.mark.parametrize("last_good", [0, 1, 2, 3, 5, 8, 13, 21, 34])
def test_a_disk_that_fills_up_while_training_loses_nothing_that_was_saved(hornbook, monkeypatch, last_good):
    words = ("train", "my.txt", "--steps", "4", *TINY, "--out")
    if last_good == 0:
        hornbook("prepare", "my.txt", "--out", "p")  # the ids are in the cache; only the run is still to write
    assert hornbook(*words, "whole").code == 0
    real, calls = os.fsync, []

    def fsync(descriptor):
        calls.append(descriptor)
        if len(calls) > last_good:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        answer = hornbook(*words, "new")
    assert len(calls) > last_good, "the disk never filled up: take a smaller number"
    assert answer.code == 2, answer
    assert answer.err.startswith("hornbook: the disk is full")
    assert len(answer.err.splitlines()) == 1, answer
    if Path("new/config.json").exists():
        resumed = hornbook("resume", "new")
        assert resumed.code == 0, resumed
        assert final_hash(hornbook, "new") == final_hash(hornbook, "whole")
    else:
        assert not Path("new").exists(), "no run has begun, and its folder is left behind"
        assert "resume" not in answer.err, "there is no run to go on with"


def test_a_disk_that_fills_up_while_preparing_leaves_nothing_behind(refuses, monkeypatch):
    from hornbook.text import shards

    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shards, "_encode", fail)
    answer = refuses("prepare", "my.txt", "--out", "new", says="disk is full")
    assert "resume" not in answer.err, "there is no run to go on with"


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 400 kB, where this user may have one; `small_disk(size)` gives it another size."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = shutil.which("mount")
    command = [mount, "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)]
    if not mount or not root_or_windows() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small disk, and not everywhere")

    def resize(size):
        subprocess.run([mount, "-o", f"remount,size={size}", str(folder)], check=True, capture_output=True)
        return folder

    yield resize
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_small_disk_that_is_really_full(small_disk, hornbook, desk):
    folder = small_disk("400k")
    assert hornbook("train", "my.txt", "--steps", "40", *TINY, "--out", "whole").code == 0
    (folder / "ballast").write_bytes(bytes(150_000))
    answer = hornbook("train", "my.txt", "--steps", "40", *TINY, "--out", folder / "run")
    assert answer.code == 2, answer
    assert "disk is full" in answer.err
    assert len(answer.err.splitlines()) == 1, answer
    assert (folder / "run" / "config.json").exists()
    assert hornbook("show", folder / "run").code == 0
    small_disk("8m")
    assert hornbook("resume", folder / "run").code == 0
    assert final_hash(hornbook, folder / "run") == final_hash(hornbook, "whole")
    (desk / "long.txt").write_text("to be or not to be" * 100_000, encoding="utf-8")
    answer = hornbook("prepare", "long.txt", "--out", small_disk("1m") / "prepared")
    assert answer.code == 2, answer
    assert "disk is full" in answer.err
    assert not (folder / "prepared").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_output_that_can_not_be_written_is_said_in_one_line(desk):
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "hornbook.cli", "presets"],
            stdout=full,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            check=False,
            timeout=60,
        )
    assert done.returncode == 2, done
    assert done.stderr.startswith("hornbook: "), done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
