"""The page in a real browser: nothing loaded, nothing wrong, everything reached by keyboard, readable when narrow."""

import json
import re
import shutil
from dataclasses import replace

import pytest

from hornbook.trace.architecture import architecture
from hornbook.trace.follow import follow
from hornbook.trace.page import architecture_page, page

pytestmark = pytest.mark.slow

PROMPT = "ಜ್ಞಾನವೇ"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
QUIET = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
CONTROLS = "input, summary, a[href], button, select, [tabindex='0']"


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="needs the Python package playwright")
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip("needs a Chromium on the search path")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=QUIET.split())
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def pages(make_run, tmp_path_factory):
    """Write pages to look at: a short Kannada text, a long one, a hostile one, a bigram's, an architecture alone."""
    folder = tmp_path_factory.mktemp("pages")
    run, bigram = make_run(), make_run("bigram")
    many = make_run(**{"model.block_size": 80, "model.n_head": 4})
    plan = architecture(run.model, run.model_config)
    trace = follow(run, PROMPT)
    evil = "</script><img src=x onerror='hacked=1'><script>hacked=1</script>\u202e"
    units = tuple(evil if i == trace.ids[1] else unit for i, unit in enumerate(trace.units))
    long = "Once upon a time\nಕನ್ನಡ ಭಾಷೆಯ ಅಕ್ಷರಗಳು ಸುಂದರವಾಗಿವೆ. ಜ್ಞಾನವೇ ಬೆಳಕು"
    texts = {
        "short": page(trace, plan),
        "long": page(follow(many, long), architecture(many.model, many.model_config)),
        "hostile": page(replace(trace, text=evil, units=units, notes=(evil,)), plan),
        "bigram": page(follow(bigram, PROMPT), architecture(bigram.model, bigram.model_config)),
        "architecture": architecture_page("quick", "a small GPT", plan),
    }
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def visit(browser, pages):
    """Open a page; afterwards, nothing was asked for but its file, and nothing went wrong."""
    contexts, requests, wrong = [], [], []

    def go(name="short", width=1100, height=800, **options):
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        tab = context.new_page()
        tab.on("request", lambda request: requests.append(request.url))
        tab.on("console", lambda message: wrong.append(message.text))
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.on("dialog", lambda dialog: wrong.append(dialog.message))
        tab.goto((pages / f"{name}.html").as_uri())
        return tab

    yield go
    for context in contexts:
        context.close()
    assert wrong == []
    assert set(requests) <= {path.as_uri() for path in pages.iterdir()}


ALL = ["short", "long", "hostile", "bigram", "architecture"]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("width", [320, 640, 1100])
def test_a_page_is_quiet_and_never_wider_than_the_screen(name, width, visit):
    tab = visit(name, width, device_scale_factor=2 if width == 640 else 1)
    for details in tab.query_selector_all("details"):
        details.evaluate("element => element.open = true")
    overflow = tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0
    assert tab.evaluate("typeof hacked") == "undefined"


@pytest.mark.parametrize("name", ALL)
def test_tab_reaches_every_control_and_shows_where_it_is(name, visit):
    tab = visit(name)
    group = "e.type === 'radio' ? 'radio ' + e.name : (e.id || e.textContent.trim().slice(0, 40) || e.outerHTML)"
    wanted = tab.evaluate(
        f"[...document.querySelectorAll(`{CONTROLS}`)].filter(e => e.checkVisibility()).map(e => {group})"
    )
    reached = []
    for _ in range(60):
        tab.keyboard.press("Tab")
        seen = tab.evaluate(
            f"""(() => {{
                const e = document.activeElement;
                if (e === document.body) return null;
                const shown = e.classList.contains("over") ? e.parentElement : e;
                const style = getComputedStyle(shown);
                return [{group}, e.matches(":focus-visible"), style.outlineStyle, parseFloat(style.outlineWidth)];
            }})()"""
        )
        if seen is None:
            break
        reached.append(seen[0])
        assert seen[1], seen
        assert (seen[2], seen[3]) == ("solid", 3), seen
    assert wanted
    assert set(wanted) <= set(reached)


def state(tab):
    return {name: tab.inner_text(f"#{name}") for name in ("sum", "stream", "next", "which", "whose", "most")}


def data_of(pages, name="short"):
    html = (pages / f"{name}.html").read_text(encoding="utf-8")
    return json.loads(re.search(r'id="data">(.*?)</script>', html)[1])


def test_arrow_keys_choose_a_unit_everywhere(visit, pages):
    tab, data = visit(), data_of(pages)
    tab.focus("input[name=unit]:checked")
    for place in range(5, -1, -1):
        tab.keyboard.press("ArrowLeft")
        assert tab.input_value("#place") == str(place + 1)
        shown = state(tab)
        for column in data["embedding"]["columns"]:
            assert f"{column[place][0]:.3f}".replace("-", "−") in shown["sum"]
        for line in data["stream"]:
            assert f"{line['name']}\t{line['norms'][place]:.2f}" in shown["stream"]
        for p in data["next"][place]["p"]:
            assert f"{p:.4f}" in shown["next"]
        assert len(tab.query_selector_all("#looks li")) == place + 1
    tab.focus("#place")
    tab.keyboard.press("End")
    assert tab.is_checked("input[name=unit][value='6']")
    assert "7 of 7" in state(tab)["which"]


def test_arrow_keys_choose_a_head(visit):
    tab = visit()
    tab.focus("input[name=head]:checked")
    seen = [state(tab)["whose"][:15]]
    for _ in range(3):
        tab.keyboard.press("ArrowRight")
        seen.append(state(tab)["whose"][:15])
    assert seen == ["Block 1, head 1", "Block 1, head 2", "Block 2, head 1", "Block 2, head 2"]


def test_the_pointer_shows_a_unit_and_lets_it_go(visit):
    tab = visit()
    before = state(tab)
    tab.hover(".chip >> nth=2")
    assert "unit 3" in state(tab)["whose"]
    tab.hover("h1")
    assert state(tab) == before
    tab.click(".chip >> nth=2")
    tab.hover("h1")
    assert "unit 3" in state(tab)["whose"]


def test_a_cell_of_the_picture_tells_its_number(visit, pages):
    tab = visit()
    tab.locator("#picture").scroll_into_view_if_needed()
    box = tab.locator("#heat").bounding_box()
    cell = box["width"] / 7
    tab.mouse.move(box["x"] + 0.5 * cell, box["y"] + 0.5 * cell)  # the first unit can only look at itself
    assert re.search(r"\(place 1\) looks at .*\(place 1\): 1\.00", tab.inner_text("#cell"))
    tab.mouse.move(box["x"] + 3.5 * cell, box["y"] + 0.5 * cell)
    assert tab.inner_text("#cell") == ""
    tab.mouse.click(box["x"] + 0.5 * cell, box["y"] + 2.5 * cell)
    assert "unit 3" in state(tab)["whose"]


def texts_of_tables(tab):
    return tab.evaluate("[...document.querySelectorAll('table')].map(t => t.textContent.replace(/\\s+/g, ' ').trim())")


@pytest.mark.parametrize("name", ["short", "long", "bigram"])
def test_the_script_writes_for_the_last_unit_what_stands_there_without_it(name, visit):
    with_script, without = visit(name), visit(name, java_script_enabled=False)
    if name != "bigram":
        with_script.click("#tables summary")
        with_script.focus("#place")
        with_script.keyboard.press("Home")
        with_script.keyboard.press("End")  # everything was drawn anew
    tables = [[re.sub(r"\s", "", text) for text in texts_of_tables(tab)] for tab in (with_script, without)]
    assert tables[0] == tables[1]
    assert not without.is_visible("#place")
    assert without.is_visible("#next")


def test_a_conjunct_is_whole_in_the_text_and_its_marks_stand_on_a_circle(visit):
    tab = visit()
    assert tab.evaluate("document.getElementById('prompt').childNodes.length") == 1
    assert tab.inner_text("#prompt") == PROMPT
    chips = [tab.inner_text(f".chip >> nth={i}").split("\n")[0] for i in range(7)]
    assert chips == ["ಜ", "◌್", "ಞ", "◌ಾ", "ನ", "ವ", "◌ೇ"]
    widths = tab.evaluate(
        """text => [text, [...text].join("\u200b")].map(text => {
            const span = document.createElement("span");
            span.textContent = text;
            document.getElementById("prompt").append(span);
            const width = span.getBoundingClientRect().width;
            span.remove();
            return width;
        })""",
        "ಜ್ಞ",
    )
    if widths[0] >= widths[1]:
        pytest.skip("this system has no font that joins Kannada letters")
    assert widths[0] < 0.8 * widths[1]


def luminance(color):
    channels = [int(x) / 255 for x in re.findall(r"\d+", color)[:3]]
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_light_and_dark_have_contrast(visit):
    paper = {}
    for scheme in ("light", "dark"):
        tab = visit(color_scheme=scheme)
        back = tab.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        paper[scheme] = luminance(back)
        for selector in ("h1", "p", ".soft", "caption", "td", "thead th", ".chip i", "figcaption"):
            color = tab.evaluate("s => getComputedStyle(document.querySelector(s)).color", selector)
            high, low = sorted((luminance(color), luminance(back)), reverse=True)
            assert (high + 0.05) / (low + 0.05) >= 4.5, (scheme, selector)
    assert paper["light"] > 0.8
    assert paper["dark"] < 0.05


def test_the_picture_is_drawn_again_when_light_turns_dark(visit):
    tab = visit(color_scheme="light")
    pixel = """(() => {
        const canvas = document.createElement("canvas"), context = canvas.getContext("2d");
        context.drawImage(document.getElementById("heat"), 0, 0);
        return [...context.getImageData(0, 0, 1, 1).data];
    })()"""
    light = tab.evaluate(pixel)
    assert light[3] == 255  # the first unit looks at itself alone
    tab.emulate_media(color_scheme="dark")
    tab.wait_for_function(f"light => String({pixel}) !== String(light)", arg=light, timeout=5000)


def test_nothing_moves_by_itself(visit):
    tab = visit(reduced_motion="reduce")
    tab.hover(".chip >> nth=1")
    tab.click("input[name=head] >> nth=1", force=True)
    assert tab.evaluate("document.getAnimations().length") == 0
