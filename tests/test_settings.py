"""Settings: a name and a value, as typed or as a TOML file holds them, become what a field holds, or one clear line."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hornbook.errors import UsageError
from hornbook.model.config import ModelConfig
from hornbook.settings import check_names, convert, parse_pairs, read_toml
from hornbook.training.recipe import Recipe


@dataclass(frozen=True)
class Every:
    """One field of each kind that there is."""

    whole: int = 1
    number: float = 1.0
    switch: bool = True
    word: str = "a"
    perhaps_whole: int | None = None
    perhaps_number: float | None = None


def refused(call, *arguments):
    with pytest.raises(UsageError) as caught:
        call(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message


def value_or_message(name, value):
    """Return what a field would hold, or the one line that says why it can't; anything else goes through."""
    try:
        return convert(name, value, Every), None
    except UsageError as error:
        return None, str(error)


def test_pairs():
    assert parse_pairs([]) == {}
    assert parse_pairs(["model.n_layer=8", "text.x=a=b"]) == {"model.n_layer": "8", "text.x": "a=b"}
    for pair in ("model.n_layer", "=8", "model.n_layer=", "=", ""):
        assert refused(parse_pairs, [pair]) == (f"--set {pair} is not of the form NAME=VALUE, such as model.n_layer=8.")
    assert refused(parse_pairs, ["a=1", "b=2", "a=1"]) == "--set a is given twice."


@given(st.dictionaries(st.text(min_size=1).filter(lambda s: "=" not in s), st.text(min_size=1)))
def test_pairs_come_out_as_they_went_in(settings):
    assert parse_pairs(f"{name}={value}" for name, value in settings.items()) == settings


def test_a_toml_file(tmp_path):
    path = tmp_path / "ಹಾಡು.toml"
    path.write_text(
        '# comment\n[model]\nn_layer = 3\nmlp = "relu"\nbias_head = false\n[recipe]\nlearning_rate = 1e-3\n[text]\n',
        encoding="utf-8",
    )
    assert read_toml(path) == {
        "model.n_layer": 3,
        "model.mlp": "relu",
        "model.bias_head": False,
        "recipe.learning_rate": 1e-3,
    }
    path.write_bytes(b"\xef\xbb\xbf[model]\nn_layer = 2\n")  # as some editors on Windows begin a file
    assert read_toml(path) == {"model.n_layer": 2}
    path.write_bytes(b"")
    assert read_toml(path) == {}


def test_what_is_no_toml_file_says_why(tmp_path):
    path = tmp_path / "a.toml"
    assert refused(read_toml, path) == f"there is no file {path}."
    path.write_text("[model\n", encoding="utf-8")
    message = refused(read_toml, path)
    assert message.startswith(f"{path} is not TOML: ")
    assert "line 1" in message
    path.write_text("n_layer = 3\n[recipe]\n", encoding="utf-8")
    assert refused(read_toml, path) == (
        f"{path}: 'n_layer' stands outside of a table; begin with a line such as [model]."
    )
    path.write_bytes("[model]\nmlp = 'ಕ'".encode("utf-16"))
    assert refused(read_toml, path).startswith(f"{path} is not TOML: ")
    path.write_text("[model]\nn_layer = 1\nn_layer = 2\n", encoding="utf-8")
    assert refused(read_toml, path).startswith(f"{path} is not TOML: ")


@pytest.mark.parametrize("kind", ["folder", "digits", "nested"])
def test_odd_toml_files_say_why(tmp_path, kind):
    path = tmp_path / "a.toml"
    if kind == "folder":
        path.mkdir()
    else:
        value = "1" * 5000 if kind == "digits" else "[" * 5000 + "]" * 5000
        path.write_text(f"[recipe]\nsteps = {value}\n", encoding="utf-8")
    assert str(path) in refused(read_toml, path)


def test_names():
    groups = {"model": ModelConfig, "recipe": Recipe}
    check_names({"model.n_layer": 1, "recipe.steps": 2}, groups)
    check_names({}, groups)
    for name, hint in (
        ("model.n_layers", "did you mean 'model.n_layer'?"),
        ("n_layer", "did you mean 'model.n_layer'?"),
        ("recipe.step", "did you mean 'recipe.steps'?"),
        ("model.n_layer.x", "did you mean 'model.n_layer'?"),
    ):
        assert refused(check_names, {"recipe.steps": 2, name: 1}, groups) == f"{name} is no setting; {hint}"
    for name in ("", "ಹಾಡು", "x"):
        assert refused(check_names, {name: 1}, groups).startswith(f"{name} is no setting; ")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("whole", "8", 8),
        ("whole", "-8", -8),
        ("whole", " 8 ", 8),
        ("whole", "1_000", 1000),
        ("whole", 8.0, 8),
        ("number", "8", 8.0),
        ("number", "1e-3", 0.001),
        ("number", 8, 8.0),
        ("number", ".5", 0.5),
        ("switch", "true", True),
        ("switch", "FALSE", False),
        ("switch", False, False),
        ("word", "relu", "relu"),
        ("word", "true", "true"),
        ("word", "none", "none"),
        ("word", "8", "8"),
        ("perhaps_whole", "None", None),
        ("perhaps_whole", None, None),
        ("perhaps_whole", "3", 3),
        ("perhaps_number", "none", None),
        ("perhaps_number", "3", 3.0),
    ],
)
def test_values(name, value, expected):
    found = convert(f"x.{name}", value, Every)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("whole", "0.5", "a whole number"),
        ("whole", 0.5, "a whole number"),
        ("whole", "1e999", "a whole number"),
        ("whole", float("inf"), "a whole number"),
        ("whole", float("nan"), "a whole number"),
        ("whole", "nan", "a whole number"),
        ("whole", "8 layers", "a whole number"),
        ("whole", "", "a whole number"),
        ("whole", "0x10", "a whole number"),
        ("whole", None, "a whole number"),
        ("whole", True, "a whole number"),
        ("whole", [1], "a whole number"),
        ("whole", {"a": 1}, "a whole number"),
        ("number", float("nan"), "a number"),
        ("number", "much", "a number"),
        ("number", False, "a number"),
        ("switch", "yes", "true or false"),
        ("switch", 1, "true or false"),
        ("switch", "1", "true or false"),
        ("switch", None, "true or false"),
        ("word", 8, "a word"),
        ("word", True, "a word"),
        ("word", None, "a word"),
        ("perhaps_whole", "some", "a whole number or none"),
        ("perhaps_number", "some", "a number or none"),
    ],
)
def test_values_that_can_not_be(name, value, kind):
    assert refused(convert, f"x.{name}", value, Every) == f"x.{name}={value} is not {kind}."


@pytest.mark.parametrize("name", ["whole", "number", "perhaps_whole"])
def test_numbers_larger_than_any_float(name):
    """Refused here, or taken for what they are and refused by the field's own bounds; never a crash."""
    for value in ("1" + "0" * 400, "-1" + "0" * 400, "1" * 5000):
        _, message = value_or_message(f"x.{name}", value)
        kinds = ("a number.", "a whole number.", "a whole number or none.")
        assert message is None or message.endswith(tuple(f"is not {kind}" for kind in kinds))


@pytest.mark.parametrize("value", ["1e999", "inf", "-inf", "nan", float("inf"), 10**400, -(10**400), "1" + "0" * 400])
@pytest.mark.parametrize("name", ["learning_rate", "steps", "minutes", "clip", "beta1"])
def test_what_no_number_can_be_is_refused_by_the_recipe_at_the_latest(name, value):
    message = refused(lambda: Recipe(**{name: convert(f"recipe.{name}", value, Recipe)}))
    assert message.startswith(f"recipe.{name}")


@pytest.mark.parametrize("name", ["dropout", "init_std", "n_embd"])
@pytest.mark.parametrize("value", ["1e999", "nan", float("nan"), 10**400])
def test_what_no_number_can_be_is_refused_by_the_model_at_the_latest(name, value):
    message = refused(lambda: ModelConfig(65, **{name: convert(f"model.{name}", value, ModelConfig)}))
    assert message.startswith(f"model.{name}")


@given(st.integers(-(2**53), 2**53))
def test_every_whole_number_goes_through(n):
    for value in (n, str(n), f" {n} ", f"{n:_}"):
        assert convert("x.whole", value, Every) == n
        assert convert("x.perhaps_whole", value, Every) == n
        assert convert("x.number", value, Every) == float(n)
    for value in (n + 0.5, f"{n}.5"):
        if float(value) != int(float(value)):
            refused(convert, "x.whole", value, Every)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_number_goes_through(x):
    for value in (x, str(x), repr(x), f"{x:.17g}"):
        found = convert("x.number", value, Every)
        assert found == x
        assert type(found) is float


@given(st.booleans())
def test_every_switch_goes_through(b):
    for value in (b, str(b), str(b).lower(), str(b).upper()):
        assert convert("x.switch", value, Every) is b


@given(st.text())
def test_any_text_at_all_is_a_value_or_one_line(text):
    """No text crashes; what is no number, no switch and not none is refused wherever one of these is wanted."""
    assert convert("x.word", text, Every) == text
    for name, kind in (("whole", int), ("number", float), ("switch", bool), ("perhaps_whole", int)):
        found, message = value_or_message(f"x.{name}", text)
        if message is None:
            assert type(found) is kind or (found is None and text.lower() == "none")
        else:
            assert message.startswith(f"x.{name}=")


@given(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.lists(st.integers())
    | st.dictionaries(st.text(), st.integers())
    | st.dates()
)
def test_whatever_toml_can_hold_is_a_value_or_one_line(value):
    for name in ("whole", "number", "switch", "word", "perhaps_whole", "perhaps_number"):
        found, message = value_or_message(f"x.{name}", value)
        assert message or found is value or found == type(found)(value)
