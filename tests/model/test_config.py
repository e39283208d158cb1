"""The config: plain data, checked, derived where it can be, and errors that say what to do."""

import ast
import dataclasses
import inspect
import json

import pytest

from hornbook.errors import UsageError, nearest
from hornbook.model.config import LARGEST, ModelConfig
from hornbook.settings import from_plain


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        *[
            ({name: value}, f"model.{name} is {value}; it has to be from 1 to {most:,}.")
            for name, most in LARGEST.items()
            for value in (0, -3, most + 1)
        ],
        *[
            ({name: value}, f"model.{name} is {value}; it has to be from 0 to below 1.")
            for name in ("dropout", "attention_dropout", "embedding_dropout")
            for value in (1, 1.0, -0.1, float("nan"))
        ],
        *[
            ({"init_std": std}, f"model.init_std is {std}; it has to be above 0 and finite.")
            for std in (0, -1.0, float("nan"))
        ],
        (
            {"n_embd": 128, "n_head": 5},
            "model.n_embd=128 does not divide into model.n_head=5 heads of one size; model.n_head=4 would.",
        ),
        (
            {"n_embd": 10, "n_head": 99},
            "model.n_embd=10 does not divide into model.n_head=99 heads of one size; model.n_head=10 would.",
        ),
        (
            {"attention": "head", "n_head": 4},
            "model.attention=head is one head, but model.n_head is 4; say model.n_head=1, or model.attention=heads.",
        ),
    ],
)
def test_what_no_model_can_have(changes, message):
    with pytest.raises(UsageError) as caught:
        ModelConfig(**{"vocab_size": 65, **changes})
    assert str(caught.value) == message
    assert isinstance(caught.value, ValueError)


def test_the_remedy_of_each_message_works():
    ModelConfig(vocab_size=65, n_embd=128, n_head=4)
    ModelConfig(vocab_size=65, attention="head", n_head=1)
    ModelConfig(vocab_size=65, attention="heads", n_head=4)


def test_the_ends_of_what_is_allowed():
    config = ModelConfig(vocab_size=1, block_size=1, n_layer=1, n_head=1, n_embd=1, n_hidden=1, dropout=0.0)
    assert config.head_size == config.mlp_size == 1
    assert ModelConfig(vocab_size=65, dropout=0.999, init_std=1e-9).dropout == 0.999


@pytest.mark.parametrize("name", LARGEST)
def test_the_largest_size_is_allowed(name):
    others = {"n_embd": {"n_head": 1}, "n_head": {"n_embd": LARGEST["n_head"]}}
    others |= {"n_kv_head": {"n_embd": LARGEST["n_kv_head"], "n_head": LARGEST["n_kv_head"]}}
    others = others.get(name, {})
    assert getattr(ModelConfig(**{"vocab_size": 65, name: LARGEST[name], **others}), name) == LARGEST[name]


def test_what_is_not_said_is_derived():
    config = ModelConfig(vocab_size=65, n_embd=96, n_head=6, dropout=0.2)
    assert (config.head_size, config.mlp_size, config.attention_rate, config.embedding_rate) == (16, 384, 0.2, 0.2)
    config = dataclasses.replace(config, n_hidden=100, attention_dropout=0.0, embedding_dropout=0.1)
    assert (config.mlp_size, config.attention_rate, config.embedding_rate) == (100, 0.0, 0.1)


def test_a_config_does_not_change():
    config = ModelConfig(vocab_size=65)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.n_layer = 3


def test_plain_data_and_back():
    config = ModelConfig(vocab_size=65, n_hidden=7, tied=True, attention="heads", dropout=0.1)
    assert from_plain("model", json.loads(json.dumps(config.to_json())), ModelConfig) == config
    assert from_plain("model", {"vocab_size": 65}, ModelConfig) == ModelConfig(65)
    assert set(config.to_json()) == {field.name for field in dataclasses.fields(ModelConfig)}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"n_layers": 1}, "model.n_layers is no setting; did you mean 'model.n_layer'?"),
        ({"dropuot": 1}, "model.dropuot is no setting; did you mean 'model.dropout'?"),
        ({"Tied": 1}, "model.Tied is no setting; did you mean 'model.tied'?"),
        ({"n_layer": 0}, f"model.n_layer is 0; it has to be from 1 to {LARGEST['n_layer']:,}."),
        ({"n_layer": 2.5}, "model.n_layer=2.5 is not a whole number."),
        ({"n_layer": None}, "model.n_layer=None is not a whole number."),
        ({"n_hidden": "many"}, "model.n_hidden=many is not a whole number or none."),
        ({"dropout": "much"}, "model.dropout=much is not a number."),
        ({"tied": 1}, "model.tied=1 is not true or false."),
        ({"n_layer": True}, "model.n_layer=True is not a whole number."),
        ({"mlp": 3}, "model.mlp=3 is not a word."),
    ],
)
def test_what_plain_data_cannot_say(data, message):
    with pytest.raises(UsageError) as caught:
        from_plain("model", {"vocab_size": 65, **data}, ModelConfig)
    assert str(caught.value) == message


def test_plain_data_without_a_vocabulary():
    with pytest.raises(UsageError, match=r"^model\.vocab_size is missing\.$"):
        from_plain("model", {"n_layer": 2}, ModelConfig)


def test_nearest():
    assert nearest("gleu", ["gelu", "relu"]) == "did you mean 'gelu'?"
    assert nearest("swish", ["relu", "gelu"]) == "known: gelu, relu."


def test_every_setting_says_what_it_is():
    """Help pages are made of the line under each field: read here from the source, as they will be."""
    (tree,) = ast.parse(inspect.getsource(ModelConfig)).body
    for line, after in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(line, ast.AnnAssign):
            assert isinstance(after, ast.Expr), line.target.id
            assert isinstance(after.value.value, str), line.target.id
