"""`hornbook prepare --look`: what a person, a program and a browser are told of a text; and that nothing is written."""

from pathlib import Path

SECTIONS = [
    "Size",
    "Scripts",
    "Normal form",
    "Invisible, broken or suspicious",
    "Rare units",
    "Validation text that is in the training text",
    "What size of model it can feed",
    "Tokenizers",
    "Words",
]


def names(folder):
    return sorted(path.relative_to(folder) for path in folder.rglob("*"))


def test_it_tells_in_plain_words_and_writes_nothing(hornbook, desk):
    before = names(desk.parent)
    answer = hornbook("prepare", "kn.txt", "--look")
    assert (answer.code, answer.err) == (0, "")
    assert names(desk.parent) == before
    assert [line.split("──")[1].strip() for line in answer.out.splitlines() if line.startswith("──")] == SECTIONS
    assert "Take aksharas, as quick does: most letters are Kannada" in answer.out
    assert "The nearest presets: " in answer.out
    assert "Kannada" in answer.out


def test_json_says_the_same_to_a_program(hornbook, desk):
    text = (desk / "kn.txt").read_text(encoding="utf-8")
    answer = hornbook("prepare", "kn.txt", "--look", "--json")
    assert answer.code == 0
    assert answer.json["characters"] == len(text)
    assert answer.json["bytes"] == len(text.encode())
    assert answer.json["advised"] == "aksharas"
    assert 0 < answer.json["leak"]["share"] <= 1
    assert {row["tokenizer"] for row in answer.json["tokenizers"]} >= {"characters", "graphemes", "aksharas", "bytes"}


def test_a_page_is_written_where_one_is_asked_for(hornbook, desk):
    answer = hornbook("prepare", "kn.txt", "--look", "--html", "look.html")
    assert answer.code == 0
    html = (desk / "look.html").read_text(encoding="utf-8")
    assert answer.out == f"look.html: {len(html.encode()):,} bytes\n"
    assert "ಕನ್ನಡ" in html.replace('</bdi> <bdi lang="">', "")
    both = hornbook("prepare", "kn.txt", "--look", "--html", "look.html", "--json")
    assert both.json["different"] == answer_of(hornbook, "kn.txt")["different"]
    assert both.err.startswith("look.html: ")


def answer_of(hornbook, text):
    return hornbook("prepare", text, "--look", "--json").json


def test_it_looks_at_the_text_as_it_would_be_prepared(hornbook, desk):
    (desk / "nfd.txt").write_text("cafe\u0301 " * 100, encoding="utf-16")
    as_it_is = answer_of(hornbook, "nfd.txt")
    assert as_it_is["normal"] == {"NFC": False, "NFD": True}
    brought = hornbook("prepare", "nfd.txt", "--look", "--json", "--set", "text.normal=NFC").json
    assert brought["normal"] == {"NFC": True, "NFD": False}
    assert brought["characters"] == as_it_is["characters"] - 100


def test_an_empty_text_is_looked_at_too(hornbook, desk):
    (desk / "empty.txt").write_bytes(b"")
    assert answer_of(hornbook, "empty.txt")["characters"] == 0
    assert hornbook("prepare", "empty.txt", "--look").code == 0


def test_nothing_in_a_text_reaches_the_terminal_as_it_is(hornbook, desk):
    (desk / "odd.txt").write_text("\u202e\x1b[31m\u2066 \ufffd [bold]" * 20, encoding="utf-8")
    answer = hornbook("prepare", "odd.txt", "--look")
    assert answer.code == 0
    assert not set("\x1b\u202e\u2066\u2068\u2069") & set(answer.out)
    assert "⟨U+202E⟩" in answer.out


def test_what_does_not_go_together_is_refused(refuses):
    refuses("prepare", "my.txt", "--html", "look.html", says="--html goes with --look")
    refuses("prepare", "my.txt", "--look", "--out", "ids", says="--look writes no ids: leave out --out, or --look")
    refuses("prepare", "my.txt", says="say where to write: --out FOLDER; or look at the text first: --look")
    for name in ("my.txt", "runs/../my.txt"):
        refuses("prepare", "kn.txt", "my.txt", "--look", "--html", name, says="over the text itself, ")
    for words in (("text.min_count=3",), ("text.rare=bytes",), ("text.split_by=lines", "text.split_seed=1")):
        says = f"on all units, split by position: leave out {words[0].partition('=')[0]}."
        refuses("prepare", "my.txt", "--look", "--set", *words, says=says)
    refuses("prepare", "my.txt", "--look", "--html", "none/look.html", says="can't write none/look.html")


def test_a_text_with_nothing_rare_ends_its_sentence(hornbook):
    said = hornbook("prepare", "my.txt", "--look").out
    assert "characters come once in the whole text, 0 twice." in said
    assert not [line for line in said.splitlines() if line.endswith(": ")]
    assert "twice: ⟨U+000A⟩" in answer_in_words(hornbook, "a b\n" + "a b " * 50)


def answer_in_words(hornbook, text):
    Path("rare.txt").write_text(text, encoding="utf-8")
    return hornbook("prepare", "rare.txt", "--look").out
