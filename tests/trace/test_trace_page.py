"""The page of a trace: its data and its tables hold the true numbers, and nothing in it can do harm."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest

from hornbook.model.weights import get_weights
from hornbook.trace.architecture import architecture
from hornbook.trace.follow import follow
from hornbook.trace.labels import label, language
from hornbook.trace.page import page

VOID = {"meta", "input", "br", "link", "rect", "path", "line", "circle"}
MODERN = {"positions": "rotary", "norm": "rmsnorm-nogain", "qk_norm": "rmsnorm-nogain", "mlp": "relu2"}
MODERN |= {"pairs": "bigram", "logits": "capped", "n_kv_head": 1, "values": "embedding"}
KINDS = {
    "modern": {f"model.{name}": value for name, value in MODERN.items()},
    "pre": {},
    "branch": {"model.block": "branch", "model.attention": "heads"},
    "post": {"model.block": "post", "model.n_head": 4},
    "plain": {"model.block": "plain", "model.n_layer": 1},
    "sinusoidal": {"model.positions": "sinusoidal", "model.tied": True},
}


def summed(config):
    """What the columns of the embedding's table are."""
    pairs = config.pairs == "bigram"
    return ("tokens" if pairs else "scaled", *(("pairs",) if pairs else ()), "position", "whole")


class Page(HTMLParser):
    """A page's elements in order: (tag, attributes, ids of the elements around it), and the rows of its tables."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.open, self.tables, self.texts, self.unclosed = [], [], {}, {}, []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.elements.append((tag, attrs, [e[0] for e in self.open]))
        if tag == "table":
            self.tables[attrs.get("id") or f"block {attrs['data-block']}"] = []
        if tag == "tr":
            list(self.tables.values())[-1].append([])
        if tag in ("td", "th"):
            list(self.tables.values())[-1][-1].append("")
        if tag not in VOID:
            self.open.append((tag, attrs))

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs), [e[0] for e in self.open]))

    def handle_endtag(self, tag):
        if not self.open or self.open[-1][0] != tag:
            self.unclosed.append((tag, self.open[-1:]))
            return
        self.open.pop()

    def handle_data(self, data):
        tags = [e[0] for e in self.open]
        if "td" in tags or ("th" in tags and "table" in tags):
            list(self.tables.values())[-1][-1][-1] += data
        for _, attrs in self.open:
            if name := attrs.get("id"):
                self.texts[name] = self.texts.get(name, "") + data


def data_of(html):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)[1])


def made(run, prompt, **how):
    trace = follow(run, prompt, **how)
    return trace, page(trace, architecture(run.model, run.model_config))


def near(shown, true, digits):
    shown = float(str(shown).replace("−", "-"))
    assert shown == pytest.approx(true, abs=0.5 * 10**-digits + 2e-5 * (1 + abs(true)))


def unpacked(text, T):
    """A head's weights and how finely each is given, from bytes."""
    codes = np.frombuffer(base64.b64decode(text), np.uint8).astype(int)
    values, fine = np.zeros((T, T)), np.zeros((T, T))
    values[np.tril_indices(T)] = np.where(codes <= 171, codes / 1000, (codes - 155) / 100)
    fine[np.tril_indices(T)] = np.where(codes <= 171, 0.0005, 0.005)
    return values, fine


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("prompt", ["ಜ್ಞಾನವೇ", "Once upon a time"])
def test_the_embedded_numbers_are_those_of_the_weights(kind, prompt, make_run, reference):
    run = make_run(**KINDS[kind])
    trace, html = made(run, prompt)
    data = data_of(html)
    T, config = len(trace.ids), run.model_config
    true = reference(config, get_weights(run.model), trace.ids)
    assert data["ids"] == trace.ids.tolist()
    for column, sizes, key in zip(
        data["embedding"]["columns"], data["embedding"]["norms"], summed(config), strict=True
    ):
        for place in range(T):
            for shown, expected in zip(column[place], true[key][place], strict=False):
                near(shown, expected, 3)
            near(sizes[place], np.linalg.norm(true[key][place]), 3)
    lines = iter(data["stream"])
    for place, shown in enumerate(next(lines)["norms"]):
        near(shown, true["blocks"][0]["before"][place], 2)
    for block in true["blocks"]:
        for key in ("attention", "mlp", "after"):
            for shown, expected in zip(next(lines)["norms"], block[key], strict=True):
                near(shown, expected, 2)
    rest = list(lines)
    assert len(rest) == (0 if config.block == "post" else 1)
    for line in rest:
        for shown, expected in zip(line["norms"], true["after_norm"], strict=True):
            near(shown, expected, 2)
    for block, expected in zip(data["blocks"], true["blocks"], strict=True):
        for text, weights in zip(block["weights"], expected["weights"], strict=True):
            values, fine = unpacked(text, T)
            assert (abs(values - weights) <= fine + 2e-5).all()
    chances = np.exp((true["logits"] - true["logits"].max(-1, keepdims=True)) / 0.8)
    chances /= chances.sum(-1, keepdims=True)
    for place, following in enumerate(data["next"]):
        order = np.argsort(-true["logits"][place], kind="stable")[:10]
        assert following["ids"] == order.tolist()
        for n, i in enumerate(order):
            near(following["logits"][n], true["logits"][place, i], 2)
            near(following["p"][n], true["probabilities"][place, i], 4)
            near(following["chances"][n], chances[place, i], 4)
        near(following["ten"], true["probabilities"][place, order].sum(), 4)
        near(following["rest"], 1 - true["probabilities"][place, order].sum(), 4)
        assert following["all"] == 1.0
    for place, (i, _, p) in enumerate(data["followers"]):
        assert i == trace.ids[place + 1]
        near(p, true["probabilities"][place, i], 4)


@pytest.mark.parametrize("kind", KINDS)
def test_the_tables_for_readers_without_script_hold_the_true_numbers(kind, make_run, reference):
    run = make_run(**KINDS[kind])
    trace, html = made(run, "ಜ್ಞಾನವೇ")
    seen = Page(html)
    true = reference(run.model_config, get_weights(run.model), trace.ids)
    *channels, norms = seen.tables["sum"][1:]
    assert len(channels) == 8
    keys = summed(run.model_config)
    for channel, row in enumerate(channels):
        for shown, key in zip(row[1:], keys, strict=True):
            near(shown, true[key][-1, channel], 3)
    for shown, key in zip(norms[1:], keys, strict=True):
        near(shown, np.linalg.norm(true[key][-1]), 3)
    sizes = [row[1] for row in seen.tables["stream"][1:]]
    near(sizes[0], true["blocks"][0]["before"][-1], 2)
    expected = [block[key][-1] for block in true["blocks"] for key in ("attention", "mlp", "after")]
    for shown, size in zip(sizes[1:], expected, strict=False):
        near(shown, size, 2)
    for b, block in enumerate(true["blocks"]):
        rows = seen.tables[f"block {b}"][1:]
        assert len(rows) == len(trace.ids)
        for key, (name, *weights) in enumerate(rows):
            assert name == f"{key + 1} {label(trace.units[trace.ids[key]])}"
            for head, shown in enumerate(weights):
                near(shown, block["weights"][head, -1, key], len(shown.partition(".")[2]))
    order = np.argsort(-true["logits"][-1], kind="stable")[:10]
    for row, i in zip(seen.tables["next"][1:], order, strict=True):
        assert (row[0], int(row[1])) == (trace.labels[i], i)
        near(row[2], true["logits"][-1, i], 2)
        near(row[3], true["probabilities"][-1, i], 4)
    assert seen.texts["all"] == "1.000000"


def test_a_page_is_whole_and_made_for_everyone(make_run):
    trace, html = made(make_run(), "ಜ್ಞಾನವೇ")
    seen = Page(html)
    assert seen.unclosed == []
    assert seen.open == []
    names = [attrs["id"] for _, attrs, _ in seen.elements if "id" in attrs]
    assert len(names) == len(set(names))
    headings = [int(tag[1]) for tag, _, _ in seen.elements if re.fullmatch(r"h\d", tag)]
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert all(b <= a + 1 for a, b in pairwise(headings))
    tables = [i for i, (tag, _, _) in enumerate(seen.elements) if tag == "table"]
    assert all(seen.elements[i + 1][0] == "caption" for i in tables)
    assert all("scope" in attrs for tag, attrs, _ in seen.elements if tag == "th")
    assert seen.elements[0] == ("html", {"lang": "en"}, [])
    assert seen.texts["prompt"] == trace.text == "ಜ್ಞಾನವೇ"
    assert seen.texts["continued"] == label_text(trace)
    users = [attrs for tag, attrs, _ in seen.elements if tag == "bdi" or attrs.get("id") == "prompt"]
    assert users
    assert all(attrs["lang"] == "kn" for attrs in users)
    labels = {attrs["for"] for tag, attrs, _ in seen.elements if tag == "label" and "for" in attrs}
    for tag, attrs, around in seen.elements:
        if tag == "input":
            assert "label" in around or attrs["id"] in labels


def label_text(trace):
    following = trace.units[trace.drawn]
    return trace.text + (following if following != "\t" else "⇥")


def test_a_page_loads_nothing_and_allows_nothing_but_its_own_script(make_run):
    _, html = made(make_run(), "ಜ್ಞಾನವೇ")
    seen = Page(html)
    assert not any("src" in attrs for _, attrs, _ in seen.elements)
    assert not any(tag in ("link", "iframe", "object", "embed", "base", "image", "img") for tag, _, _ in seen.elements)
    assert [attrs["href"] for _, attrs, _ in seen.elements if "href" in attrs] == ["#way"]
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org/2000/svg)", html)
    assert not any(name.startswith("on") for _, attrs, _ in seen.elements for name in attrs)
    policy = next(attrs["content"] for _, attrs, _ in seen.elements if attrs.get("http-equiv"))
    script = re.search(r"</script>\s*<script>(.*?)</script>", html, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy.startswith("default-src 'none';")
    assert f"script-src 'sha256-{digest}'" in policy


@pytest.mark.parametrize(
    "evil",
    [
        "</script><script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "\u202egnp\u2028\u2029",
        '" onclick="',
        "$x ${y}",
    ],
)
def test_no_text_can_break_out_of_the_page(evil, make_run):
    run = make_run()
    trace = follow(run, "ಜ್ಞಾನವೇ")
    units = (evil, *trace.units[1:])
    ids = trace.ids.copy()
    ids[2] = ids[-1] = 0  # also the last unit, which is named all over the page, and the one that is drawn
    inside = replace(trace.inside, ids=ids)
    bad = replace(trace, units=units, text=evil, ids=ids, run=evil, notes=(evil,), inside=inside, drawn=0)
    html = page(bad, architecture(run.model, run.model_config))
    tame = page(trace, architecture(run.model, run.model_config))
    assert data_of(html)["labels"][0] == label(evil)
    assert [tag for tag, _, _ in Page(html).elements if tag in ("script", "img")] == ["script", "script"]
    assert not any(name.startswith("on") for _, attrs, _ in Page(html).elements for name in attrs)
    assert html.count("<script") == tame.count("<script")
    assert not any(c in html for c in "\u202e\u2028\u2029")


def test_control_characters_and_half_characters_never_reach_the_page(make_run):
    run = make_run()
    trace = replace(follow(run, "ನ"), text="a\x00b\x1b[31m\ud800\nc")
    html = page(trace, architecture(run.model, run.model_config))
    assert Page(html).texts["prompt"] == "a␀b␛[31mU+D800\nc"
    html.encode("utf-8")


def test_a_bigram_shows_what_there_is(make_run, reference):
    run = make_run("bigram")
    trace, html = made(run, "ನಮ್ಮ")
    seen = Page(html)
    assert set(seen.tables) == {"next"}
    true = reference(run.model_config, get_weights(run.model), trace.ids)
    for row in seen.tables["next"][1:]:
        near(row[2], true["logits"][-1, int(row[1])], 2)
    assert "no residual stream" not in html
    assert 'name="head"' not in html


def test_hidden_weights_are_said_and_the_rest_is_shown(make_run):
    run = make_run(**{"model.attention": "nothing"})
    _, html = made(run, "ನಮ್ಮ")
    assert "no part named `weights`" in html
    assert {"sum", "stream", "next"} <= set(Page(html).tables)


def test_the_same_trace_makes_the_same_page(make_run):
    run = make_run()
    assert made(run, "ನಮ್ಮ")[1] == made(run, "ನಮ್ಮ")[1]


@pytest.mark.parametrize(
    ("text", "tag"),
    [("ಜ್ಞಾನವೇ x", "kn"), ("Once", "und"), ("", "und"), ("12", "und"), ("ಕ ಖ abc தமிழ்", "und"), ("한국어", "ko")],
)
def test_the_language_is_said_where_the_script_tells_it(text, tag):
    assert language(text) == tag
