"""What `fuzz.py` feeds: readers, each with inputs that are right and with what it promises for all others."""

import contextlib
import gzip
import hashlib
import io
import json
import math
import os
import shutil
import struct
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from copy import copy
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cyclopts
import torch
from safetensors.torch import load as from_safetensors
from safetensors.torch import save as to_safetensors

from fuzz import printable
from hornbook import api, planning, run, story
from hornbook.cli import VERBS, app
from hornbook.errors import UsageError
from hornbook.generation.sampling import Sampling, draw, probabilities
from hornbook.lab import compare, picture
from hornbook.model.build import build
from hornbook.model.config import ModelConfig
from hornbook.model.count import count_config
from hornbook.model.weights import load_weights
from hornbook.presets import GROUPS as SETTINGS
from hornbook.presets import PRESETS, Preset, find_preset
from hornbook.runs import checkpoints, log
from hornbook.runs.checkpoints import MANIFEST, OPTIMIZER, STATE, WEIGHTS, Checkpoint
from hornbook.runs.folder import RunFolder
from hornbook.settings import meanings, parse_pairs, read_settings, read_toml
from hornbook.text import corpora, look, reading, shards
from hornbook.text.corpora import Source
from hornbook.text.reading import MARKS, read_chunks, read_documents, text_codec
from hornbook.text.settings import TextSettings
from hornbook.text.shards import HEADER, Shards
from hornbook.text.tokenizer import TOKENIZERS, from_json
from hornbook.text.units import Fitting
from hornbook.trace import show, source
from hornbook.training import memory
from hornbook.training.devices import choose_dtype
from hornbook.training.task import Task

One = Callable[[bytes], str]
SetUp = Callable[[], AbstractContextManager[tuple[One, Sequence[bytes]]]]

WORDS = "to be or not to be that is the question\r\nwhether tis nobler in the mind to suffer\n" * 30
KANNADA = "ಕನ್ನಡ ಭಾಷೆಯ ಅಕ್ಷರಗಳು ಸುಂದರವಾಗಿವೆ. e\u0301 😀\n"
SAYS = "a checkpoint of other weights was read"


@dataclass(frozen=True)
class Target:
    """A reader: what sets it up, and words that mean something to it."""

    set_up: SetUp
    words: Sequence[bytes] = ()


def folder_of_its_own() -> tempfile.TemporaryDirectory[str]:
    """Return a folder that goes away again, in memory where the system has such."""
    memory = Path("/dev/shm")
    return tempfile.TemporaryDirectory(
        prefix="fuzz-", dir=memory if os.access(memory, os.W_OK) else None, ignore_cleanup_errors=True
    )


@contextmanager
def at(folder: Path) -> Iterator[None]:
    """Make a folder the working folder, with a cache beside it."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        with patch.dict(os.environ, {"HORNBOOK_CACHE": str(folder.parent / "cache")}):
            yield
    finally:
        os.chdir(before)


@contextmanager
def trained() -> Iterator[Path]:
    """Give a folder that holds a text, a run trained on it, ids, and a file of settings."""
    small = {"n_embd": 8, "n_layer": 1, "n_head": 2, "block_size": 8}
    settings: dict[str, Any] = {f"model.{name}": value for name, value in small.items()}
    settings |= {"recipe.sample_length": 4, "recipe.evaluate_on": 60, "recipe.batch_size": 2}
    with folder_of_its_own() as name:
        folder = Path(name) / "desk"
        folder.mkdir()
        with at(folder):
            Path("my.txt").write_text(WORDS, encoding="utf-8", newline="")
            Path("my.toml").write_text("[model]\nn_layer = 2\n", encoding="utf-8")
            api.train("my.txt", out="run", settings=settings, steps=2, dtype="float32", progress=False)
            shards.prepare(corpora.resolve(["my.txt"]), folder=Path("ids"))
        yield folder


@contextmanager
def stubbed(*stubs: tuple[Any, str, Any]) -> Iterator[None]:
    """Put other things into modules, for as long as one execution takes."""
    before = [getattr(place, name) for place, name, _ in stubs]
    for place, name, stub in stubs:
        setattr(place, name, stub)
    try:
        yield
    finally:
        for (place, name, _), own in zip(stubs, before, strict=True):
            setattr(place, name, own)


def keys(words: str) -> list[bytes]:
    """Return words as JSON has them."""
    return [f'"{word}"'.encode() for word in words.split()]


# --- checkpoints, and what else was written before -------------------------------------------------------------------


@contextmanager
def a_checkpoint() -> Iterator[tuple[RunFolder, Checkpoint]]:
    """Save a small checkpoint."""
    with folder_of_its_own() as name:
        folder = RunFolder(Path(name))
        weights = {"a.weight": torch.arange(6.0).view(2, 3), "b": torch.ones(1), "c": torch.zeros(0, 2)}
        saved = checkpoints.save(folder, 3, weights, {"a.step": torch.tensor(3.0)}, {"step": 3, "best": 1.5, "è": [1]})
        yield folder, saved


def mended(path: Path, name: str, data: bytes) -> None:
    """Put other bytes into a checkpoint, and their hash into its manifest."""
    (path / name).write_bytes(data)
    manifest = json.loads((path / MANIFEST).read_bytes())
    manifest["files"][name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    (path / MANIFEST).write_bytes(json.dumps(manifest, ensure_ascii=False, indent=2).encode() + b"\n")


@contextmanager
def manifests() -> Iterator[tuple[One, Sequence[bytes]]]:
    """A manifest: what is read as whole is what was saved."""
    with a_checkpoint() as (folder, saved):
        right, path = saved.weights(), saved.path / MANIFEST

        def one(data: bytes) -> str:
            path.write_bytes(data)
            found = checkpoints.latest(folder, lambda line: None)
            assert checkpoints.all_checkpoints(folder) == [found]
            assert found.step == 3, SAYS
            read = found.weights()
            assert read.keys() == right.keys(), SAYS
            assert all(torch.equal(read[key], right[key]) for key in right), SAYS
            found.state()
            return "read"

        yield one, [path.read_bytes()]


@contextmanager
def tensors() -> Iterator[tuple[One, Sequence[bytes]]]:
    """A file of weights whose hash is right."""
    model = build(PRESETS["bigram"].model_config(3), 1)
    with a_checkpoint() as (_, saved):

        def one(data: bytes) -> str:
            mended(saved.path, WEIGHTS, data)
            mended(saved.path, OPTIMIZER, data)
            opened = Checkpoint.open(saved.path)
            opened.verify()
            opened.optimizer()
            found, right = opened.weights(), from_safetensors(data)
            assert found.keys() == right.keys(), "the library reads other names"
            for name, weight in found.items():
                assert weight.dtype == right[name].dtype, "the library reads another type"
                assert torch.equal(weight, right[name]), "the library reads other weights"
            try:
                load_weights(model, found)
            except UsageError:
                return "read, of another model"
            return "read"

        own = {name: weight.contiguous() for name, weight in model.state_dict().items()}
        kinds = [torch.tensor([1, 2]), torch.tensor(True), torch.tensor([0.5, float("nan")], dtype=torch.bfloat16)]
        others = {str(n): each for n, each in enumerate(kinds)}
        yield (
            one,
            [to_safetensors(own), (saved.path / WEIGHTS).read_bytes(), to_safetensors(others), to_safetensors({})],
        )


@contextmanager
def states() -> Iterator[tuple[One, Sequence[bytes]]]:
    """What else a checkpoint holds, its hash right."""
    with a_checkpoint() as (_, saved):

        def one(data: bytes) -> str:
            mended(saved.path, STATE, data)
            state = Checkpoint.open(saved.path).state()
            assert isinstance(state, dict)
            return "read"

        yield one, [(saved.path / STATE).read_bytes(), b'{"step": 3, "losses": [1.5, 2e-3], "text": "a\\u0301"}\n']


@contextmanager
def logs() -> Iterator[tuple[One, Sequence[bytes]]]:
    """A log, and what is found in it; cut off behind a step, it begins as it did."""
    with folder_of_its_own() as name:
        path = Path(name) / "log.jsonl"
        right = (
            b'{"step": 0, "train_loss": 4.2, "val_loss": 4.3}\n'
            b'{"step": 1, "batch_loss": 4.1, "gradient_norm": 1.0, "lr": 0.001}\n'
            b'{"step": 2, "train_loss": 3.9, "val_loss": 4.0}\n{"step": 2, "sample": "to be\\n\xe2\x80\xa8"}\n'
            b'{"step": 2, "final_val_loss": 3.9, "characters": 60, "bits_per_character": 5.6, "bits_per_byte": 5.6}\n'
        )

        def one(data: bytes) -> str:
            path.write_bytes(data)
            records = log.read(path)
            log.best(records)
            log.truncate_after(path, 1)
            assert log.read(path) == [record for record in records if record["step"] <= 1]
            return "read"

        yield one, [right, right[:-9], b'{"step": 1}\n']


@contextmanager
def headers() -> Iterator[tuple[One, Sequence[bytes]]]:
    """The header of prepared text, and of one that is read as prepared text all that is asked of it."""
    with folder_of_its_own() as name:
        folder = Path(name)
        text = folder / "text.txt"
        text.write_bytes((WORDS + KANNADA * 9).encode())
        found = Source("text", (text,), "text")
        settings = TextSettings("graphemes", min_count=9, rare="unknown", split_by="lines")
        made = shards.prepare(found, settings, folder / "ids")
        header = folder / "ids" / HEADER

        def one(data: bytes) -> str:
            header.write_bytes(data)
            opened = Shards.open(folder / "ids")
            assert len(opened.key) == 64
            assert 0 <= opened.unknown <= 1
            assert len(opened.train) == len(made.train)
            assert 0 < opened.split < 1, "split"
            json.dumps([asdict(opened.text), opened.by, opened.leaked, opened.settings])
            return "read"

        yield one, [header.read_bytes(), json.dumps(json.loads(header.read_bytes())).encode()]


@contextmanager
def vocabularies() -> Iterator[tuple[One, Sequence[bytes]]]:
    """A vocabulary: what is read as one does what a tokenizer does, and is written as it was read."""
    chunks = ["to be, or not to be " + KANNADA]
    seeds = [json.dumps(kind.fit(chunks).to_json(), ensure_ascii=False).encode() for kind in TOKENIZERS.values()]
    rare = Fitting(min_count=2, rare="unknown", normal="NFC")
    seeds += [json.dumps(TOKENIZERS[name].fit(chunks, rare).to_json()).encode() for name in ("characters", "graphemes")]
    with folder_of_its_own() as name:
        folder = RunFolder(Path(name))

        def one(data: bytes) -> str:
            folder.vocabulary_path.write_bytes(data)
            tokenizer = from_json(folder.vocabulary())
            assert from_json(tokenizer.to_json()).fingerprint == tokenizer.fingerprint
            ids = tokenizer.encode("to be ಕ್ಷ", "skip")
            tokenizer.decode(ids)
            assert len(tokenizer.units) == tokenizer.vocab_size >= tokenizer.own
            assert len(tokenizer.unit_bytes) == len(tokenizer.unit_characters) == tokenizer.vocab_size
            return "read"

        yield one, seeds


# --- text ------------------------------------------------------------------------------------------------------------

HELD = 8  # bytes that a decoder may keep back, and hand over with the next piece
ENCODINGS = """\
- utf-8 utf-8-sig utf-16 utf-16-le utf-16-be utf-32 utf-32-le utf-32-be utf-7 cp1252 cp1251 cp437 latin-1 ascii gb18030
gbk big5 big5hkscs shift_jis shift_jis_2004 euc_jp euc_kr cp949 johab hz iso2022_jp iso2022_jp_2 iso2022_kr koi8-r
mac-roman cp1258 viscii hex zlib rot13 idna punycode unicode_escape undefined mbcs utf8 UTF8 utıf-8
"""


@contextmanager
def texts() -> Iterator[tuple[One, Sequence[bytes]]]:
    """Bytes of a text, after a line of a size, an ending, an encoding and a field.

    The text, or what is refused, is the same for every size of the pieces, and is what Python reads at once.
    """
    with folder_of_its_own() as name:

        def one(data: bytes) -> str:
            line, _, content = data.partition(b"\n")
            size, ending, encoding, field = [*line.decode("utf-8", "replace").split(" "), "", "", "", ""][:4]
            size = 1 + int(size[:3]) if size.isascii() and size.isdigit() else 3
            kind = ending if ending in ("jsonl", "jsonl.gz", "txt.gz") else "txt"
            path = Path(name) / f"text.{kind}"
            path.write_bytes(content)
            said = None if encoding in ("-", "") else encoding

            def read(size: int) -> tuple[list[str], str]:
                documents = list[str]()
                try:
                    for begins, text in read_documents([path], size, None, said, field or "text"):
                        documents += [""] if begins else []
                        documents[-1] += text
                        assert 0 < len(text) <= size + HELD, "a piece of another size"
                except UsageError as error:
                    return documents, str(error)
                return documents, ""

            with stubbed((reading, "get_close_matches", lambda *_, **__: [])):  # they take longer than all else
                small, large = read(size), read(1 << 20)
            simple = kind.startswith("txt") and not content.startswith(b"\x1f\x8b")  # else another fault may come first
            faults = [what.partition("; ")[0] if simple else bool(what) for _, what in (small, large)]
            assert faults[0] == faults[1], f"{small[1]!r} in pieces of {size}, {large[1]!r} at once"
            if large[1]:
                raise UsageError(large[1])
            assert small == large, f"another text in pieces of {size}"
            if simple:
                codec = next((codec for codec, mark in MARKS.items() if content.startswith(mark)), "")
                bare = content[len(MARKS[codec]) :] if codec else content
                text = bare.decode(codec or (text_codec(said) if said else "utf-8"))
                assert "".join(large[0]) == text, "Python reads another text"
            assert "".join(read_chunks([path], size, None, said, field or "text")) == "".join(large[0])
            return "read"

        text = "to be\r\nಕ್ಷ é 😀\n"
        plain = [f"3 txt {codec} text\n".encode() + text.encode(codec) for codec in ("utf-8", "utf-16", "utf-32-be")]
        plain += [b"2 txt - text\n" + text.encode(codec) for codec in ("utf-8-sig", "utf-16", "utf-32")]
        others = {
            "cp1252": "naïve\n",
            "shift_jis": "いろは\n",
            "gb18030": "汉字😀\n",
            "hz": "汉字\n",
            "iso2022_kr": "한국\n",
        }
        plain += [f"5 txt {codec} text\n".encode() + text.encode(codec) for codec, text in others.items()]
        lines = b'{"text": "to be"}\n\n{"id": 1, "text": "\\u0c95\\n"}\n{"text": "", "a": [1, {"b": null}]}\n'
        records = [b"4 jsonl - text\n" + lines, b"1 jsonl utf-16-le id\n" + lines.decode().encode("utf-16-le")]
        packed = [b"9 txt.gz - text\n" + gzip.compress(text.encode(), mtime=0)]
        packed += [b"7 jsonl.gz - text\n" + gzip.compress(lines, mtime=0)]
        yield one, [*plain, *records, *packed]


# --- settings --------------------------------------------------------------------------------------------------------

NAMES = [f"{group}.{name}" for group, kind in SETTINGS.items() for name in meanings(kind)]


def checked(settings: dict[str, Any], preset: str = "quick") -> str:
    """Do with settings what training does before it reads the text."""
    count_config(find_preset(preset).changed(settings).model_config(vocab_size=65))
    read_settings("text", {name: value for name, value in settings.items() if name.startswith("text.")}, TextSettings)
    return "read"


def plain(value: object) -> str:
    """Return a setting's value as people write it."""
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def all_settings() -> dict[str, Any]:
    """Return every setting of a preset."""
    quick = PRESETS["quick"]
    groups = {"model": quick.model_config(65).to_json(), "recipe": quick.recipe.to_json(), "text": asdict(quick.text)}
    named = {f"{group}.{name}": value for group, values in groups.items() for name, value in values.items()}
    return {name: value for name, value in named.items() if name != "model.vocab_size"}


@contextmanager
def pairs() -> Iterator[tuple[One, Sequence[bytes]]]:
    """Words of --set, a line each."""

    def one(data: bytes) -> str:
        return checked(dict(parse_pairs(data.decode("utf-8", "surrogateescape").split("\n"))))

    every = [f"{name}={plain(value)}" for name, value in all_settings().items()]
    seeds = ["\n".join(every[start : start + 3]) for start in range(0, len(every), 3)]
    yield one, [seed.encode() for seed in seeds]


@contextmanager
def tables() -> Iterator[tuple[One, Sequence[bytes]]]:
    """A file of settings."""
    with folder_of_its_own() as name:
        path = Path(name) / "my.toml"

        def one(data: bytes) -> str:
            path.write_bytes(data)
            return checked(read_toml(path))

        seeds = []
        for group in SETTINGS:
            said = {name: value for name, value in all_settings().items() if name.startswith(f"{group}.")}
            lines = [
                f"{name.partition('.')[2]} = {plain(value) if isinstance(value, bool) else json.dumps(value)}"
                for name, value in said.items()
                if value is not None
            ]
            seeds.append("\n".join([f"[{group}]", *lines, ""]).encode())
        yield one, [*seeds, b'[model]\nn_layer = 2 # two\n"n_head" = 2\n[recipe]\nsteps = 5\nlearning_rate = 1e-3\n']


@contextmanager
def configs() -> Iterator[tuple[One, Sequence[bytes]]]:
    """A run's config.json, and after a character of its own its log: all that its story says of them."""
    with trained() as folder:
        shutil.rmtree(folder / "run" / "checkpoints")
        path, told = folder / "run" / "config.json", folder / "run" / "log.jsonl"

        def one(data: bytes) -> str:
            config, _, lines = data.partition(b"\x1e")
            path.write_bytes(config)
            told.write_bytes(lines)
            opened = api.open_run(folder / "run")
            opened.config, opened.model_config, opened.recipe, opened.text_settings  # noqa: B018
            count_config(opened.model_config)
            story.summary(opened)
            "\n".join(story.whole_story(opened)).encode("utf-8", "backslashreplace")
            assert opened.tokenizer.vocab_size
            return "read"

        config = json.loads(path.read_bytes())
        config["text"]["asked"] = ["my.txt"]  # not a folder whose name is another each time
        lines = told.read_bytes()
        seeds = [(json.dumps(config), lines), (json.dumps(config, indent=2), lines.partition(b"\n")[2])]
        yield one, [said.encode() + b"\x1e" + rest for said, rest in seeds]


# --- the command line ------------------------------------------------------------------------------------------------

COMMANDS = """\
train
train my.txt --preset small --out runs/new --seed 3 --steps 10 --json
train my.txt my.txt --minutes 0.5 --device cpu --dtype float32 --tokenizer bpe --vocab-size 300
train --set model.n_layer=2 recipe.steps=5 text.split=0.8 --config my.toml --tensorboard
train - --preset bigram
plan
plan my.txt --preset small --set model.n_layer=2 --config my.toml --steps 10 --json
plan my.txt my.txt --minutes 0.5 --device cpu
compare quick model.mlp=nothing --steps 500
compare quick bigram,recipe.steps=5 my.toml --text my.txt --seeds 2 --target 2.5 --device cpu --json
compare --vary model.n_embd=32,64 recipe.learning_rate=0.1,0.2 --preset small --set model.n_layer=2 --minutes 0.5
compare text.tokenizer=bytes text.tokenizer=characters --text kannada --out new --steps 10
resume run --json
evaluate run --text my.txt --random-batches 2 --unknown skip --json
evaluate run
generate run --prompt to --tokens 5 --temperature 0.5 --top-k 3 --top-p 0.9 --stop x --seed 2 --samples 2
generate run --min-p 0.1 --repetition-penalty 1.2 --tokens 5
generate run --json --unknown replace --stop a --stop b
show run --json
show run
trace run --prompt to --temperature 0 --seed 1 --json
trace quick --html a.html --svg a.svg --vocab-size 70
source run
source quick --vocab-size 70 --json
presets
presets quick --vocab-size 70 --json
presets nanogpt
runs
runs --json
prepare my.txt --out new --tokenizer graphemes --split 0.8 --json
prepare ids --look
prepare my.txt --look --html look.html --set text.normal=NFC text.split=0.7
prepare my.txt --vocab-size 100 --tokenizer bpe --out new --set text.min_count=2 text.rare=bytes
train --help
--version
"""
MOST_WORDS = 200  # cyclopts takes a second for a thousand, and four for two thousand
TAKEN = """\
--out --set --config --tokenizer --vocab-size --seed --steps --minutes --device --dtype --tensorboard --json --text
--random-batches --unknown --prompt --tokens --temperature --top-k --top-p --stop --samples --html --svg --split --look
--preset --no-json --out= --set= -- - -h --help -p __complete my.txt my.toml run ids . .. *.txt ** /dev/null missing kn
--vary --seeds --target --min-p --repetition-penalty
characters graphemes aksharas bytes bpe auto skip replace error cpu cuda mps float32 bfloat16 tinyshakespeare kannada
"""


@contextmanager
def commands() -> Iterator[tuple[One, Sequence[bytes]]]:
    """Words of a command line, between NULs: exit code 0, or 2 after one line; nothing is written.

    Where a verb would train, write, fetch or compute for long, it is stopped short there; a comparison of many seeds
    goes on as if two had been asked for.
    """
    with trained() as folder:
        made, ids = api.open_run(folder / "run"), Shards.open(folder / "ids")
        with at(folder):
            score = made.evaluate()
        seen = look.look(lambda: iter([WORDS]), 0.9, lambda what: None)
        preset = PRESETS["bigram"].model_config(65)
        plan = show.architecture(build(preset), preset)
        trace = show.follow(made, "to")
        counted = lru_cache(count_config)  # a comparison counts each variant's parameters with each seed
        task = Task(made.model, 8, ids, made.recipe, 2, 1, "float32", made.config["landmarks"])
        line, expand, stream, bench = app.make_app(), corpora.expand, run.stream, compare._Bench.compare

        assemble, arguments = cyclopts.App.assemble_argument_collection, dict[Any, Any]()

        def assembled(verb: cyclopts.App, **how: Any) -> Any:
            """Return what a verb takes: the same each time, and long in the making."""
            key = (id(verb), *how.items())
            if key not in arguments:
                arguments[key] = assemble(verb, **how)
            fresh = [copy(argument) for argument in arguments[key]]
            for argument in fresh:
                argument.tokens = []
            return type(arguments[key])(fresh)

        def inside(patterns: Sequence[str | Path]) -> list[Path]:
            if any(Path(each).is_absolute() or ".." in Path(each).parts for each in patterns):
                raise UsageError("elsewhere")  # it may hold a million files
            return expand(patterns)

        def make_task(
            data: Shards, asked: Preset, config: ModelConfig, seed: int, device: torch.device, _: Any
        ) -> Task:
            return replace(task, recipe=asked.recipe, dtype=choose_dtype(asked.recipe.dtype, device, config))

        stubs = (
            (app, "make_app", lambda: line),
            (cyclopts.App, "assemble_argument_collection", assembled),
            (api, "_train", lambda *_: made),
            (api, "_fit", lambda *_: made),
            (api, "_make_task", make_task),
            (planning, "measure", lambda *_: 50_000.0),
            (compare._Bench, "compare", lambda own, seeds, target: bench(own, min(seeds, 2), target)),
            (picture, "draw", lambda found: None),
            *((place, "count_config", counted) for place in (api, compare, memory)),
            (run, "evaluate", lambda *_, **__: score),
            (run, "random_batches", lambda *_: 1.5),
            (run, "stream", lambda *words, **how: islice(stream(*words, **how), 1)),
            (shards, "prepare", lambda *_, **__: ids),
            (look, "look", lambda *_: seen),
            (show, "write", lambda path, text: len(text)),
            (show, "build", lambda *_: None),
            (show, "architecture", lambda *_: plan),
            (show, "follow", lambda run, prompt, **how: (run.tokenizer.encode(prompt, how["unknown"]), trace)[1]),
            (source, "write_file", lambda *_: "source\n"),
            (corpora, "fetch", lambda name: Path("my.txt")),
            (corpora, "expand", inside),
            (sys, "stdin", None),
        )
        before = tree(folder)

        def one(data: bytes) -> str:
            words = [word.decode("utf-8", "surrogateescape") for word in data.split(b"\0")[:MOST_WORDS]]
            out, err = io.StringIO(), io.StringIO()
            with at(folder), stubbed(*stubs, (sys, "stdout", out), (sys, "stderr", err)):
                code = app.run(words)
            said = err.getvalue().encode("utf-8", "backslashreplace").decode()
            assert code in (0, 2), code
            assert "Traceback" not in said + out.getvalue()
            if not code:
                return "done"
            *before, last, nothing = said.split("\n")
            told = before[1:] if words[0] in ("plan", "compare") else []  # before what can't be done is come to
            assert before in ([], ["loading PyTorch …", *told]), f"not one line: {said!r}"
            assert all(map(printable, told)), f"not printable: {told!r}"
            assert last.startswith("hornbook: "), f"a line of another kind: {said!r}"
            assert printable(last + nothing), f"not printable: {said!r}"
            return "refused"

        words = [line.split() for line in COMMANDS.splitlines()]
        yield one, ["\0".join(line).encode() for line in words]
        assert tree(folder) == before, "something was written"


def tree(folder: Path) -> dict[str, bytes]:
    """Return what the files in a folder hold."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


# --- sampling --------------------------------------------------------------------------------------------------------

DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16, "float16": torch.float16}
LAST = 1 - 2**-53  # the largest number that chance draws


def number(word: str) -> Any:
    """Read what somebody may give for a setting."""
    for kind in (int, float, Fraction):
        with contextlib.suppress(ValueError, ZeroDivisionError):
            return kind(word)
    return {"none": None, "true": True}.get(word, word)


@contextmanager
def draws() -> Iterator[tuple[One, Sequence[bytes]]]:
    """Logits, after a line of temperature, top_k, top_p, a type, min_p and a penalty of the first and the last unit.

    What comes out follows the rules.
    """

    def one(data: bytes) -> str:
        line, _, content = data.partition(b"\n")
        words = line.decode("utf-8", "replace").split(" ")[:6]
        words += ["", "", "", "", "none", "none"][len(words) :]
        temperature, top_k, top_p, min_p, penalty = map(number, words[:3] + words[4:])
        dtype = DTYPES.get(words[3], torch.float32)
        rows = 2 if len(content) % 3 == 2 else 1
        size = max(1, len(content) // dtype.itemsize // rows) * dtype.itemsize * rows
        logits = torch.frombuffer(bytearray(content[:size].ljust(size, b"\0")), dtype=dtype).view(rows, -1)
        before = logits.clone()
        sampling = Sampling(temperature, top_k, top_p, min_p, penalty)
        seen = torch.tensor([[0, -1 % logits.shape[1]]]).repeat(rows, 1)
        p = probabilities(logits, sampling, seen)
        assert torch.equal(before.view(torch.uint8), logits.view(torch.uint8)), "the logits were changed"
        assert (p.dtype, p.shape) == (torch.float64, logits.shape)
        assert bool((p >= 0).all()), f"no probabilities: {p}"
        assert bool(((p.sum(-1) - 1).abs() < 1e-9).all()), f"no probabilities: {p}"
        for u in (0.0, 0.5, LAST, int.from_bytes(content[:6].ljust(6), "big") / 2**48):
            ids = draw(p, torch.full((rows,), u, dtype=torch.float64))
            assert ids.shape == (rows,)
            assert bool((p[torch.arange(rows), ids] > 0).all()), f"{ids} cannot come: {p}"
        asked = logits.double()
        for row in asked if sampling.repetition_penalty else ():
            for i in {0, len(row) - 1}:
                x = float(row[i])
                weaker = x / sampling.repetition_penalty if x > 0 else x * sampling.repetition_penalty
                row[i] = x if x == -torch.inf else max(-sys.float_info.max, min(weaker, sys.float_info.max))
        shifted = asked - asked.amax(-1, keepdim=True)
        for each, chances in zip(shifted / (float(temperature) or 1), p, strict=True):
            check(each, chances, sampling)
        return "drawn"

    def check(logits: torch.Tensor, p: torch.Tensor, sampling: Sampling) -> None:
        assert not bool((p[logits == -torch.inf] > 0).any()), "a unit came back that cannot come"
        kept = p > 0
        assert not bool((~kept).any()) or logits[kept].min() >= logits[~kept].max(), "one is left out before a lesser"
        if sampling.temperature == 0:
            assert kept.nonzero().tolist() == [[int(logits.argmax())]], "not the first of the likeliest"
            return
        assert sampling.top_k is None or int(kept.sum()) <= sampling.top_k, "more than top_k"
        if sampling.min_p is not None:
            least = math.log(sampling.min_p)
            assert bool((logits[kept] >= least - 1e-9).all()), "less likely than min_p"
            if sampling.top_k is sampling.top_p is None and least > -700:
                assert bool((p[logits >= least + 1e-9].log() > -torch.inf).all()), "min_p leaves too much out"
        elif sampling.top_p is not None and sampling.top_p < 1:
            whole = logits.sort(descending=True, stable=True).values[: sampling.top_k].softmax(-1)
            sums = whole.cumsum(-1)
            n = int(kept.sum())
            assert sums[n - 1] >= sampling.top_p - 1e-9, "less than top_p"
            assert n == 1 or sums[n - 2] < sampling.top_p + 1e-9, "more than top_p asks for"

    values = [[1.2, -0.3, 0.0, 2.0, 2.0, -torch.inf, 0.7], [5.0], [0.0] * 12, [1e30, -1e30, 3.0], [-50.0, 1e-30, 60.0]]
    rules = ["1.0 none none", "0 none none", "0.8 3 0.9", "1e-3 none 0.5", "2.5 1 1.0", "1 40 1e-9", "1e6 2 0.999"]
    more = ["", " 0.1", " none 1.2", " 1 0.5", " 1e-9 1e300", " 0.5 5e-324", " none 2"]
    yield (
        one,
        [
            f"{rule} {name}{more[number]}\n".encode() + torch.tensor(row).to(dtype).view(torch.uint8).numpy().tobytes()
            for number, rule in enumerate(rules)
            for name, dtype in DTYPES.items()
            for row in values[number % 2 :: 2]
        ],
    )


FLOATS = (0.0, -0.0, float("inf"), -float("inf"), float("nan"), 1e308, -1e308, 5e-324, 1.0, 1 + 2**-23, 3.4e38, 65504.0)
PACKED = [struct.pack(f"<{kind}", each) for each in FLOATS for kind in "df" if kind == "d" or abs(each) < 1e38]

JSON = [b"null", b"true", b"false", b"[]", b"{}", b'""', b'"a"', b"1e999", b'"\\ud800"', b"-1"]
KINDS = "BOOL U8 I8 I64 F16 BF16 F32 F64 F8_E4M3 F4 C64 X __metadata__ shape data_offsets dtype"
TARGETS = {
    "manifest": Target(manifests, [*JSON, *keys("step format sha256 files bytes state.json ../state.json")]),
    "tensors": Target(
        tensors,
        [
            *JSON,
            *keys(KINDS),
            *(struct.pack("<Q", n) for n in (0, 1, 8, 100, 2**31, 2**63, 2**64 - 1)),
            *(struct.pack("<f", each) for each in (torch.inf, torch.nan)),
        ],
    ),
    "state": Target(states, JSON),
    "log": Target(logs, [*JSON, *keys("step train_loss val_loss sample final_val_loss"), b'{"step": 1}\n']),
    "header": Target(headers, [*JSON, *keys("version uint16 bpe split by text sha256 leaked settings tokenizer")]),
    "vocabulary": Target(
        vocabularies, [*JSON, *keys("kind units merges rare normal NFD unknown"), *keys(" ".join(TOKENIZERS))]
    ),
    "text": Target(
        texts,
        [
            *(name.encode() for name in ENCODINGS.split()),
            *(b"jsonl", b"txt.gz", b"jsonl.gz", b"4999", b'{"text": "a"}\n', b'{"text": 1}\n', b"\x1f\x8b\x08\0"),
            *("\ufeff".encode(codec) for codec in MARKS),
            *(b"~{", b"~}", b"\x1b$)C", b"\x0e", b"\x1b$B", b"\x1b(B", b"\x81\x30\x81\x30"),
            *(b"\xed\xb0\x80", b"a\xcc\x81", b"\r", b"\r\n"),
        ],
    ),
    "pairs": Target(pairs, [*(f"{name}=".encode() for name in NAMES), *(name.encode() for name in ENCODINGS.split())]),
    "toml": Target(
        tables, [*(f"{name} = ".encode() for name in NAMES), b"[model]\n", b"'''", b"1979-05-27", b"[[a]]\n"]
    ),
    "config": Target(
        configs, [*JSON, *keys(" ".join(name.partition(".")[2] for name in NAMES)), *keys("text model step")]
    ),
    "command": Target(
        commands,
        [
            *(b"\0" + word.encode() for word in (*TAKEN.split(), *VERBS, *PRESETS)),
            *(f"\0--set\0{name}={n}".encode() for name in NAMES for n in ("1", "0.5", "none")),
        ],
    ),
    "sampling": Target(
        draws, [*PACKED, *(word.encode() for word in DTYPES), b"1e-320 ", b"0 ", b"1 1 1", b"1/3 ", b"true"]
    ),
}
GROUPS = {
    "checkpoints": ["manifest", "tensors", "state", "log", "header", "vocabulary"],
    "text": ["text"],
    "settings": ["pairs", "toml", "config"],
    "command": ["command"],
    "sampling": ["sampling"],
}
"""Targets, and the readers that share the executions of each."""
