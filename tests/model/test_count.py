"""The count of parameters: figures that others published, tied weights once, and no memory for it."""

import pytest
import torch

from hornbook.model.build import build
from hornbook.model.config import LARGEST, ModelConfig
from hornbook.model.count import Share, count, count_config


def total(shares):
    return sum(share.parameters for share in shares)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (
            {"n_layer": 6, "n_head": 6, "n_embd": 384, "block_size": 256, "mlp": "relu", "bias_qkv": False},
            10_788_929,
        ),
        ({"kind": "bigram"}, 4_225),
        ({"n_layer": 4, "n_head": 4, "n_embd": 64, "block_size": 32, "mlp": "relu", "bias_qkv": False}, 209_729),
    ],
)
def test_known_figures(config, expected):
    assert total(count_config(ModelConfig(vocab_size=65, **config))) == expected


def test_gpt2_has_its_124_million():
    gpt2 = ModelConfig(vocab_size=50257, block_size=1024, n_layer=12, n_head=12, n_embd=768, tied=True, bias_head=False)
    assert total(count_config(gpt2)) == 124_439_808


@pytest.mark.parametrize(
    "choice",
    [{}, {"tied": True}, {"attention": "heads"}, {"kind": "bigram"}, {"norm": "identity"}, {"positions": "sinusoidal"}]
    + [{"attention": attention, "values": "embedding", "n_kv_head": 1} for attention in ("heads", "batched", "fused")],
)
def test_the_lines_sum_to_what_is_trained(tiny, choice):
    config = tiny(**choice)
    model = build(config)
    assert total(count(model)) == sum(parameter.numel() for parameter in model.parameters())
    assert count(model) == count_config(config)


def test_a_bigram_table_stays_small_when_the_vocabulary_is_thousands_of_units():
    sizes = [total(count_config(ModelConfig(V, kind="bigram"))) for V in (2_048, 2_049, 20_000)]
    assert sizes == [2_048**2, 2 * 64 * 2_049, 2 * 64 * 20_000]


def test_tied_weights_count_once(tiny):
    assert total(count_config(tiny())) - total(count_config(tiny(tied=True))) == 11 * 12


def test_a_units_own_values_are_one_table_a_block(tiny):
    for attention in ("heads", "fused"):
        shares = count_config(tiny(values="embedding", attention=attention, n_head=6, n_kv_head=2))
        assert Share("blocks.*.attention.recall.table.weight", (11, 4), 2) in shares
    assert count_config(tiny(kind="bigram", values="embedding")) == count_config(tiny(kind="bigram"))


def test_counting_takes_no_memory():
    """A model of terabytes."""
    huge = ModelConfig(LARGEST["vocab_size"], n_embd=LARGEST["n_embd"], n_head=1, n_layer=1)
    assert total(count_config(huge)) > 10**12


def test_counting_leaves_the_default_device_alone(tiny):
    count_config(tiny())
    assert torch.empty(1).device.type == "cpu"


def test_blocks_are_one_line_times_how_many(tiny):
    shares = {share.name: share for share in count_config(tiny(n_layer=5, attention="heads"))}
    assert shares["blocks.*.mlp.expand.weight"] == Share("blocks.*.mlp.expand.weight", (20, 12), 5)
    assert shares["blocks.*.attention.query.weight"].parameters == 5 * 12 * 12
    assert shares["tokens.weight"].times == 1


def test_lines_read_well_and_align():
    lines = [str(Share("blocks.*.mlp.expand.weight", (1536, 384), 6)), str(Share("norm.bias", (384,), 1))]
    assert [line.split() for line in lines] == [
        ["blocks.*.mlp.expand.weight", "6", "×", "1536", "×", "384", "3,538,944"],
        ["norm.bias", "384", "384"],
    ]
    assert len(lines[0]) == len(lines[1])


def test_a_buffer_is_no_parameter(tiny):
    model = build(tiny())
    model.blocks[0].mlp.register_buffer("tril", torch.ones(4, 4))
    assert total(count(model)) == sum(parameter.numel() for parameter in model.parameters())
