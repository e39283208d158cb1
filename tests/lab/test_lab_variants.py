"""Variants: what words ask for, what they are called, and which can't be compared."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hornbook.errors import UsageError
from hornbook.lab.variants import read_variants


def read(*words, vary=(), preset="quick", common=None):
    return read_variants(words, vary, preset, common or {})


def labels(*words, **how):
    return [str(variant) for variant in read(*words, **how)]


def test_a_word_is_a_preset_or_settings_or_both():
    quick, mini, changed, both = read("quick", "mini", "model.n_layer=2", "mini,model.dropout=0.2,recipe.steps=9")
    assert (quick.preset.name, mini.preset.name, changed.preset.name, both.preset.name) == (
        *("quick", "mini", "quick", "mini"),
    )
    assert changed.preset.model["n_layer"] == 2
    assert (both.preset.model["dropout"], both.preset.recipe.steps) == (0.2, 9)


def test_a_mapping_and_a_toml_file_do_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a, b.toml").write_text("[model]\nn_layer = 1\n", encoding="utf-8")
    (tmp_path / "c.toml").write_text("[model]\nn_layer = 2\n[recipe]\nbatch_size = 4\n", encoding="utf-8")
    one, two, three = read(Path("a, b.toml"), "mini,c.toml,model.n_layer=3", {"model.n_layer": 4}, preset="small")
    assert [each.preset.name for each in (one, two, three)] == ["small", "mini", "small"]
    assert [each.preset.model["n_layer"] for each in (one, two, three)] == [1, 3, 4]
    assert two.preset.recipe.batch_size == 4


def test_what_is_common_comes_after_files_and_before_what_a_variant_says(tmp_path):
    (tmp_path / "a.toml").write_text("[recipe]\nsteps = 1\nbatch_size = 2\n", encoding="utf-8")
    one, two = read(tmp_path / "a.toml", "model.n_layer=1", common={"recipe.steps": 5})
    assert (one.preset.recipe.steps, one.preset.recipe.batch_size) == (5, 2)
    assert (two.preset.recipe.steps, two.preset.recipe.minutes) == (5, None)


def test_a_row_of_values_and_a_table_of_them():
    assert labels(vary=["model.n_embd=32,64,128"]) == ["A n_embd=32", "B n_embd=64", "C n_embd=128"]
    assert labels("mini", vary=["model.n_layer=1,2", "recipe.steps=3,4"], preset="small") == [
        "A mini",
        "B small,n_layer=1,steps=3",
        "C small,n_layer=1,steps=4",
        "D small,n_layer=2,steps=3",
        "E small,n_layer=2,steps=4",
    ]


def test_names_are_short_and_say_what_differs():
    assert labels("quick", "model.mlp=nothing") == ["A quick", "B mlp=nothing"]
    assert labels("quick", "mini,model.mlp=nothing") == ["A quick", "B mini,mlp=nothing"]
    assert labels("text.vocab_size=300,text.tokenizer=bpe", "quick") == [
        "A text.vocab_size=300,tokenizer=bpe",  # the model has a setting of that name, too
        "B quick",
    ]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "two variants at least"),
        (["quick"], "--vary model.n_embd=32,64"),
        (["quick", "quick"], "quick and quick are the same settings"),
        (["quick", "model.n_layer=4"], "quick and n_layer=4 are the same settings"),
        (["model.dropout=0.1", "model.dropout=1e-1"], "the same settings"),
        (["quick", "kwick"], "did you mean 'quick'?"),
        (["quick", ""], "there is no preset ''"),
        (["quick", ","], "names two presets, '' and ''"),
        (["quick", "quick,mini"], "names two presets, 'quick' and 'mini'"),
        (["quick", "model.n_layr=2"], "did you mean 'model.n_layer'?"),
        (["quick", "n_layer=2"], "did you mean 'model.n_layer'?"),
        (["quick", "model.n_layer="], "model.n_layer= is not of the form NAME=VALUE"),
        (["quick", "model.n_layer=1,model.n_layer=2"], "model.n_layer is given twice"),
        (["quick", "model.n_layer=two"], "model.n_layer=two is not a whole number"),
        (["quick", "recipe.steps=0"], "recipe.steps is 0"),
        (["quick", "none.toml"], "there is no file none.toml"),
        (["quick", "recipe.batch_size=2"], "recipe.batch_size is given twice, for all variants and in"),
        (["quick", "text.split=0.5"], "text.split is 0.9 here and 0.5 there"),
        (["quick", "text.normal=NFC"], "--set text.normal=none"),
        (["quick", "text.tokenizer=graphemes,text.rare=unknown,text.min_count=2"], "text.rare=unknown"),
        ([f"model.n_layer={n}" for n in range(1, 28)], "27 variants are too many"),
    ],
)
def test_what_can_not_be_compared(words, says):
    with pytest.raises(UsageError) as error:
        read(*words, common={"recipe.batch_size": 4})
    assert says in str(error.value)


@pytest.mark.parametrize("words", ["model.n_embd", "model.n_embd=", "=1,2", "model.n_embd=1,,2", ""])
def test_what_is_no_row(words):
    with pytest.raises(UsageError, match=r"NAME=VALUE,VALUE"):
        read("quick", vary=[words])


PIECES = st.sampled_from(
    ["quick", "mini", "model.n_layer=2", "model.n_layer=3", "model.dropout=0.1", "recipe.steps=9", "a.toml", "", "="]
)
WORDS = st.lists(PIECES | st.text(max_size=9), max_size=3).map(",".join)


@given(st.lists(WORDS | st.text(), max_size=4), st.lists(WORDS, max_size=2))
def test_any_words_make_variants_of_different_names_or_a_usage_error(words, vary):
    with suppress(UsageError):
        variants = read(*words, vary=vary)
        assert len({variant.label for variant in variants}) == len(variants) >= 2


def test_units_may_differ():
    assert len(read("quick", "text.tokenizer=bytes", "text.tokenizer=bpe,text.vocab_size=300", "text.rare=bytes")) == 4


def test_too_many_combinations_are_refused_before_they_are_written_out():
    rows = [f"model.{name}={','.join('1234567')}" for name in ("n_layer", "n_head", "n_embd")] * 9
    with pytest.raises(UsageError, match=rf"^{7**27:,} variants are too many for one table: compare 26 at most\.$"):
        read_variants([], rows, "quick", {})
