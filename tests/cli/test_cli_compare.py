"""hornbook compare, called as a user calls it."""

import shlex

import pytest

SMALL = (
    *("--text", "my.txt", "--steps", "4", "--seeds", "2", "--set", "model.n_embd=16", "model.n_head=2"),
    *("model.block_size=16", "recipe.sample_length=5", "recipe.evaluate_on=100", "recipe.batch_size=4"),
)


def test_two_variants(hornbook, desk):
    answer = hornbook("compare", "model.n_layer=1", "model.n_layer=1,model.mlp=nothing", *SMALL, "--target", "9")
    assert (answer.code, answer.err) == (0, "")
    assert "\nvariant                     loss            parameters  seconds  tokens  memory\n" in answer.out
    assert "\nB n_layer=1,mlp=nothing     " in answer.out
    assert "\nagainst A, seed by seed, with 99% intervals:\nB  " in answer.out
    assert "\nA  2 of 2: at step 0 of 4, 0 tokens, 0.0 s\n" in answer.out
    (png,) = (desk / "runs/compare").glob("compare-*.png")
    assert answer.out.endswith(f"the same as a picture: {png.relative_to(desk)}\n")
    assert png.with_suffix(".svg").exists()
    listed = hornbook("runs", "runs/compare")
    assert listed.out.count(" done ") == 4
    again = hornbook("compare", "--vary", "model.mlp=relu2,nothing", *SMALL, "model.n_layer=1", "--json")
    assert again.code == 0
    assert again.err.count(", kept from before") == 4
    assert [result["name"] for result in again.json["results"]] == ["A mlp=relu2", "B mlp=nothing"]
    assert [trial["seed"] for trial in again.json["results"][1]["trials"]] == [1, 2]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("", "a comparison needs two variants at least"),
        ("quick", "--vary model.n_embd=32,64 makes a row of them"),
        ("quick quick", "the same settings"),
        ("quick kwick", "did you mean 'quick'?"),
        ("quick none.toml", "there is no file none.toml"),
        ("quick model.n_layr=2", "did you mean 'model.n_layer'?"),
        ("quick model.n_layer=2 --text none.txt", "none.txt"),
        ("quick model.n_layer=2 --text my.txt --minutes 0.0000001", "minutes are too few: "),
        ("quick model.n_layer=2 --text my.txt --steps 3 --minutes 1", "not both"),
        ("quick model.n_layer=2 --text my.txt --steps 0", "recipe.steps is 0"),
        ("quick model.n_layer=2 --seeds 0", "--seeds 0"),
        ("quick model.n_layer=2 --seeds 1.5", "'1.5' is not a whole number"),
        ("quick model.n_layer=2 --target 0", "--target 0.0 is no loss"),
        ("quick model.n_layer=2 --set", "--set needs at least one"),
        ("quick --vary", "--vary needs at least one"),
        ("quick --vary model.n_layer", "--vary model.n_layer is not of the form"),
        ("quick text.split=0.5 --text my.txt", "take one for all, such as --set text.split=0.9"),
        ("kannada-micro mini", "name one for all, --text"),
    ],
)
def test_what_can_not_be_compared(refuses, words, says):
    refuses("compare", *shlex.split(words), says=says)
