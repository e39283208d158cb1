"""Training on the texts that break others: thousands of units, and hundreds of languages at once."""

from pathlib import Path

import numpy as np
import pytest

import hornbook as hb
from hornbook.model.build import LARGEST_TABLE

DATA = Path(__file__).parents[1].parent / "shared" / "data"
TINY = {"model.n_layer": 1, "model.n_head": 2, "model.n_embd": 16, "model.block_size": 16, "recipe.batch_size": 8}
TINY |= {"recipe.evaluate_on": 2_000, "recipe.sample_length": 30, "recipe.dtype": "float32"}
TABLE = {name: value for name, value in TINY.items() if name.startswith("recipe") or name == "model.block_size"}


@pytest.fixture
def chinese(tmp_path, monkeypatch):
    """A text of 4,000 ideographs, some far more often than others, in which what follows depends on what was."""
    monkeypatch.setenv("HORNBOOK_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(1)
    points = np.minimum(rng.zipf(1.2, 60_000), 4_000) - 1
    points[1::2] = (points[::2] * 7 + 1) % 4_000
    text = "".join(chr(0x4E00 + int(point)) for point in points)
    path = tmp_path / "chinese.txt"
    path.write_text("\n".join(text[i : i + 40] for i in range(0, len(text), 40)), encoding="utf-8", newline="\n")
    return path


@pytest.mark.parametrize("preset", ["bigram", "quick"])
def test_chinese_is_learned(tmp_path, chinese, preset):
    settings = TABLE if preset == "bigram" else TINY
    more = {"recipe.learning_rate": 0.03}
    run = hb.train(chinese, preset, out=tmp_path / "run", settings=settings | more, steps=60, progress=False)
    V = run.model_config.vocab_size
    assert V > LARGEST_TABLE
    assert run.config["parameters"] < 200 * V
    losses = [line["val_loss"] for line in run.evaluations]
    assert losses[-1] < min(losses[0], run.config["landmarks"]["guess"]) - 0.2
    assert run.tokenizer.encode(run.generate("", tokens=20, temperature=1.0)).size == 20
    assert hb.open(run.path).evaluate().bits_per_byte == pytest.approx(run.final["bits_per_byte"])


@pytest.mark.slow
@pytest.mark.parametrize("tokenizer", ["characters", "graphemes", "aksharas", "bytes", "bpe"])
def test_745_languages_are_learned(tmp_path, monkeypatch, tokenizer):
    text = DATA / "udhr_manyscripts.txt"
    if not text.exists():
        pytest.skip(f"{text.name} is not on this machine")
    monkeypatch.setenv("HORNBOOK_CACHE", str(tmp_path / "cache"))
    run = hb.train(text, out=tmp_path / "run", tokenizer=tokenizer, settings=TINY, steps=30, progress=False)
    assert run.evaluations[-1]["val_loss"] < run.evaluations[0]["val_loss"]
    whole = text.read_text(encoding="utf-8")
    assert run.tokenizer.decode(run.tokenizer.encode(whole)) == whole
    score = run.evaluate()
    data = run.data()
    assert score.bytes == int(run.tokenizer.unit_bytes[data.val[1:]].sum())
    assert score.characters == int(run.tokenizer.unit_characters[data.val[1:]].sum())
