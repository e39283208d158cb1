"""What is said of a text before a model sees it: that it is right, in plain words, and that no text breaks it."""

import json
import re
import unicodedata
from collections import Counter
from dataclasses import asdict
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from hornbook.text import look as module
from hornbook.text.look import SCRIPTS, look
from hornbook.text.look_page import page, shown, terminal
from hornbook.text.tokenizer import TOKENIZERS

PRESETS = {"small": 200_000, "large": 10_000_000}
KANNADA = "ಕನ್ನಡ ಭಾಷೆಯ ಅಕ್ಷರಗಳು ಸುಂದರವಾಗಿವೆ. ನಮ್ಮ ನಾಡು ನಮ್ಮ ನುಡಿ, ಎಲ್ಲರೂ ಓದಲಿ.\n"
FRENCH = "« L’été\xa0», dit-il\xa0: «\xa0voilà\xa0» — où ça\xa0? À l’école… café™, déjà²; Noël, l’œuf, MAÇON\n"
GERMAN = "„Spaß“, sagte er: »Maß²«, süß… ‚Gruß‘ – Äpfel, Öl, Übel\n"
PORTUGUESE = "NÃO “AMANHÔ disse a IRMÃ\xa0» MAÇÃ… coração, avó, AVÔ, pão\n"
VIETNAMESE = "Tất cả mọi người sinh ra đều được hưởng tự do và bình đẳng về nhân phẩm: “Ầ”, Ã, Â, ơ\n"
UKRAINIAN = "Її ґанок є; Різні Січ «Рід» — українська мова, сім’я №\xa05\n"


def seen(*pieces):
    return look(lambda: iter(pieces))


def said(text):
    return "\n".join(terminal(seen(text), PRESETS))


def found(text):
    return {name: each.count for name, each in seen(text).findings.items()}


def test_size_scripts_and_form():
    it = seen(KANNADA + "Hello, Привет 12\n")
    assert (it.characters, it.bytes) == (len(KANNADA) + 17, len((KANNADA + "Hello, Привет 12\n").encode()))
    assert (it.lines, it.longest_line, it.different) == (2, len(KANNADA) - 1, len(set(KANNADA + "Hello, Привет 12\n")))
    assert it.scripts == {"Kannada": sum("\u0c80" <= c <= "\u0cff" for c in KANNADA), "Cyrillic": 6, "Latin": 5}
    assert it.others == {
        "digits": 2,
        "spaces and line ends": sum(c in " \n" for c in KANNADA) + 3,
        "punctuation and symbols": 4,
        "invisible": 0,
    }
    assert (it.conjuncts, it.advised) == ("Kannada", "aksharas")
    assert seen("Hello").advised == "characters"


def test_every_script_named_is_one_that_regex_knows():
    assert len(set(SCRIPTS)) == len(SCRIPTS)
    for script in SCRIPTS:
        regex.compile(rf"\p{{Script={script}}}")


@pytest.mark.parametrize(
    ("text", "forms"),
    [
        ("abc", (True, True)),
        ("café", (True, False)),
        ("cafe\u0301", (False, True)),
        ("é e\u0301 \u212b", (False, False)),
    ],
)
def test_normal_forms(text, forms):
    it = seen(text)
    assert (it.normal["NFC"], it.normal["NFD"]) == forms
    assert ("--set text.normal=NFC" in said(text)) == (not forms[0])


def test_words_that_are_not_in_nfc_are_counted_and_placed():
    finding = seen("ab\ncafe\u0301 x cafe\u0301\ny \u212b").findings["words not in normal form NFC"]
    assert (finding.count, finding.line, finding.column) == (3, 2, 1)


@pytest.mark.parametrize(
    ("name", "text", "line", "column"),
    [
        ("byte order marks inside", "ab\nc\ufeffd", 2, 2),
        ("zero width spaces out of place", "in\u200bvisible", 1, 3),
        ("zero width joiners out of place", "a\u200db", 1, 2),
        ("zero width joiners out of place", "x\ny\nz\u200c", 3, 2),
        ("soft hyphens", "hy\u00adphen", 1, 3),
        ("bidirectional controls", "a\u202eb", 1, 2),
        ("no-break spaces", "a\u00a0b", 1, 2),
        ("lone surrogates", "a\ud800b", 1, 2),
        ("control characters", "a\x07b", 1, 2),
        ("carriage returns", "ab\r\n", 1, 3),
        ("private use characters", "a\ue000", 1, 2),
        ("noncharacters", "a\ufdd0", 1, 2),
        ("unassigned code points", "a\U0003fffd", 1, 2),
        ("replacement characters", "a\ufffd", 1, 2),
        ("other invisible characters", "a\u2060b", 1, 2),
        ("marks without a base", "a \u0cbe", 1, 3),
        ("Greek or Cyrillic beside Latin letters", "the p\u0430ypal", 1, 6),
    ],
)
def test_what_is_invisible_or_suspicious_is_counted_and_placed(name, text, line, column):
    finding = seen("fine\n" + text).findings[name]
    assert (finding.count, finding.line, finding.column) == (1, line + 1, column)
    assert found(text) == {name: 1}
    assert name in said(text)
    if not regex.search(r"\p{L}|\p{M}", finding.context[-1]):
        assert "⟨U+" in said(text) or name == "replacement characters"


@pytest.mark.parametrize(
    "text", ["ಆಫ್\u200cಲೈನ್", "ರ\u200d್ಯ", "می\u200cخواهم", "👩\u200d💻", "สวัสดี\u200bครับ", "श्री\u200dमान"]
)
def test_joiners_in_their_place_are_told_apart(text):
    assert found(f"so {text} ok") == {"zero width characters in place": 1}


@pytest.mark.parametrize(
    "text", [KANNADA, FRENCH, GERMAN, PORTUGUESE, VIETNAMESE, UKRAINIAN, "中文，“好”。日本語ー\n", "abc\n"]
)
@pytest.mark.parametrize("times", [1, 40])
def test_normal_text_is_no_mojibake(text, times):
    assert not [name for name in found(text * times) if "likely" in name]


@pytest.mark.parametrize("codec", ["cp1252", "latin-1", "cp1251", "mac_roman"])
@pytest.mark.parametrize(
    "text", [KANNADA, "été, déjà vu, Noël: ça alors, où êtes-vous\n", "Привет, мир! Как дела сегодня?\n"]
)
def test_utf8_that_was_read_as_something_else_is_told(codec, text):
    wrong = "".join(bytes([byte]).decode(codec, "ignore") or chr(byte) for byte in text.encode())
    (finding,) = (each for name, each in seen(wrong).findings.items() if "likely" in name)
    assert finding.what == f"likely UTF-8 that was read as {codec.replace('latin-1', 'cp1252')}"
    meant = finding.context.partition(" → ")[2]
    assert any(word in meant for word in regex.findall(r"\X\X", text))


def test_a_little_mojibake_in_much_good_text_is_told():
    assert "likely UTF-8 that was read as cp1252" in found(
        FRENCH * 100 + "dÃ©jÃ\xa0 vu, naÃ¯f Ã©tÃ©, lâ€™Å“uf, Ã±, Ãª, Ã§"
    )


def test_other_broken_texts_are_told():
    assert found("PÀ£ÀßqÀ ¨sÁµÉ PÀ£ÁðlPÀ gÁdå") == {"likely Kannada in the font encoding of Nudi or Baraha": 5}
    swapped = "hello world, this is it\n".encode("utf-16-be").decode("utf-16-le")
    assert "likely UTF-16 with its bytes swapped" in found(swapped)
    assert "likely ASCII that was read as UTF-16" in found(
        b"this app can break it all, you know how, now".decode("utf-16-le", "ignore")
    )


def test_leaked_validation_text_is_told():
    lines = "".join(
        f"{number} is {number * number} and nothing else is to be said about it here\n" for number in range(50)
    )
    it = seen(lines + "x" * 500 + lines[:400])
    start = int(0.9 * it.characters)
    assert it.leaked in lines
    assert it.leak.share == pytest.approx(len(it.leaked) / (it.characters - start), abs=0.01)
    assert "of at least 40 that the training text has too." in said(lines + lines).replace("\n  ", " ")


def test_tokenizers_are_compared():
    text = KANNADA * 3
    it = seen(text)
    rows = {row.tokenizer: row for row in it.tokenizers}
    assert list(rows) == [name for name in TOKENIZERS if not any(each.startswith(name) for each in it.missing)]
    characters, aksharas, data = rows["characters"], rows["aksharas"], rows["bytes"]
    assert (characters.units, characters.ids) == (len(set(text)), len(text))
    marks = sum(unicodedata.category(c).startswith("M") for c in text)
    assert (characters.torn, aksharas.torn) == (marks, 0)
    assert (data.units, data.ids) == (256, len(text.encode()))
    assert data.torn == len(text.encode()) - (len(text) - marks)
    p = np.array(list(Counter(text).values())) / len(text)
    assert characters.bits == pytest.approx(-(p * np.log2(p)).sum())
    assert aksharas.bits < characters.bits
    for word in zip(*(row.words for row in (characters, rows["graphemes"], aksharas)), strict=True):
        assert len({"".join(units) for units in word}) == 1
    assert it.parameters == aksharas.ids * 4 // 20
    once = seen("aab").tokenizers[0]
    assert (once.once, once.twice, once.rare) == (1, 1, ["a", "b"])


def test_a_long_text_is_compared_by_its_beginning_and_it_is_said(monkeypatch):
    monkeypatch.setattr(module, "SAMPLE", 1_000)
    it = seen(KANNADA * 10, KANNADA * 10)
    assert (it.sample, it.characters) == (1_000, 20 * len(KANNADA))
    assert "its first 1,000 characters, a sample" in "\n".join(terminal(it, PRESETS)).replace("\n  ", " ")


@settings(deadline=None, max_examples=15)
@given(
    text=st.text(
        st.sampled_from("ab\n\r \u200d\u0cbe\u0c95à²…é\u0301\u0430\u200b") | st.characters(codec=None), max_size=200
    ),
    cuts=st.lists(st.integers(0, 200), max_size=3),
)
def test_it_does_not_matter_how_a_text_was_cut(text, cuts):
    ends = [0, *sorted(cuts), len(text)]
    pieces = [text[start:end] for start, end in pairwise(ends)]
    assert asdict(seen(*pieces)) == asdict(seen(text))


def test_pieces_are_cut_between_words(monkeypatch):
    text = "".join(f"ab\u0430c e\u0301 {KANNADA} \u0cbe x\r\n" for _ in range(9))
    whole = seen(text)
    monkeypatch.setattr(module, "PIECE", 50)
    pieces = seen(*(text[i : i + 7] for i in range(0, len(text), 7)))
    assert asdict(pieces) == asdict(whole)


class Strict(HTMLParser):
    """Collects tags, and the text between them."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text = set(), ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags |= {tag, *(name for name, _ in attrs)}

    def handle_data(self, data):
        self.text += data


HOSTILE = {
    "nothing": "",
    "one character": "a",
    "only marks": "\u0cbe\u0301" * 300,
    "only line ends": "\n" * 1000,
    "binary": bytes(range(256)).decode("latin-1") * 20,
    "bidi": "\u2066\u2067\u2068\u2069\u200f\u202e" * 20,
    "right to left": "שלום עולם مرحبا بالعالم " * 20,
    "markup": "<script>alert(1)</script>&amp;\"'<bdi>`${x}%s[bold]{}" * 20,
    "NUL": "a\0" * 50,
    "surrogates": "\ud800\udc00a" * 20,
    "many different": "".join(map(chr, range(0x20, 0x3000))),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_text_breaks_what_is_shown(name):
    it = seen(HOSTILE[name])
    json.dumps(asdict(it))
    lines = list(terminal(it, {}))
    assert not [line for line in lines if regex.search(r"\p{C}", line)]
    html = page(it, f"<{name}>.txt", PRESETS)
    parsed = Strict(html)
    assert parsed.tags == {
        *("html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "p", "div", "table", "tr", "th", "td"),
        *("bdi", "lang", "charset", "name", "content", "http-equiv"),
    }
    assert f"<{name}>.txt" in parsed.text
    assert not regex.search(r"(?V1)[\p{C}--\n]", html)
    assert not re.search(r"url\(|src=|href=|@import", html)
    assert html.count("<bdi") == html.count("</bdi>")
    html.encode("utf-8")


def test_own_letters_are_shown_apart():
    assert shown("a\u200b\u0cbe b") == "\u2068a⟨U+200B⟩◌\u0cbe b\u2069"
    assert shown("\u2069</bdi>") == "\u2068⟨U+2069⟩</bdi>\u2069"
    assert "First at 1:1, ◌ಾ" in said("\u0cbe").replace("\n  ", " ")


def test_a_tokenizer_that_can_not_be_is_named(monkeypatch):
    from hornbook.errors import UsageError
    from hornbook.text.characters import Characters

    class Picky(Characters):
        name = "picky"

        @classmethod
        def fit(cls, chunks):
            raise UsageError("not for this text")

    monkeypatch.setattr(module, "TOKENIZERS", {"characters": Characters, "picky": Picky})
    assert seen("abc").missing == ["picky: not for this text"]
    assert "Left out, picky: not for this text" in said("abc")
