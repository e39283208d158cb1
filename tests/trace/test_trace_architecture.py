"""The architecture, drawn: every preset's parts are counted right, shapes are the true ones, orders look different."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import torch
from rich.cells import cell_len
from torch import nn

from hornbook.model import build as build_module
from hornbook.model.block import PreNorm
from hornbook.model.build import build
from hornbook.model.config import ModelConfig
from hornbook.model.count import count_config, total
from hornbook.presets import PRESETS, find_preset
from hornbook.trace.architecture import Add, Box, Group, Tap, architecture
from hornbook.trace.diagram import diagram
from hornbook.trace.page import architecture_page
from hornbook.trace.svg import svg

SMALL = [name for name, preset in PRESETS.items() if total(count_config(preset.model_config(65))) < 1_000_000]
ORDERS = ["pre", "branch", "post", "plain"]


def plan_of(**settings):
    config = ModelConfig(**{"vocab_size": 11, "n_layer": 3, "n_head": 2, "n_embd": 8, "block_size": 12, **settings})
    return architecture(build(config), config)


def drawn(name):
    config = find_preset(name).model_config(65)
    plan = architecture(build(config), config)
    return plan, list(diagram(name, find_preset(name).about, plan))


@pytest.mark.parametrize("name", SMALL)
def test_the_parts_of_a_preset_sum_to_its_parameters(name):
    plan, lines = drawn(name)
    expected = total(count_config(find_preset(name).model_config(65)))
    assert plan.parameters == expected
    assert sum(row.parameters * times for row, times in plan.rows() if row.depth == 0) == expected
    assert f"{expected:,}" in next(line for line in lines if "logits:" in line)


@pytest.mark.parametrize("name", SMALL)
def test_a_drawing_fits_into_80_cells(name):
    _, lines = drawn(name)
    assert all(cell_len(line) <= 80 for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(PRESETS.keys() - set(SMALL)))
def test_the_large_presets_are_counted_and_fit_too(name):
    test_the_parts_of_a_preset_sum_to_its_parameters(name)
    test_a_drawing_fits_into_80_cells(name)


@pytest.mark.parametrize(
    "settings",
    [{}, {"attention": "heads"}, {"tied": True}, {"dropout": 0.2}, {"bias_qkv": False}, {"norm": "identity"},
     {"attention": "head", "n_head": 1}, {"kind": "bigram"}, {"mlp": "nothing"}, {"block_size": 1}, {"n_embd": 2}],
)  # fmt: skip
@pytest.mark.parametrize("order", ORDERS)
def test_all_weights_are_counted_once(order, settings):
    plan = plan_of(block=order, **settings)
    assert sum(row.parameters * times for row, times in plan.rows() if row.depth == 0) == plan.parameters
    inner = {}
    for row, _ in plan.rows():
        if row.depth:
            inner[row.depth] = inner.get(row.depth, 0) + row.parameters
    assert all(here <= plan.parameters for here in inner.values())


def boxes(plan):
    return [step for step in plan.steps if isinstance(step, Box)], next(s for s in plan.steps if isinstance(s, Group))


def test_shapes_are_those_of_the_parts():
    plan = plan_of(attention="batched", n_layer=2)
    shapes = {row.name: row.shape for row, _ in plan.rows()}
    assert shapes["tokens"] == shapes["attention"] == shapes["mlp"] == "B × T × 8"
    assert (shapes["core"], shapes["weights"]) == ("B × 2 × T × 4", "B × 2 × T × T")
    assert (shapes["expand"], shapes["head"], plan.logits) == ("B × T × 32", "B × T × 11", "B × T × 11")
    assert shapes["table"] == "T × 8"


def outline(plan):
    """The steps of a block: ( where a branch begins, + where it is added, and [] around what stands on the stream."""
    group = next(step for step in plan.steps if isinstance(step, Group))
    said = []
    for step in group.steps:
        if isinstance(step, Box):
            said.append(step.rows[0].name if step.branch else f"[{step.rows[0].name}]")
        else:
            said.append("(" if isinstance(step, Tap) else "+")
            assert isinstance(step, Tap | Add)
    return " ".join(said)


def test_the_orders_of_norm_are_drawn_as_they_compute():
    assert outline(plan_of(block="pre")) == "( attention_norm attention + ( mlp_norm mlp +"
    assert outline(plan_of(block="branch")) == "( attention attention_norm + ( mlp mlp_norm +"
    assert outline(plan_of(block="post")) == "( attention + [attention_norm] ( mlp + [mlp_norm]"
    assert outline(plan_of(block="plain")) == "[attention_norm] [attention] [mlp_norm] [mlp]"
    pictures = {tuple(diagram("x", "", plan_of(block=order))) for order in ORDERS}
    assert len(pictures) == 4
    assert len({svg("x", "", plan_of(block=order)) for order in ORDERS}) == 4


def test_blocks_that_are_alike_are_drawn_once():
    _, group = boxes(plan_of(n_layer=3))
    assert group.times == 3
    assert any("block, 3 times: PreNorm" in line for line in diagram("x", "", plan_of(n_layer=3)))


def test_dropout_is_drawn_where_there_is_some():
    names = [row.name for row, _ in plan_of(dropout=0.2, embedding_dropout=0.0).rows()]
    assert "attention_dropout" in names
    assert "dropout" not in [row.name for row, _ in plan_of(dropout=0.0).rows()]


class Wide(nn.Module):
    """A learner's own, with a shape and a name that nobody knows beforehand."""

    def __init__(self, config, site):
        super().__init__()
        self.there = nn.Linear(config.n_embd, 77)
        self.back = nn.Linear(77, config.n_embd, bias=False)

    def forward(self, x):
        return self.back(self.there(x).tanh())


class Sum(PreNorm):
    def forward(self, x, cache=None):
        return x + self.attention(x, cache) + self.mlp(x)


def test_a_part_of_ones_own_is_drawn_under_its_own_name(monkeypatch):
    monkeypatch.setitem(build_module.PARTS["mlp"], "mine", Wide)
    monkeypatch.setitem(build_module.PARTS["block"], "sum", Sum)
    plan = plan_of(mlp="mine", block="sum")
    rows = {row.name: row for row, _ in plan.rows()}
    assert (rows["mlp"].made_of, rows["there"].shape) == ("Wide", "B × T × 77")
    assert rows["mlp"].parameters == 8 * 77 + 77 + 77 * 8
    picture = "\n".join(diagram("x", "", plan))
    assert "Sum" in picture
    assert "Wide" in picture


@pytest.mark.parametrize("name", ["quick", "bigram", "heads", "small"])
def test_the_picture_is_well_formed_says_all_and_is_always_the_same(name):
    plan, _ = drawn(name)
    about = find_preset(name).about
    text = svg(name, about, plan)
    assert text == svg(name, about, architecture(build(c := find_preset(name).model_config(65)), c))
    root = ET.fromstring(text)
    space = "{http://www.w3.org/2000/svg}"
    width, height = (float(x) for x in root.attrib["viewBox"].split()[2:])
    said = [e.text for e in root.iter(f"{space}text")]
    for row, _ in plan.rows():
        assert row.made_of in said
        assert row.shape in said
        assert not row.parameters or f"{row.parameters:,}" in said
    assert f"{plan.parameters:,}" in said
    for box in root.iter(f"{space}rect"):
        assert float(box.attrib["x"]) + float(box.attrib["width"]) <= width
        assert float(box.attrib["y"]) + float(box.attrib["height"]) <= height
    assert all(0 < float(e.attrib["y"]) < height for e in root.iter(f"{space}text"))
    assert root.find(f"{space}title") is not None
    assert not re.search(r"url\(|href|@import", text)


def test_the_picture_in_the_docs_is_the_one_that_the_command_draws():
    plan, _ = drawn("quick")
    picture = Path(__file__).parents[2] / "docs" / "quick.svg"
    assert picture.read_text(encoding="utf-8") == svg("quick", find_preset("quick").about, plan)


def test_names_are_escaped_in_the_picture_and_the_page():
    name = '<script>"&'
    assert ET.fromstring(svg(name, name, plan_of())) is not None
    html = architecture_page(name, name, plan_of())
    assert "<script" not in html
    assert "script-src 'none'" in html


def test_looking_at_an_architecture_changes_nothing():
    config = ModelConfig(vocab_size=5, n_embd=8, n_head=2, n_layer=1, block_size=4)
    model = build(config)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    architecture(model, config)
    assert model.training
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
