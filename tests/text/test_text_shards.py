import errno
import hashlib
import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hornbook.errors import UsageError
from hornbook.text import shards as module
from hornbook.text.batches import batch, starts
from hornbook.text.characters import Characters
from hornbook.text.corpora import Source
from hornbook.text.identity import Identity
from hornbook.text.settings import TextSettings
from hornbook.text.shards import Shards, open_cached, prepare
from hornbook.text.split import cut
from hornbook.text.tokenizer import TOKENIZERS
from hornbook.text.units import Fitting

DATA = Path(__file__).parents[2].parent / "shared" / "data"
TEXT = "\r\nthe quick brown fox; ಕ್ಷ \U0001f600\n" * 40


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HORNBOOK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def source(tmp_path):
    def source(text: str = TEXT) -> Source:
        path = tmp_path / "a.txt"
        path.write_bytes(text.encode("utf-8"))
        return Source("a", (path,), str(path))

    return source


def whole(shards: Shards) -> str:
    return shards.tokenizer.decode(np.concatenate([shards.train, shards.val]))


def left(cache: Path) -> list[str]:
    return sorted(path.relative_to(cache).as_posix() for path in cache.rglob("*") if path.name != "ids")


def test_the_whole_text_is_in_the_ids_and_cut_by_position(source):
    shards = prepare(source())
    assert whole(shards) == TEXT
    assert len(shards.train) == int(0.9 * len(TEXT))
    assert shards.train.dtype == np.uint8
    assert shards.tokenizer == Characters.fit([TEXT])
    data = TEXT.encode("utf-8")
    assert shards.text == Identity(hashlib.sha256(data).hexdigest(), len(TEXT), len(data))


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=4), st.floats(0.01, 0.99))
def test_any_text_and_split(tmp_path, source, text, split):
    n_train = len("".join(cut([(True, text)], int(split * len(text)))[0]))
    if len(set(text)) < 2 or not 2 <= n_train <= len(text) - 2:
        with pytest.raises(UsageError):
            prepare(source(text), TextSettings(split=split))
        return
    shards = prepare(source(text), TextSettings(split=split))
    assert whole(shards) == text
    assert (len(shards.train), len(shards.val)) == (n_train, len(text) - n_train)
    assert shards.split == split


def test_tiny_shakespeare_is_cut_where_everybody_cuts_it():
    path = DATA / "tinyshakespeare.txt"
    if not path.exists():
        pytest.skip(f"{path.name} is not on this machine")
    shards = prepare(Source("tinyshakespeare", (path,), "here"))
    assert (len(shards.train), len(shards.val)) == (1_003_854, 111_540)
    assert shards.tokenizer.vocab_size == 65
    assert whole(shards) == path.read_bytes().decode("utf-8")


@pytest.mark.parametrize(("size", "dtype"), [(256, "|u1"), (257, "<u2"), (65537, "<u4")])
def test_ids_on_disk_are_little_endian_and_as_small_as_can_be(tmp_path, source, size, dtype):
    points = [point for point in range(1, size + 2049) if not 0xD800 <= point < 0xE000][:size]
    text = "".join(map(chr, points))
    shards = prepare(source(text), TextSettings(split=0.5), folder=tmp_path / "ids")
    data = (tmp_path / "ids" / "train.bin").read_bytes() + (tmp_path / "ids" / "val.bin").read_bytes()
    assert np.frombuffer(data, dtype).tolist() == list(range(size))
    assert whole(shards) == text


def test_no_training_window_reaches_into_validation(source):
    shards = prepare(source("a" * 90 + "b" * 10))
    at = np.arange(len(shards.train) - 8)
    assert set(starts(len(shards.train), 8, 0, 0, range(500)).tolist()) == set(at.tolist())
    inputs, targets = batch(shards.train, at, 8)
    assert inputs.max() == targets.max() == 0
    assert shards.val.min() == 1


def test_ids_are_read_only_maps_of_the_files(source):
    shards = prepare(source())
    assert isinstance(shards.train, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        shards.train[0] = 1


def test_the_header_is_plain_json(tmp_path, source):
    shards = prepare(source(), folder=tmp_path / "ids")
    header = json.loads((tmp_path / "ids" / "header.json").read_text(encoding="utf-8"))
    assert header.keys() == {
        "version",
        "dtype",
        "split",
        "by",
        "train",
        "val",
        "leaked",
        "settings",
        "text",
        "tokenizer",
    }
    assert (header["train"], header["val"]) == (len(shards.train), len(shards.val))
    assert header["tokenizer"] == shards.tokenizer.to_json()


def test_ids_are_written_once_and_found_again(source, monkeypatch, cache):
    first = prepare(source())
    assert left(cache / "ids") == [
        first.key,
        *sorted(f"{first.key}/{name}" for name in ("header.json", "train.bin", "val.bin")),
    ]
    monkeypatch.setattr(module, "_write", None)
    assert prepare(source()).key == first.key
    found = open_cached(first.key)
    assert found is not None
    assert whole(found) == TEXT
    assert open_cached("0" * 64) is None


def test_text_vocabulary_and_split_each_make_another_key(source):
    keys = [
        prepare(source()),
        prepare(source(), TextSettings(split=0.8)),
        prepare(source(TEXT + "x")),
        prepare(source(TEXT[1:])),
    ]
    assert len({shards.key for shards in keys}) == 4


SPLITS = [{"split_by": "lines"}, {"split_by": "documents"}, {"split_by": "lines", "split_seed": 2}]


@pytest.mark.parametrize("how", SPLITS)
def test_lines_or_documents_go_to_one_side_each(tmp_path, how):
    paths = []
    for i in range(40):
        paths.append(tmp_path / f"{i:02}.txt")
        paths[-1].write_text("".join(f"document {i} line {j} ಕ್ಷ\n" for j in range(25)), encoding="utf-8", newline="\n")
    source = Source("many", tuple(paths), "here")
    shards = prepare(source, TextSettings("aksharas", split=0.8, **how))
    sides = [shards.tokenizer.decode(side).splitlines() for side in (shards.train, shards.val)]
    assert sorted(sides[0] + sides[1]) == sorted(
        line for path in paths for line in path.read_text("utf-8").splitlines()
    )
    assert 0.1 < len(sides[1]) / 1000 < 0.35
    if how["split_by"] == "documents":
        assert not {line[:11] for line in sides[0]} & {line[:11] for line in sides[1]}
    assert prepare(source, TextSettings("aksharas", split=0.8, **how)).folder == shards.folder
    others = [prepare(source, TextSettings("aksharas", split=0.8, **other)).key for other in [*SPLITS, {}]]
    assert len(set(others)) == 4


@pytest.mark.parametrize("kind", ["aksharas", "graphemes", "characters"])
def test_documents_without_a_line_end_do_not_grow_together(tmp_path, kind):
    """Else ಕ್ at the end of one and ತ at the beginning of another, on one side, would be a letter that no text has."""
    paths = []
    for i, letter in enumerate("ತನಮರಲವಶಸಹಳ" * 3):
        paths.append(tmp_path / f"{i:02}.txt")
        paths[-1].write_text(f"{letter}ೆ ಕ್", encoding="utf-8", newline="\n")
    source = Source("many", tuple(paths), "here")
    shards = prepare(source, TextSettings(kind, split=0.5, split_by="documents", normal="NFC"))
    assert sorted(whole(shards).splitlines()) == sorted(path.read_text("utf-8") for path in paths)


def test_a_choice_looks_at_more_than_the_first_document(tmp_path):
    (tmp_path / "0 README.txt").write_text("An English title here\n", encoding="utf-8")
    (tmp_path / "1.txt").write_text("ಕನ್ನಡ ಭಾಷೆ ಸುಂದರ\n" * 20, encoding="utf-8")
    (tmp_path / "2.jsonl").write_text('{"text": "English"}\n' + '{"text": "ಕನ್ನಡ ಭಾಷೆ ಸುಂದರ"}\n' * 20, encoding="utf-8")
    for names in (["0 README.txt", "1.txt"], ["2.jsonl"]):
        source = Source("a", tuple(tmp_path / name for name in names), "here")
        assert prepare(source, TextSettings("auto")).tokenizer.name == "aksharas"


def test_a_folder_that_holds_anything_is_not_written_into(tmp_path, source, monkeypatch):
    (tmp_path / "ids").mkdir()
    (tmp_path / "ids" / "train.bin").write_bytes(b"123")
    (tmp_path / "file").touch()
    for name in ("ids", "file"):
        with pytest.raises(UsageError, match=rf"{name} is there already, and not an empty folder; name another"):
            prepare(source(), folder=tmp_path / name)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(UsageError, match="is where you are; name a new folder in it"):
        prepare(source(), folder=Path())
    monkeypatch.chdir(tmp_path)
    assert prepare(source(), folder=Path("empty")).folder == Path("empty")
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_two_at_once_into_one_folder(tmp_path, source, monkeypatch):
    """The second finds it taken when it is done, and leaves what the first wrote as it is."""
    real, begun = module._write, list[bool]()

    def write(folder, plan):
        real(folder, plan)
        if not begun:
            begun.append(True)
            prepare(source("another text, " * 9), folder=tmp_path / "ids")

    monkeypatch.setattr(module, "_write", write)
    with pytest.raises(UsageError, match="ids is there already"):
        prepare(source(), folder=tmp_path / "ids")
    assert whole(Shards.open(tmp_path / "ids")) == "another text, " * 9
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


@pytest.mark.parametrize("by", ["position", "lines", "documents"])
def test_merges_are_learned_from_what_is_to_train_on_and_characters_from_all(tmp_path, source, by):
    lines = [f"the {n} quick brown foxes\n" for n in range(50)] + ["zzzzzz zzzzzz\n"] * 50
    paths = [tmp_path / f"{i:02}.txt" for i in range(100)]
    for path, line in zip(paths, lines, strict=True):
        path.write_text(line, encoding="utf-8", newline="\n")
    asked = Source("a", tuple(paths), "here")
    made = prepare(asked, TextSettings("bpe", vocab_size=60, split=0.5, split_by=by))
    train = made.tokenizer.decode(made.train)
    alone = TOKENIZERS["bpe"].fit([train], Fitting(60), dict.fromkeys("".join(lines), 9))
    assert made.tokenizer.merges == alone.merges
    assert any("zz" in left + right for left, right, _ in alone.merges) == ("zz" in train)
    assert set("".join(lines)) <= set(made.tokenizer.units)
    assert len(whole(made)) == len("".join(lines))


@pytest.mark.parametrize("at", [0.5, 0.9])
def test_every_tokenizer_is_tested_on_the_same_text(source, at):
    """It begins at the same character, and no letter is cut in two."""
    text = "ಜ್ಞಾನವೇ ಶಕ್ತಿ; ಸ್ತ್ರೀ, 🇮🇳👩‍🏫\r\nand cafe\u0301s " * 30
    begins = set()
    for kind in ("characters", "graphemes", "aksharas", "bytes", "bpe"):
        made = prepare(source(text), TextSettings(kind, split=at))
        begins.add(made.tokenizer.decode(made.val))
        assert whole(made) == text
    assert len(begins) == 1
    assert 0 <= len(begins.pop()) - (len(text) - int(at * len(text))) + 20 <= 20


def test_documents_count_among_what_documents_are_split_by(tmp_path):
    """The same text, cut into other files: other sides, and so other ids."""
    keys = []
    for size in (10, 20):
        paths = []
        for i in range(0, 400, size):
            paths.append(tmp_path / f"{size}-{i:03}")
            paths[-1].write_text("".join(f"word {j}\n" for j in range(i, i + size)), encoding="utf-8", newline="\n")
        keys.append(prepare(Source("a", tuple(paths), "here"), TextSettings(split_by="documents")))
    assert keys[0].text == keys[1].text
    assert keys[0].key != keys[1].key


def test_one_document_can_not_be_split_by_documents(source, cache):
    with pytest.raises(UsageError, match=r"0\.9 by documents cuts the text's \d+ ids into (\d+ to train on and 0|0 )"):
        prepare(source(), TextSettings(split_by="documents"))
    assert left(cache) == []


def test_what_leaks_is_written_down(source):
    rng = np.random.default_rng(1)
    text = "".join(map(chr, rng.integers(97, 123, 20_000)))
    assert prepare(source(text)).leaked == 0
    assert prepare(source(text[:19_000] + text[:1000])).leaked == pytest.approx(0.5, abs=0.01)
    kannada = "".join(map(chr, rng.integers(0xC95, 0xCB9, 20_000)))
    for kind in ("bytes", "aksharas"):  # a stretch of 40 characters is 120 bytes
        assert prepare(source(kannada[:19_000] + kannada[:1000]), TextSettings(kind)).leaked == pytest.approx(
            0.5, abs=0.01
        )
        assert prepare(source(kannada[:19_000] + kannada[:30] + kannada[19_030:]), TextSettings(kind)).leaked == 0
    assert prepare(source("a line that comes again and again, of more than forty characters\n" * 50)).leaked == 1


def test_the_share_of_the_unknown_is_told(source):
    text = "ab" * 4_500 + "ab" * 450 + "cdefghijkl" * 10
    shards = prepare(source(text), TextSettings(min_count=100, rare="unknown"))
    assert shards.unknown == pytest.approx(100 / len(shards.val))
    assert prepare(source(text)).unknown == 0


@pytest.mark.parametrize(
    ("text", "name"), [("ಕನ್ನಡ and", "aksharas"), ("some ಕನ್ನಡ", "characters"), ("ไทย 漢字", "characters")]
)
def test_the_text_can_choose_its_tokenizer(source, text, name):
    assert prepare(source(text * 9), TextSettings("auto")).tokenizer.name == name


def test_a_folder_of_ones_own_is_never_written_over(tmp_path, source, cache):
    folder = tmp_path / "deep" / "ids"
    assert prepare(source(), folder=folder).folder == folder
    assert not cache.exists()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(UsageError, match="is there already, and not an empty folder; name another"):
        prepare(source(TEXT * 2), folder=folder)
    assert before == {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("text", "split", "says"),
    [
        ("", 0.9, "the text is empty"),
        ("a", 0.9, "nothing but 'a': nothing to predict"),
        ("\n" * 50, 0.9, "nothing but '\\n': nothing to predict"),
        ("ab", 0.5, "split 0.5 cuts the text's 2 ids into 1 to train on and 1 to validate on"),
        ("ab" * 9, 0.9, "18 ids into 16 to train on and 2 to validate on"),
        ("ab" * 9, 0.95, "18 ids into 17 to train on and 1 to validate on, and each needs at least 2"),
        ("ab" * 9, 0.1, "18 ids into 1 to train on and 17"),
        ("ab" * 9, 0.0, "split is 0.0, and must lie between 0 and 1"),
        ("ab" * 9, 1.0, "split is 1.0"),
        ("ab" * 9, 1.5, "split is 1.5"),
        ("ab" * 9, float("nan"), "split is nan"),
    ],
)
def test_texts_too_small_to_learn_from(source, cache, tmp_path, text, split, says):
    if says.endswith("2 to validate on"):
        assert len(prepare(source(text), TextSettings(split=split)).val) == 2
        return
    for folder in (None, tmp_path / "ids"):
        with pytest.raises(UsageError) as error:
            prepare(source(text), TextSettings(split=split), folder=folder)
        assert says in str(error.value)
        assert "\n" not in str(error.value)
        assert left(cache) == left(tmp_path / "ids") == []


@pytest.mark.parametrize("second", [TEXT + "a", TEXT[::-1], TEXT + "Q", TEXT[:-1], "", "\0", None])
def test_a_text_that_changes_between_the_passes_is_refused(source, cache, second, monkeypatch):
    asked = source()
    fit = Characters.fit

    def fit_then_change(chunks, fitting):
        result = fit(chunks, fitting)
        asked.paths[0].unlink() if second is None else source(second)
        return result

    monkeypatch.setattr(Characters, "fit", fit_then_change)
    with pytest.raises(UsageError, match="changed while it was being read; leave it alone and start again"):
        prepare(asked)
    assert left(cache) == []


@pytest.mark.parametrize("fails", ["fsync", "_write_ids"])
def test_a_full_disk_leaves_nothing_behind(source, cache, tmp_path, monkeypatch, fails):
    def full(*args, **keywords):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(*((os, fails) if fails == "fsync" else (module, fails)), full)
    for folder in (None, tmp_path / "ids"):
        with pytest.raises(OSError, match="No space left"):
            prepare(source(), folder=folder)
    assert left(cache) == left(tmp_path / "ids") == []


def test_what_a_killed_process_was_making_is_swept_after_a_day(source, cache):
    root = cache / "ids"
    for name, folder_age, file_age in (("dead", 2, 2), ("busy", 2, 0), ("new", 0, 2)):
        making = root / f".making-{name:0>8}"
        making.mkdir(parents=True)
        (making / "train.bin").write_bytes(b"\0")
        for path, age in ((making / "train.bin", file_age), (making, folder_age)):
            os.utime(path, times=(time.time() - age * module.A_DAY,) * 2)
    prepare(source())
    assert sorted(path.name for path in root.glob(".making-*")) == [".making-00000new", ".making-0000busy"]


def test_whoever_renames_first_wins(source, cache, monkeypatch):
    inner = module._write
    others = []

    def overtaken(*args):
        inner(*args)
        monkeypatch.setattr(module, "_write", inner)
        others.append(prepare(source()))

    monkeypatch.setattr(module, "_write", overtaken)
    shards = prepare(source())
    assert whole(shards) == TEXT
    assert shards.folder == others[0].folder
    assert len(left(cache)) == 4


def test_progress_goes_to_the_end_in_each_pass(source):
    seen = []
    prepare(source(), progress=lambda done, total: seen.append(done == total))
    assert sum(now and not then for then, now in zip([False, *seen], seen, strict=False)) >= 1
    assert seen[-1]


def damage_header(**changes):
    def damage(folder: Path) -> None:
        path = folder / "header.json"
        header = json.loads(path.read_text(encoding="utf-8")) | changes
        path.write_text(json.dumps({k: v for k, v in header.items() if v is not None}), encoding="utf-8")

    return damage


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda folder: (folder / "train.bin").write_bytes(b"123"), "train.bin has 3 bytes, not "),
        (lambda folder: (folder / "val.bin").write_bytes(b""), "val.bin has 0 bytes, not "),
        (lambda folder: (folder / "val.bin").unlink(), "does not hold prepared text: it has no val.bin"),
        (lambda folder: (folder / "header.json").unlink(), "it has no header.json"),
        (lambda folder: (folder / "header.json").write_text("{", encoding="utf-8"), "is damaged: Expecting"),
        (lambda folder: (folder / "header.json").write_text("[]", encoding="utf-8"), "is damaged: "),
        (lambda folder: (folder / "header.json").write_bytes(b"\xff"), "is damaged: "),
        (damage_header(version=1), "its version is 1, and this program reads 2"),
        (damage_header(dtype="uint16"), "ids of 'uint16' don't go with its vocabulary"),
        (damage_header(split=None), "its header does not say 'split'"),
        (damage_header(by=["lines"]), "is damaged: "),
        (damage_header(leaked="much"), "is damaged: "),
        (damage_header(text={"sha256": "0"}), "is damaged: "),
        (damage_header(tokenizer={"kind": "characters", "units": ["aa"]}), "is damaged: damaged vocabulary"),
    ],
)
def test_damage_is_seen_when_opening(source, damage, says):
    folder = prepare(source()).folder
    damage(folder)
    with pytest.raises(UsageError) as error:
        Shards.open(folder)
    assert says in str(error.value)
    assert "\n" not in str(error.value)
    again = prepare(source())  # it is only a cache: it is made anew
    assert (again.folder, whole(again)) == (folder, TEXT)


def test_ids_under_a_wrong_key_are_not_taken(source):
    folder = prepare(source()).folder
    shutil.copytree(folder, folder.parent / ("1" * 64))
    assert open_cached("1" * 64) is None
    assert not (folder.parent / ("1" * 64)).exists()
    assert open_cached(folder.name)


def test_what_is_no_folder_of_ids(tmp_path, source):
    for path in (tmp_path / "none", tmp_path, source().paths[0]):
        with pytest.raises(UsageError, match=r"does not hold prepared text: it has no header\.json"):
            Shards.open(path)
