"""The trace as text: its numbers are the true ones to the digits shown, and it fits into any terminal."""

import re
import unicodedata
from dataclasses import replace

import numpy as np
import pytest
from rich.cells import cell_len

from hornbook.model.weights import get_weights
from hornbook.trace.follow import follow
from hornbook.trace.labels import label
from hornbook.trace.terminal import UNITS, bar, terminal

PROMPTS = ["ಜ್ಞಾನವೇ", "", "Once upon a time", "ಕನ್ನಡ ಭಾಷೆಯ ಅಕ್ಷರಗಳು ಸುಂದರವಾಗಿವೆ"]
MODERN = {"positions": "rotary", "norm": "rmsnorm-nogain", "qk_norm": "rmsnorm-nogain", "mlp": "relu2"}
MODERN |= {"pairs": "bigram", "logits": "capped", "n_kv_head": 1, "values": "embedding"}
KINDS = {
    "modern": {f"model.{name}": value for name, value in MODERN.items()},
    "pre": {},
    "plain": {"model.block": "plain", "model.n_layer": 1},
    "post, six heads": {"model.block": "post", "model.n_head": 8, "model.attention": "heads"},
    "sinusoidal": {"model.positions": "sinusoidal"},
}


def sections(lines):
    """The lines under each heading, by the words of the heading before a colon."""
    found, name = {}, "head"
    for line in lines:
        if line.startswith("── "):
            name = line.strip("─ ")
        else:
            found.setdefault(name, []).append(line)
    return found


def figure(text, line):
    """The number behind some words."""
    return float(re.search(re.escape(text) + r"\D*?(-?\d+\.\d+)", line)[1])


def near(shown, true, digits):
    assert shown == pytest.approx(true, abs=0.5 * 10**-digits + 2e-5 * (1 + abs(true)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("prompt", PROMPTS)
def test_every_line_fits_into_80_cells_and_holds_no_control_character(kind, prompt, make_run):
    for line in terminal(follow(make_run(**KINDS[kind]), prompt)):
        assert cell_len(line) <= 80, line
        assert not any(unicodedata.category(c) in ("Cc", "Cs") for c in line), line


@pytest.mark.parametrize("kind", KINDS)
def test_the_numbers_shown_are_those_of_the_weights(kind, make_run, reference):
    run = make_run(**KINDS[kind])
    config = run.model_config
    trace = follow(run, "ಜ್ಞಾನವೇ")
    true = reference(config, get_weights(run.model), trace.ids)
    told = sections(terminal(trace))

    vectors = "\n".join(told["Ids become vectors, and the place is added in"])
    rows = {"unit": "tokens", "+ place": "position", "= sum": "whole"}
    rows |= {"+ pair": "pairs"} if config.pairs == "bigram" else {}
    rows |= {"unit, scaled": "scaled"} if config.positions == "sinusoidal" else {}
    for name, key in rows.items():
        *numbers, size = re.search(rf"^ *{re.escape(name)}((?: +-?\d+\.\d+)+)$", vectors, re.MULTILINE)[1].split()
        for shown, expected in zip(numbers, true[key][-1], strict=False):
            near(float(shown), expected, 3)
        near(float(size), np.linalg.norm(true[key][-1]), 3)

    for number, block in enumerate(true["blocks"], 1):
        text = next(lines for title, lines in told.items() if title.startswith(f"Block {number} of {config.n_layer}"))
        whole = "\n".join(text)
        near(figure("the stream before" if config.block != "plain" else "what goes in", whole), block["before"][-1], 2)
        near(figure("the stream after" if config.block != "plain" else "what comes out", whole), block["after"][-1], 2)
        for branch in ("attention", "mlp"):
            does = "hands on" if config.block == "plain" else "adds"
            near(figure(f"{branch} {does}", whole), block[branch][-1], 2)
        for head, weights in enumerate(block["weights"], 1):
            row = " ".join(re.search(rf"  head {head}: ((?:.*\n)+?)(?=  head|\n)", whole)[1].split())
            looks = re.findall(r"\(place (\d+)\) (\d\.\d+)", row)
            assert len(looks) == 3
            for place, weight in looks:
                near(float(weight), weights[-1, int(place) - 1], 3)

    scores = told["Scores become probabilities"]
    ten = [line for line in scores if re.search(r"\d+ +-?\d+\.\d\d +\d\.\d{4}", line)]
    assert len(ten) == 10
    order = np.argsort(-true["logits"][-1], kind="stable")[:10]
    chances = np.exp((true["logits"][-1] - true["logits"][-1].max()) / 0.8)
    for line, i in zip(ten, order, strict=True):
        id, logit, p, chance = re.search(r"(\d+) +(-?\d+\.\d\d) +(\d\.\d{4}) .*?(\d\.\d{4})$", line).groups()
        assert (int(id), line.split()[0]) == (i, label(run.tokenizer.units[i]))
        near(float(logit), true["logits"][-1, i], 2)
        near(float(p), true["probabilities"][-1, i], 4)
        near(float(chance), chances[i] / chances.sum(), 4)
    assert f"sum of all {len(trace.units)}: 1.000000" in scores
    near(figure("sum of these 10:", "\n".join(scores)), true["probabilities"][-1, order].sum(), 4)


def grids(lines, H):
    """The digits under the names of the heads: a list of rows for each."""
    heads = [[] for _ in range(H)]
    columns = []
    for line in lines:
        if names := list(re.finditer(r"head (\d+)(?!:)", line)):
            if ":" not in line:
                columns = [(int(name[1]) - 1, name.start()) for name in names]
        elif not line:
            columns = []
        else:
            starts = [start for _, start in columns] + [200]
            for (head, start), end in zip(columns, starts[1:], strict=True):
                cells = "".join(c for c in _from_cell(line, start, end) if c.isdigit() or c == "·")
                heads[head].append(cells)
    return heads


def _from_cell(line, start, end):
    at, kept = 0, ""
    for c in line:
        if start <= at < end:
            kept += c
        at += cell_len(c)
    return kept


@pytest.mark.parametrize("kind", ["pre", "post, six heads"])
@pytest.mark.parametrize("prompt", ["ಜ್ಞಾನವೇ", "Once upon a time"])
def test_the_digits_of_the_grids_are_tenths_of_the_weights(kind, prompt, make_run, reference):
    run = make_run(**KINDS[kind])
    trace = follow(run, prompt)
    T = len(trace.ids)
    true = reference(run.model_config, get_weights(run.model), trace.ids)
    told = sections(terminal(trace))
    for number, block in enumerate(true["blocks"], 1):
        lines = next(lines for title, lines in told.items() if title.startswith(f"Block {number} of"))
        H = run.model_config.n_head
        for rows, weights in zip(grids(lines, H), block["weights"], strict=True):
            assert [len(row) for row in rows] == list(range(1, T + 1))
            for query, row in enumerate(rows):
                for key, cell in enumerate(row):
                    tenths = 0 if cell == "·" else int(cell)
                    assert tenths - 1e-3 <= 10 * weights[query, key] <= (10 if tenths == 9 else tenths + 1) + 1e-3


def test_of_a_long_text_the_last_units_are_shown_and_it_is_said(make_run):
    run = make_run(**{"model.block_size": 40})
    lines = list(terminal(follow(run, "Once upon a time ನಮ್ಮ ನಾಡು")))
    assert f"Of 26 units the last {UNITS} are shown." in lines
    assert any(line.startswith("place   11  12") for line in lines)


def test_a_bigram_shows_what_there_is(make_run, reference):
    run = make_run("bigram")
    trace = follow(run, "ನಮ್ಮ")
    lines = list(terminal(trace))
    assert "This model keeps a table" in "\n".join(lines)
    assert "That row gives each of" in "\n".join(lines)
    assert not any(line.startswith("── Block") for line in lines)
    true = reference(run.model_config, get_weights(run.model), trace.ids)
    assert trace.likeliest(-1)[0] == true["logits"][-1].argmax()


def test_units_that_have_no_shape_or_two_cells_are_shown_and_counted(make_run):
    trace = follow(make_run(), "Once upon a time")
    odd = ["\n", " ", "\t", "\x00", "\x1b", "\u200d", "\u202e", "語", "😀", "\u0ccd", "e\u0301x", "\x85"]
    units = (*odd, *trace.units[len(odd) :])
    strange = replace(trace, units=units, ids=np.arange(16), text="".join(odd), inside=replace(trace.inside))
    lines = list(terminal(strange))
    assert all(cell_len(line) <= 80 for line in lines)
    assert not any(c in line for line in lines for c in odd if not c.isprintable() and c != "\u200d")
    assert [label(unit) for unit in odd[:11]] == [
        "⏎", "␣", "⇥", "␀", "␛", "U+200D", "U+202E", "語", "😀", "◌\u0ccd", "e\u0301x"
    ]  # fmt: skip


def test_bars_are_as_long_as_their_share():
    assert (bar(0, 8), bar(1, 8), bar(0.5, 8)) == ("", "█" * 8, "█" * 4)
    assert bar(1 / 64, 8) == "▏"
