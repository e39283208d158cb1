"""What each verb does, said in lines for a person and as one JSON object for a program."""

import hashlib
import json
import math
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from hornbook.text.tokenizer import TOKENIZERS

TINY = (
    *("--set", "model.n_embd=16", "model.n_layer=1", "model.n_head=2", "model.block_size=16"),
    *("recipe.sample_length=20", "recipe.evaluate_on=500", "recipe.batch_size=4", "recipe.dtype=float32"),
)


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_train_tells_its_stages_in_order_and_what_to_type_next(hornbook, desk):
    answer = hornbook("train", "my.txt", "--steps", "6", *TINY)
    assert answer.code == 0
    assert answer.err == ""
    stages = ["text: my.txt", "vocabulary:", "model:", "plan: 6 steps", "a guess at random", "step 0 of 6"]
    stages += ["step 6 of 6", "best at step", "next: hornbook generate runs/my-quick"]
    places = [answer.out.index(stage) for stage in stages]
    assert places == sorted(places), answer
    names = {path.name for path in (desk / "runs" / "my-quick").iterdir()}
    assert names >= {
        *("config.json", "vocabulary.json", "environment.json", "log.jsonl", "times.jsonl", "loss.csv"),
        *("loss.svg", "loss.png", "notes.md", "samples.txt", "checkpoints"),
    }


def test_the_line_on_what_to_type_next_works_as_it_stands(hornbook):
    out = hornbook("train", "my.txt", "--steps", "3", *TINY).out
    line = next(line for line in out.splitlines() if line.startswith("next: "))
    for command in line.removeprefix("next: ").split("  or: "):
        words = shlex.split(command)
        assert words[0] == "hornbook"
        answer = hornbook(*words[1:])
        assert answer.code == 0, answer
        assert len(answer.out) > 100


def test_train_says_uniform_guess_and_bigram_beside_the_loss(hornbook):
    answer = hornbook("train", "my.txt", "--steps", "2", *TINY, "--json")
    config = answer.json["config"]
    text = Path("my.txt").read_text(encoding="utf-8")
    assert config["landmarks"]["guess"] == pytest.approx(math.log(len(set(text))))
    assert f"{config['landmarks']['guess']:.4f}" in answer.err
    assert f"{config['landmarks']['bigram']:.4f}" in answer.err
    assert 0 < config["landmarks"]["bigram"] < config["landmarks"]["guess"]


def test_run_folders_are_named_after_text_and_preset_and_numbered(hornbook, desk):
    for _ in range(2):
        hornbook("train", "my.txt", "--preset", "bigram", "--steps", "1", "--set", "recipe.sample_length=5")
    hornbook("train", "kn.txt", "--preset", "bigram", "--steps", "1", "--set", "recipe.sample_length=5")
    assert {path.name for path in (desk / "runs").iterdir()} == {"my-bigram", "my-bigram-2", "kn-bigram"}


def test_set_and_a_toml_file_change_settings_and_set_wins(hornbook, desk):
    (desk / "my.toml").write_text(
        "[model]\nn_layer = 3\nn_embd = 8\n[recipe]\nsteps = 2\nlearning_rate = 1e-2\n", encoding="utf-8"
    )
    words = ("--config", "my.toml", "--set", "model.n_layer=2", "model.n_head=2", "recipe.sample_length=3")
    result = hornbook("train", "my.txt", *words, "--json", "--seed", "7").json
    config = result["config"]
    assert (config["model"]["n_layer"], config["model"]["n_embd"], config["steps"]) == (2, 8, 2)
    assert (config["recipe"]["learning_rate"], config["seed"]) == (0.01, 7)
    again = hornbook("train", "my.txt", *words, "--json", "--seed", "7").json
    other = hornbook("train", "my.txt", *words, "--json", "--seed", "8").json
    assert again["checkpoints"][-1]["sha256"] == result["checkpoints"][-1]["sha256"]
    assert other["checkpoints"][-1]["sha256"] != result["checkpoints"][-1]["sha256"]


def test_set_may_come_twice_before_the_text_or_after(hornbook):
    rest = ("--steps", "1", "--set", "recipe.sample_length=3", "--set", "recipe.evaluate_on=50", "--json")
    config = hornbook("train", "my.txt", "--preset", "bigram", *rest).json["config"]
    assert (config["recipe"]["sample_length"], config["recipe"]["evaluate_on"]) == (3, 50)


def test_minutes_become_a_number_of_steps(hornbook):
    rest = ("--set", "recipe.sample_length=3", "recipe.evaluate_on=50", "--minutes", "0.02", "--json")
    answer = hornbook("train", "my.txt", "--preset", "bigram", *rest)
    config = answer.json["config"]
    assert config["steps"] >= 1
    assert (config["recipe"]["steps"], config["recipe"]["minutes"]) == (None, 0.02)
    assert answer.json["evaluations"][-1]["step"] == config["steps"]
    assert "0.02 minutes" in answer.err


def test_several_files_and_a_glob_are_joined(hornbook, desk):
    (desk / "a1.txt").write_text("abc" * 100, encoding="utf-8")
    (desk / "a2.txt").write_text("xyz" * 100, encoding="utf-8")
    one = hornbook("prepare", "a1.txt", "a2.txt", "--out", "p1", "--json").json
    two = hornbook("prepare", "a*.txt", "--out", "p2", "--json").json
    assert one["sha256"] == two["sha256"] == hashlib.sha256(b"abc" * 100 + b"xyz" * 100).hexdigest()
    assert (one["characters"], one["vocab_size"]) == (600, 6)


def test_json_of_train_show_and_resume_is_the_same_story(hornbook, desk):
    trained = hornbook("train", "my.txt", "--steps", "4", *TINY, "--out", "new", "--json")
    shown = hornbook("show", "new", "--json")
    resumed = hornbook("resume", "new", "--json")
    assert trained.json == shown.json == resumed.json
    assert trained.json["state"] == "done"
    assert "step 4 of 4" in trained.err
    assert shown.err == ""
    assert "done" in resumed.err
    assert [line["step"] for line in trained.json["evaluations"]] == sorted(
        {line["step"] for line in trained.json["evaluations"]}
    )


def test_checkpoints_of_show_have_step_path_and_the_hash_of_the_weights(hornbook, desk, weights_of):
    found = hornbook("show", "run", "--json").json["checkpoints"]
    assert found
    assert found[-1]["step"] == 20
    for each in found:
        assert each.keys() >= {"step", "path", "sha256"}
        path = Path(each["path"])
        assert path.is_dir()
        assert each["sha256"] == sha256(path / "weights.safetensors") == sha256(weights_of("run", each["step"]))
        manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
        for name, entry in manifest["files"].items():
            assert entry["sha256"] == sha256(path / name)
    assert hornbook("show", "run", "--json").json["checkpoints"] == found


def test_the_weights_are_the_same_on_every_training(hornbook, shelf):
    words = ("--steps", "20", *TINY, "--json")
    again = hornbook("train", "my.txt", "--out", "again", *words).json["checkpoints"]
    first = hornbook("show", "run", "--json").json["checkpoints"]
    assert [(each["step"], each["sha256"]) for each in again] == [(each["step"], each["sha256"]) for each in first]


def test_show_tells_the_story(hornbook):
    answer = hornbook("show", "run")
    assert answer.code == 0
    assert answer.err == ""
    final = hornbook("show", "run", "--json").json["final"]
    for part in ("my.txt", "16", "20 steps", "seed 1", "best at step", f"{final['bits_per_character']:.4f}", "sample"):
        assert part in answer.out, part
    curve = [line for line in answer.out.splitlines() if line.startswith("step ")]
    assert len(curve) == len(hornbook("show", "run", "--json").json["evaluations"])


def test_evaluate_is_exact_and_says_what_it_counts(hornbook):
    answer = hornbook("evaluate", "run", "--json")
    assert answer.err == ""
    score, again = answer.json, hornbook("evaluate", "run", "--json").json
    assert score == again
    text = Path("my.txt").read_text(encoding="utf-8")
    val = text[int(0.9 * len(text)) :]
    assert score["characters"] == len(val) - 1
    assert score["bits_per_character"] == pytest.approx(score["val_loss"] / math.log(2))
    assert score["bits_per_byte"] == pytest.approx(score["bits_per_character"])  # ASCII
    final = hornbook("show", "run", "--json").json["final"]
    assert score["val_loss"] == pytest.approx(final["final_val_loss"], abs=1e-6)
    said = hornbook("evaluate", "run").out
    assert f"{score['val_loss']:.4f} nats" in said
    assert f"{score['bits_per_character']:.4f} bits a character" in said


def test_evaluate_on_another_text_counts_bytes_of_its_script(hornbook):
    score = hornbook("evaluate", "kn", "--text", "kn.txt", "--json").json
    text = Path("kn.txt").read_text(encoding="utf-8")
    assert score["characters"] == len(text) - 1
    size = len(text[1:].encode("utf-8"))
    assert score["bits_per_byte"] == pytest.approx(score["bits_per_character"] * (len(text) - 1) / size)
    assert score["bits_per_byte"] < score["bits_per_character"] / 2


def test_evaluate_with_random_batches_gives_the_usual_estimate_too(hornbook):
    score = hornbook("evaluate", "run", "--random-batches", "8", "--json").json
    assert score["val_loss_random_batches"] == pytest.approx(score["val_loss"], rel=0.2)
    assert "mean of 8 random batches" in hornbook("evaluate", "run", "--random-batches", "8").out


def test_generate_begins_with_the_prompt_and_is_a_function_of_the_seed(hornbook):
    one = hornbook("generate", "run", "--prompt", "to be", "--tokens", "30")
    assert one.code == 0
    assert one.err == ""
    assert one.out.startswith("to be")
    assert len(one.out) == len("to be") + 30 + 1
    assert hornbook("generate", "run", "--prompt", "to be", "--tokens", "30").out == one.out
    assert hornbook("generate", "run", "--prompt", "to be", "--tokens", "30", "--seed", "2").out != one.out


def test_generate_greedily_is_the_same_for_every_seed(hornbook):
    words = ("generate", "run", "--prompt", "to", "--tokens", "20")
    greedy = {hornbook(*words, "--temperature", "0", "--seed", str(seed)).out for seed in range(3)}
    assert len(greedy) == 1
    assert hornbook(*words, "--top-k", "1", "--seed", "5").out in greedy
    assert hornbook(*words, "--top-p", "0.000001", "--seed", "5").out in greedy
    assert hornbook(*words, "--min-p", "1", "--seed", "5").out in greedy
    assert hornbook(*words, "--temperature", "0", "--repetition-penalty", "1").out in greedy
    assert hornbook(*words, "--temperature", "0", "--repetition-penalty", "9").out not in greedy


def test_generate_json_and_several_samples(hornbook):
    words = ("generate", "run", "--prompt", "to be", "--tokens", "12", "--samples", "3")
    answer = hornbook(*words, "--json")
    assert answer.err == ""
    assert answer.json["prompt"] == "to be"
    texts = answer.json["texts"]
    assert len(set(texts)) == 3
    assert all(text.startswith("to be") and len(text) == 17 for text in texts)
    said = hornbook(*words).out
    assert all(text in said for text in texts)
    alone = hornbook("generate", "run", "--prompt", "to be", "--tokens", "12", "--json").json["texts"]
    assert alone == texts[:1]


def test_generate_stops_before_a_stop_string(hornbook):
    whole = hornbook("generate", "run", "--tokens", "200", "--json").json["texts"][0]
    stop = whole[40:42]
    cut = hornbook("generate", "run", "--tokens", "200", "--stop", stop, "--json").json["texts"][0]
    assert cut == whole[: whole.index(stop)]
    both = hornbook("generate", "run", "--tokens", "200", "--stop", stop, "--stop", whole[10:12], "--json")
    assert both.json["texts"][0] == whole[: min(whole.index(stop), whole.index(whole[10:12]))]


def test_generate_goes_on_past_the_context(hornbook):
    answer = hornbook("generate", "run", "--prompt", "to be or not to be that is the question", "--tokens", "60")
    assert answer.code == 0
    assert len(answer.out) == 39 + 60 + 1


def test_prompts_that_nobody_expects(hornbook, desk):
    (desk / "dashes.txt").write_text("- a -- b --json --help -5\n" * 50, encoding="utf-8")
    assert hornbook("train", "dashes.txt", "--out", "dashes", "--steps", "2", *TINY).code == 0
    for prompt in ("-", "-a", "--json", "- a", "-5"):
        for words in (("--prompt", prompt), (f"--prompt={prompt}",)):
            answer = hornbook("generate", "dashes", *words, "--tokens", "3")
            assert answer.code == 0, (words, answer)
            assert answer.out.startswith(prompt), (words, answer)
    assert hornbook("generate", "dashes", "--prompt=--help", "--tokens", "3").out.startswith("--help")
    assert hornbook("generate", "dashes", "--stop", "-", "--tokens", "3").code == 0
    empty = hornbook("generate", "run", "--prompt", "", "--tokens", "4")
    assert empty.code == 0
    assert len(empty.out) == 5
    nothing = hornbook("generate", "run", "--prompt", "to", "--tokens", "0")
    assert (nothing.code, nothing.out) == (0, "to\n")


def test_an_unknown_character_can_be_skipped_or_replaced(hornbook):
    kannada, both = "ಕನ್ನಡ", "toಕ be"
    skipped = hornbook("generate", "run", "--prompt", kannada, "--unknown", "skip", "--tokens", "9")
    assert skipped.code == 0
    plain = hornbook("generate", "run", "--tokens", "9").out
    assert skipped.out == kannada + plain
    mixed = hornbook("generate", "run", "--prompt", both, "--unknown", "skip", "--tokens", "9").out
    assert mixed.removeprefix(both) == hornbook("generate", "run", "--prompt", "to be", "--tokens", "9").out[5:]
    replaced = hornbook("generate", "run", "--prompt", both, "--unknown", "replace", "--tokens", "9").out
    assert replaced.removeprefix(both) == hornbook("generate", "run", "--prompt", "to  be", "--tokens", "9").out[6:]


def test_prepare_writes_ids_that_are_the_text(hornbook, desk):
    answer = hornbook("prepare", "kn.txt", "--out", "out/prepared", "--json")
    assert answer.err == ""
    result, folder = answer.json, desk / "out" / "prepared"
    assert {path.name for path in folder.iterdir()} == {"train.bin", "val.bin", "header.json"}
    header = json.loads((folder / "header.json").read_text(encoding="utf-8"))
    units = header["tokenizer"]["units"]
    ids = np.concatenate([np.fromfile(folder / name, header["dtype"]) for name in ("train.bin", "val.bin")])
    text = (desk / "kn.txt").read_text(encoding="utf-8")
    assert "".join(units[i] for i in ids) == text
    assert header["dtype"] == result["dtype"] == "uint8"
    assert result["vocab_size"] == len(units) == len(set(text))
    assert result["train"] == int(0.9 * len(text)) == (folder / "train.bin").stat().st_size
    assert result["train"] + result["val"] == result["characters"] == len(text)
    half = hornbook("prepare", "kn.txt", "--out", "half", "--split", "0.5", "--json").json
    assert half["train"] == len(text) // 2
    assert "half2:" in hornbook("prepare", "kn.txt", "--out", "half2").out


def test_presets_list_and_count(hornbook):
    names = hornbook("presets", "--json").json["presets"]
    assert list(names)[:1] == ["quick"]
    assert {"bigram", "head", "heads", "block", "small"} <= names.keys()
    listed = hornbook("presets").out
    assert all(f"{name} " in listed and about in listed for name, about in names.items())
    bigram = hornbook("presets", "bigram", "--json").json
    assert bigram["parameters"] == 4_225
    assert hornbook("presets", "bigram", "--vocab-size", "100", "--json").json["parameters"] == 10_000
    assert (bigram["recipe"]["batch_size"], bigram["model"]["block_size"]) == (32, 8)
    assert (bigram["recipe"]["learning_rate"], bigram["recipe"]["steps"]) == (1e-2, 3_000)
    for name in names:
        shown = hornbook("presets", name, "--json")
        assert shown.err == ""
        result = shown.json
        assert result["parameters"] == sum(part["parameters"] for part in result["parts"])
        said = hornbook("presets", name).out
        assert f"{result['parameters']:,}" in said
        assert "recipe.learning_rate" in said


def test_presets_marks_what_a_source_leaves_open(hornbook):
    said = hornbook("presets", "nanogpt").out
    assert "its README reports val 1.4697" in said
    assert "text: tinyshakespeare, unless another is named" in said
    assert re.search(r"^  recipe\.learning_rate=0\.001 ", said, re.MULTILINE)
    assert re.search(r"^\+ recipe\.dtype=auto ", said, re.MULTILINE)
    marked = {line[2:].partition("=")[0] for line in said.splitlines() if line.startswith("+ ")}
    result = hornbook("presets", "nanogpt", "--json").json
    known = {f"{group}.{name}" for group in ("model", "recipe", "text") for name in result[group]}
    assert marked == known - set(result["described"]) - {"model.vocab_size"}
    assert "+ " not in hornbook("presets", "small").out.partition("parameters at")[0]


@pytest.mark.parametrize("preset", ["quick", "bigram", "head", "heads", "block", "small", "mini", "nanogpt-cpu"])
def test_every_preset_trains_by_its_name_and_has_as_many_parameters_as_it_says(hornbook, preset):
    rest = ("--steps", "1", "--set", "recipe.sample_length=4", "recipe.evaluate_on=200")
    answer = hornbook("train", "my.txt", "--preset", preset, *rest, "--json")
    assert answer.code == 0, answer
    config = answer.json["config"]
    said = hornbook("presets", preset, "--vocab-size", str(config["model"]["vocab_size"]), "--json").json
    assert config["parameters"] == said["parameters"]
    assert answer.json["evaluations"][0]["val_loss"] == pytest.approx(config["landmarks"]["guess"], abs=1.0)


def test_evaluate_generate_and_resume_report_no_change_of_the_run(hornbook, desk):
    def seen():
        return {path: sha256(path) for path in (desk / "run").rglob("*") if path.is_file()}

    before = seen()
    for words in (("show", "run"), ("evaluate", "run"), ("generate", "run", "--tokens", "3"), ("resume", "run")):
        assert hornbook(*words).code == 0
    assert seen() == before


@pytest.mark.parametrize("preset", ["quick", "bigram"])
def test_presets_offers_for_set_what_set_takes(hornbook, preset):
    said = hornbook("presets", preset).out
    for setting in re.findall(r"^  (\w+\.\w+=\S+)", said, re.MULTILINE):
        rest = ("--steps", "1", "--set", "recipe.sample_length=0", "recipe.evaluate_on=50", setting)
        if setting.startswith(("recipe.sample_length", "recipe.evaluate_on", "recipe.steps", "recipe.minutes")):
            continue
        answer = hornbook("train", "missing.txt", "--preset", preset, *rest)  # settings are looked at before the text
        assert "missing.txt" in answer.err, (setting, answer.err)


@pytest.mark.parametrize("kind", ["graphemes", "aksharas", "bytes"])
def test_a_model_of_other_units_is_told_in_nats_a_character(hornbook, desk, kind):
    text = (desk / "kn.txt").read_text(encoding="utf-8")
    answer = hornbook("train", "kn.txt", "--tokenizer", kind, "--out", "other", "--steps", "3", *TINY, "--json")
    assert answer.code == 0, answer
    assert re.search(rf"vocabulary: \d+ {kind} \(", answer.err)
    config, final = answer.json["config"], answer.json["final"]
    assert config["text"]["tokenizer"] == kind
    tokenizer = TOKENIZERS[kind].fit([text])
    ids = tokenizer.encode(text)
    val = ids[int(len(ids) * 0.9) :]
    length = tokenizer.unit_characters[val].mean()
    assert config["landmarks"]["guess"] == pytest.approx(math.log(tokenizer.vocab_size) / length)
    assert final["characters"] == tokenizer.unit_characters[val[1:]].sum()
    assert final["final_val_loss"] == pytest.approx(final["nats_per_unit"] * final["units"] / final["characters"])
    assert answer.json["evaluations"][0]["val_loss"] == pytest.approx(config["landmarks"]["guess"], rel=0.1)
    written = hornbook("generate", "other", "--prompt", "ಕನ್ನಡ ಅಕ್ಷರ", "--tokens", "5", "--json").json["texts"][0]
    assert written.startswith("ಕನ್ನಡ ಅಕ್ಷರ")
    prepared = hornbook("prepare", "kn.txt", "--tokenizer", kind, "--out", "ids", "--json").json
    assert (prepared["tokenizer"], prepared["vocab_size"]) == (kind, tokenizer.vocab_size)
    assert prepared["train"] + prepared["val"] == len(ids)


def test_a_tokenizer_that_there_is_not(hornbook):
    for verb in (("train", "kn.txt"), ("prepare", "kn.txt", "--out", "ids")):
        answer = hornbook(*verb, "--tokenizer", "akshara")
        assert answer.code == 2
        assert "no tokenizer is named 'akshara'; did you mean 'aksharas'?" in answer.err


def test_runs_are_listed_with_how_they_stand(hornbook, desk):
    assert "no runs in runs: `hornbook train` makes one" in hornbook("runs").out
    hornbook("train", "my.txt", "--steps", "2", *TINY)
    hornbook("train", "my.txt", "--steps", "2", "--out", "runs/cut", *TINY)
    (desk / "runs" / "cut" / "training.json").touch()  # as a kill leaves it, before the end
    log = desk / "runs" / "cut" / "log.jsonl"
    log.write_bytes(b"".join(line for line in log.read_bytes().splitlines(keepends=True) if b"final" not in line))
    (desk / "runs" / "bad").mkdir()
    (desk / "runs" / "bad" / "config.json").write_bytes(b"{")
    answer = hornbook("runs")
    head, bad, cut, done, _, fault = answer.out.splitlines()
    assert head.split() == ["run", "state", "step", "val", "size"]
    assert bad.split() == ["runs/bad", "damaged", "0.0", "MB"]
    assert cut.split()[:3] == ["runs/cut", "killed", "2/2"]
    assert done.split()[:3] == ["runs/my-quick", "done", "2/2"]
    assert fault.startswith("runs/bad/config.json cannot be read as JSON")
    found = {each["path"]: each for each in hornbook("runs", "--json").json["runs"]}
    assert found["runs/my-quick"]["state"] == "done"
    assert found["runs/my-quick"]["val_loss"] == pytest.approx(float(done.split()[3]), abs=1e-4)
    assert found["runs/my-quick"]["bytes"] > 10_000


def test_show_verify_reads_every_checkpoint_again(hornbook, desk):
    hornbook("train", "my.txt", "--steps", "4", *TINY, "recipe.keep_every=2")
    answer = hornbook("show", "runs/my-quick", "--verify")
    assert (answer.code, answer.out) == (0, "step-00000002: whole\nstep-00000004: whole\n")
    damaged = desk / "runs" / "my-quick" / "checkpoints" / "step-00000002" / "weights.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\1")
    answer = hornbook("show", "runs/my-quick", "--verify")
    assert answer.code == 2
    assert answer.out.splitlines()[0].endswith(
        "weights.safetensors is damaged: its bytes are not those that were saved"
    )
    assert answer.err == "hornbook: 1 of 2 checkpoints in runs/my-quick are damaged\n"
    verified = hornbook("show", "runs/my-quick", "--verify", "--json").json["verified"]
    assert verified["step-00000004"] == ""
    assert "damaged" in verified["step-00000002"]


def test_show_verify_notices_a_log_that_was_changed(hornbook, desk):
    hornbook("train", "my.txt", "--steps", "4", *TINY)
    path = desk / "runs" / "my-quick" / "log.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"step": 1,', b'"step": 2,', 1))
    answer = hornbook("show", "runs/my-quick", "--verify")
    said = "runs/my-quick/log.jsonl is not as it was when the checkpoint was saved: "
    assert answer.code == 2
    assert answer.out.splitlines()[-1].startswith(f"log.jsonl: {said}")
    assert answer.err == f"hornbook: {said}what it says of the steps before may be wrong\n"
    verified = hornbook("show", "runs/my-quick", "--verify", "--json").json["verified"]
    assert (verified["step-00000004"], verified["log.jsonl"].startswith(said)) == ("", True)
