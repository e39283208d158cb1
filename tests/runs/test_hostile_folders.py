"""A run folder from somebody else: whatever is in it, it does no harm, and what is wrong is said in one line.

Each kind of hostile folder is one run, spoiled in one way, and then opened, listed, shown, generated from, scored and
trained on, until the first of these refuses it.
"""

import ast
import contextlib
import io
import json
import os
import shutil
import socket
import struct
import sys
import time
import tracemalloc
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

import hornbook as hb
from hornbook import api, story
from hornbook.cli.app import run as command_line
from hornbook.runs import status

TEXT = "to be or not to be that is the question\n" * 40
TINY = {"model.n_embd": 8, "model.n_layer": 1, "model.n_head": 2, "model.block_size": 8, "recipe.sample_length": 5}
TINY |= {"recipe.evaluate_on": 100, "recipe.batch_size": 2, "recipe.dtype": "float32"}
NAN, INF = float("nan"), float("inf")
RLO = "\u202e"  # what follows is shown from right to left


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """A run that was stopped in its middle, and its text, whose ids are in the cache."""
    folder = tmp_path_factory.mktemp("shelf")
    (folder / "my.txt").write_text(TEXT, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HORNBOOK_CACHE", str(folder / "cache"))
        hb.train(folder / "my.txt", out=folder / "run", settings=TINY, steps=3, progress=False)
    log = folder / "run" / "log.jsonl"
    log.write_bytes(b"".join(line for line in log.read_bytes().splitlines(True) if b"final" not in line))
    return folder


@pytest.fixture
def folder(shelf, tmp_path, monkeypatch):
    """A copy of that run."""
    monkeypatch.setenv("HORNBOOK_CACHE", str(shelf / "cache"))
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(shelf / "run", tmp_path / "run"))


def newest(folder):
    return sorted((folder / "checkpoints").glob("step-*"))[-1]


def seal(checkpoint):
    """Make the manifest true again: who sends a folder can do that."""
    path = checkpoint / "manifest.json"
    manifest = json.loads(path.read_bytes())
    for name in manifest["files"]:
        data = (checkpoint / name).read_bytes()
        manifest["files"][name] = {"sha256": sha256(data).hexdigest(), "bytes": len(data)}
    path.write_bytes(json.dumps(manifest, indent=2, ensure_ascii=False).encode() + b"\n")


def in_all(change):
    """Spoil each checkpoint, so that there is none to fall back on."""

    def spoil(folder):
        for checkpoint in (folder / "checkpoints").glob("step-*"):
            change(checkpoint)
            seal(checkpoint)

    return spoil


def raw(name, data):
    return lambda folder: (folder / name).write_bytes(data)


def config(**changes):
    """Change what stands at paths such as model__n_layer."""

    def spoil(folder):
        path = folder / "config.json"
        whole = json.loads(path.read_bytes())
        for place, value in changes.items():
            *above, name = place.split("__")
            inner = whole
            for each in above:
                inner = inner[each]
            inner[name] = value
        path.write_bytes(json.dumps(whole).encode())

    return spoil


def without(place):
    def spoil(folder):
        whole = json.loads((folder / "config.json").read_bytes())
        *above, name = place.split("__")
        inner = whole
        for each in above:
            inner = inner[each]
        del inner[name]
        (folder / "config.json").write_bytes(json.dumps(whole).encode())

    return spoil


def vocabulary(change):
    """Change the vocabulary, and let the config's hash go with it as far as can be."""

    def spoil(folder):
        path = folder / "vocabulary.json"
        whole = json.loads(path.read_bytes())
        path.write_bytes(json.dumps(change(whole)).encode())

    return spoil


def lines(*added):
    """Add lines to the log."""

    def spoil(folder):
        with (folder / "log.jsonl").open("ab") as file:
            file.writelines(line + b"\n" for line in added)

    return spoil


def tensors(file, change):
    """Change the header and the body of a safetensors file in every checkpoint."""

    def spoil(checkpoint):
        data = (checkpoint / file).read_bytes()
        start = 8 + struct.unpack("<Q", data[:8])[0]
        header, body = json.loads(data[8:start]), bytearray(data[start:])
        made = change(header, body)
        header, body = made if isinstance(made, tuple) else (header, body)
        header = header if isinstance(header, bytes) else json.dumps(header).encode()
        header += b" " * (-len(header) % 8)
        (checkpoint / file).write_bytes(struct.pack("<Q", len(header)) + header + body)

    return in_all(spoil)


def number(name, value, place=0):
    """Put a float32 into a tensor."""

    def change(header, body):
        begin = header[name]["data_offsets"][0] + 4 * place
        body[begin : begin + 4] = struct.pack("<f", value)

    return change


def said(name, **of):
    return lambda header, body: header[name].update(of)


def renamed(old, new):
    def change(header, body):
        return {new if name == old else name: of for name, of in header.items()}, body

    return change


def doubled(name):
    """Let float32 be float64."""

    def change(header, body):
        place, made, whole = 0, {}, b""
        for key, of in header.items():
            if key == "__metadata__":
                continue
            begin, end = of["data_offsets"]
            part = bytes(body[begin:end])
            if key == name:
                part, of = np.frombuffer(part, "<f4").astype("<f8").tobytes(), of | {"dtype": "F64"}
            made[key] = of | {"data_offsets": [place, place + len(part)]}
            place, whole = place + len(part), whole + part
        return made, whole

    return change


def manifest(change):
    def spoil(folder):
        for checkpoint in (folder / "checkpoints").glob("step-*"):
            path = checkpoint / "manifest.json"
            data = path.read_bytes()
            made = change(json.loads(data))
            path.write_bytes(made if isinstance(made, bytes) else json.dumps(made, indent=2).encode() + b"\n")

    return spoil


def state(data):
    return in_all(lambda checkpoint: (checkpoint / "state.json").write_bytes(data))


def header(data):
    """Put these bytes in place of the weights."""
    return in_all(lambda checkpoint: (checkpoint / "weights.safetensors").write_bytes(data))


def linked(name, target):
    """Let a name lead out of the folder."""

    def spoil(folder):
        path, away = folder / name, folder.parent / "away"
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        path.symlink_to(target(away) if callable(target) else target)

    return spoil


def in_place_of(name, make):
    def spoil(folder):
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        make(path)

    return spoil


def a_socket(path):
    with contextlib.chdir(path.parent), socket.socket(socket.AF_UNIX) as made:  # a socket's whole path is short
        made.bind(path.name)


def sparse(name, size):
    def spoil(folder):
        with (folder / name).open("r+b") as file:
            file.truncate(size)

    return spoil


def checkpoint_link(folder):
    path = newest(folder)
    shutil.move(path, folder.parent / "away-step")
    path.symlink_to(folder.parent / "away-step")


def inside_link(folder):
    for checkpoint in (folder / "checkpoints").glob("step-*"):
        path = checkpoint / "weights.safetensors"
        away = folder.parent / f"away-{checkpoint.name}"
        shutil.move(path, away)
        path.symlink_to(away)


ONE = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
W, M, CONFIG, VOCABULARY = "weights.safetensors", "manifest.json", "config.json", "vocabulary.json"
TOKENS, MOMENT = "tokens.weight", "tokens.weight/exp_avg"
DEEP, WIDE = b'{"a":' + b"[" * 100_000, b'{"a":[' + b"[]," * 2_000_000 + b"0]}"

# what it is called -> (what spoils the folder, the file that the message names)
KINDS = {
    # config.json, as JSON
    "config: empty": (raw(CONFIG, b""), CONFIG),
    "config: no JSON": (raw(CONFIG, b"\x00\xff\xfe"), CONFIG),
    "config: a list": (raw(CONFIG, b"[]"), CONFIG),
    "config: deep": (raw(CONFIG, DEEP), CONFIG),
    "config: deep objects": (raw(CONFIG, b'{"a":' * 100_000), CONFIG),
    "config: wide": (raw(CONFIG, WIDE), CONFIG),
    "config: long": (raw(CONFIG, b'{"a":"' + b"x" * (1 << 24) + b'"}'), CONFIG),
    "config: long, of objects": (raw(CONFIG, b"[" + b'{"a":1},' * (1 << 20) + b"{}]"), CONFIG),
    "config: a huge number": (raw(CONFIG, b'{"format":' + b"9" * 100_000 + b"}"), CONFIG),
    "config: a key twice": (raw(CONFIG, b'{"format":1,"format":1}'), CONFIG),
    "config: the last of 100,000 keys twice": (
        raw(CONFIG, b'{"z":1,' + b"".join(b'"%d":1,' % n for n in range(100_000)) + b'"z":1}'),
        CONFIG,
    ),
    "config: NaN": (raw(CONFIG, b'{"format":1,"steps":NaN}'), CONFIG),
    "config: quotes without end": (raw(CONFIG, b'"' + b'\\"' * 1_000_000), CONFIG),
    "config: sparse": (sparse(CONFIG, 1 << 40), CONFIG),
    "config: format of text": (config(format="1"), CONFIG),
    "config: format of the future": (config(format=10**100), CONFIG),
    # config.json, its values
    "config: billions of layers": (config(model__n_layer=10**9), CONFIG),
    "config: a million channels": (config(model__n_embd=10**6), CONFIG),
    "config: billions of units": (config(model__vocab_size=10**9), CONFIG),
    "config: a context without end": (config(model__block_size=10**12), CONFIG),
    "config: 1,000 layers": (config(model__n_layer=1000), CONFIG),
    "config: 65,536 channels": (config(model__n_embd=65_536), CONFIG),
    "config: 65,536 heads": (
        config(model__n_embd=65_536, model__n_head=65_536, model__attention="heads", model__n_layer=1000),
        CONFIG,
    ),
    "config: 16 million units": (config(model__vocab_size=1 << 24), "step-"),
    "config: 16 million places": (config(model__block_size=1 << 24), CONFIG),
    "config: 16 million places that are not learned": (
        config(model__block_size=1 << 24, model__positions="sinusoidal", model__n_embd=65_536),
        CONFIG,
    ),
    "config: no heads": (config(model__n_head=0), CONFIG),
    "config: negative layers": (config(model__n_layer=-1), CONFIG),
    "config: layers of text": (config(model__n_layer=[1]), CONFIG),
    "config: infinite first values": (config(model__init_std=INF), CONFIG),
    "config: first values beyond": (raw(CONFIG, b'{"format":1,"landmarks":{"guess":1e999,"bigram":1.0}}'), CONFIG),
    "config: a part by path": (config(model__attention="../../evil"), CONFIG),
    "config: an unknown field": (config(model__evil=1), CONFIG),
    "config: no model": (without("model"), CONFIG),
    "config: no size of the vocabulary": (without("model__vocab_size"), CONFIG),
    "config: a recipe of lists": (config(recipe__batch_size=[]), CONFIG),
    "config: a rate of text": (config(recipe__learning_rate="fast"), CONFIG),
    "config: a batch too large": (config(recipe__batch_size=10**30), CONFIG),
    "config: a negative seed": (config(seed=-1), CONFIG),
    "config: a seed of true": (config(seed=True), CONFIG),
    "config: a huge seed": (config(seed=1 << 64), CONFIG),
    "config: a billion threads": (config(threads=10**9), CONFIG),
    "config: no threads": (config(threads=0), CONFIG),
    "config: steps without end": (config(steps=10**30), CONFIG),
    "config: steps of text": (config(steps="3"), CONFIG),
    "config: another device": (config(device="cuda:99; rm -rf /"), CONFIG),
    "config: another dtype": (config(dtype="__class__"), CONFIG),
    "config: parameters of text": (config(parameters="many"), CONFIG),
    "config: landmarks of text": (config(landmarks={"guess": "1", "bigram": 1.0}), CONFIG),
    "config: a landmark of text": (config(landmarks={"guess": 1.0, "bigram": 1.0, "xz": "1"}), CONFIG),
    "config: an infinite landmark": (config(landmarks={"guess": 1.0, "bigram": 1.0, "5-gram": INF}), CONFIG),
    "config: a list of landmarks": (config(landmarks=["guess", "bigram"]), CONFIG),
    "config: no landmarks": (config(landmarks={}), CONFIG),
    "config: ids elsewhere": (config(text__ids="../../../etc"), CONFIG),
    "config: ids at the root": (config(text__ids="/etc"), CONFIG),
    "config: ids of a list": (config(text__ids=[]), CONFIG),
    "config: a hash of the vocabulary that is none": (config(text__vocabulary="x" * 100_000), CONFIG),
    "config: names of numbers": (config(text__asked=[1]), CONFIG),
    "config: characters of text": (config(text__characters="1"), CONFIG),
    "config: a split beyond": (config(text__split=7.0), CONFIG),
    "config: an encoding that there is not": (config(text__encoding="rot13"), CONFIG),
    "config: a label of null": (config(text__label=None), CONFIG),
    "config: names that turn around": (config(**{f"model__{RLO}gpj.exe\n\x1b[2J": 1}), CONFIG),
    # vocabulary.json
    "vocabulary: empty": (raw(VOCABULARY, b""), VOCABULARY),
    "vocabulary: deep": (raw(VOCABULARY, DEEP), VOCABULARY),
    "vocabulary: a million units": (
        vocabulary(lambda whole: whole | {"units": list(map(str, range(10**6)))}),
        VOCABULARY,
    ),
    "vocabulary: a unit of a million characters": (
        vocabulary(lambda whole: whole | {"units": [*whole["units"], "x" * 10**6]}),
        VOCABULARY,
    ),
    "vocabulary: a unit twice, of a million characters": (
        vocabulary(lambda whole: whole | {"units": ["x" * 10**6] * 2}),
        VOCABULARY,
    ),
    "vocabulary: units of numbers": (vocabulary(lambda whole: whole | {"units": [1, 2]}), VOCABULARY),
    "vocabulary: one unit less": (vocabulary(lambda whole: whole | {"units": whole["units"][1:]}), VOCABULARY),
    "vocabulary: two units changed": (
        vocabulary(lambda whole: whole | {"units": whole["units"][:-2] + whole["units"][:-3:-1]}),
        VOCABULARY,
    ),
    "vocabulary: merges in a circle": (
        vocabulary(lambda whole: {"kind": "bpe", "units": ["a", "aa"], "merges": [["aa", "a", 1]]}),
        VOCABULARY,
    ),
    "vocabulary: merges of anything": (
        vocabulary(lambda whole: {"kind": "bpe", "units": ["a", "aa"], "merges": [{"a": 1}]}),
        VOCABULARY,
    ),
    "vocabulary: a kind of a list": (vocabulary(lambda whole: whole | {"kind": []}), VOCABULARY),
    "vocabulary: rare of a list": (vocabulary(lambda whole: whole | {"rare": []}), VOCABULARY),
    "vocabulary: a kind that turns around": (vocabulary(lambda whole: whole | {"kind": f"{RLO}x\n"}), VOCABULARY),
    # log.jsonl
    "log: a loss of text": (lines(b'{"step": 3, "val_loss": "low", "train_loss": 1}'), "log.jsonl, line"),
    "log: a loss of null": (lines(b'{"step": 3, "val_loss": null, "train_loss": 1}'), "log.jsonl, line"),
    "log: a loss of NaN": (lines(b'{"step": 3, "val_loss": NaN, "train_loss": 1}'), "log.jsonl, line"),
    "log: an infinite loss": (lines(b'{"step": 3, "val_loss": -1e999, "train_loss": 1}'), "log.jsonl, line"),
    "log: a loss alone": (lines(b'{"step": 3, "val_loss": 1}'), "log.jsonl, line"),
    "log: a huge loss": (lines(b'{"step": 3, "batch_loss": ' + b"9" * 4000 + b"}"), "log.jsonl, line"),
    "log: a negative step": (lines(b'{"step": -1}'), "log.jsonl, line"),
    "log: a step of text": (lines(b'{"step": "3"}'), "log.jsonl, line"),
    "log: a step of true": (lines(b'{"step": true}'), "log.jsonl, line"),
    "log: a sample of numbers": (lines(b'{"step": 3, "sample": 7}'), "log.jsonl, line"),
    "log: a sample of lists": (lines(b'{"step": 3, "sample": ' + b"[" * 2000 + b"]" * 2000 + b"}"), "log.jsonl, line"),
    "log: a final score without its figures": (lines(b'{"step": 3, "final_val_loss": 1}'), "log.jsonl, line"),
    "log: deep": (lines(DEEP), "log.jsonl, line"),
    "log: wide": (lines(WIDE), "log.jsonl, line"),
    "log: no UTF-8": (lines(b'{"step": 3, "sample": "\xff"}'), "log.jsonl, line"),
    "log: gone": (lambda folder: (folder / "log.jsonl").unlink(), "log.jsonl"),
    "log: cut": (raw("log.jsonl", b""), "log.jsonl"),
    "log: sparse": (sparse("log.jsonl", 1 << 40), "log.jsonl"),
    # the manifest
    "manifest: empty": (manifest(lambda whole: b""), "step-"),
    "manifest: deep": (manifest(lambda whole: DEEP), "step-"),
    "manifest: other files": (manifest(lambda whole: whole | {"files": {"../../config.json": {}}}), "step-"),
    "manifest: another step": (manifest(lambda whole: whole | {"step": 10**4000}), "step-"),
    "manifest: a step twice": (manifest(lambda whole: b'{"step":3,"step":3}'), "step-"),
    "manifest: hashes of null": (
        manifest(lambda whole: whole | {"files": {name: {"sha256": None, "bytes": 1} for name in whole["files"]}}),
        "step-",
    ),
    "manifest: sizes of text": (
        manifest(lambda whole: whole | {"files": {name: of | {"bytes": "9"} for name, of in whole["files"].items()}}),
        "step-",
    ),
    "manifest: sizes below zero": (
        manifest(lambda whole: whole | {"files": {name: of | {"bytes": -9} for name, of in whole["files"].items()}}),
        "step-",
    ),
    "manifest: with a space": (manifest(lambda whole: json.dumps(whole, indent=2).encode() + b" \n"), "step-"),
    "manifest: a file larger than it says": (
        lambda folder: [sparse(each / W, 1 << 40)(folder) for each in (folder / "checkpoints").iterdir()],
        "step-",
    ),
    # the weights' header
    "weights: empty": (header(b""), W),
    "weights: three bytes": (header(b"\0\0\0"), W),
    "weights: a header longer than the file": (header(struct.pack("<Q", 10**6) + b"{}"), W),
    "weights: a header without end": (header(struct.pack("<Q", (1 << 64) - 1) + b"{}"), W),
    "weights: a header of 100,000": (
        tensors(W, lambda header, body: (dict.fromkeys(map(str, range(100_000)), ONE), body)),
        W,
    ),
    "weights: a deep header": (tensors(W, lambda header, body: (DEEP, body)), W),
    "weights: a header of 16 MB": (tensors(W, lambda header, body: (b'{"' + b"x" * (1 << 24) + b'":1}', body)), W),
    "weights: a name twice": (
        tensors(W, lambda header, body: (b'{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"a":1}', body)),
        W,
    ),
    "weights: a list": (tensors(W, lambda header, body: (b"[]", body)), W),
    "weights: tensors of null": (tensors(W, lambda header, body: ({TOKENS: None}, body)), W),
    "weights: no shape": (tensors(W, said(TOKENS, shape=None)), W),
    "weights: a negative shape": (tensors(W, said(TOKENS, shape=[-1, 8])), W),
    "weights: a shape beyond": (tensors(W, said(TOKENS, shape=[1 << 62, 1 << 62])), W),
    "weights: a shape of fractions": (tensors(W, said(TOKENS, shape=[0.5, 2.0])), W),
    "weights: a shape of text": (tensors(W, said(TOKENS, shape="ab")), W),
    "weights: a shape of huge numbers": (tensors(W, said(TOKENS, shape=[10**4000] * 100)), W),
    "weights: a thousand dimensions": (tensors(W, said(TOKENS, shape=[1] * 1000)), W),
    "weights: nothing, of a huge shape": (
        tensors(W, lambda header, body: ({"z": ONE | {"shape": [0, 1 << 62, 1 << 62], "data_offsets": [0, 0]}}, b"")),
        W,
    ),
    "weights: turned around": (tensors(W, lambda header, body: header[TOKENS]["data_offsets"].reverse()), W),
    "weights: beyond the end": (tensors(W, said(TOKENS, data_offsets=[1 << 40, (1 << 40) + 4])), W),
    "weights: negative places": (tensors(W, said(TOKENS, data_offsets=[-4, 0])), W),
    "weights: places of text": (tensors(W, said(TOKENS, data_offsets="ab")), W),
    "weights: three places": (tensors(W, said(TOKENS, data_offsets=[0, 4, 8])), W),
    "weights: on top of each other": (tensors(W, lambda header, body: ({"a": ONE, "b": ONE}, body[:4])), W),
    "weights: a hole": (tensors(W, lambda header, body: ({"a": ONE | {"data_offsets": [4, 8]}}, body[:8])), W),
    "weights: more behind": (tensors(W, lambda header, body: (header, body + b"evil")), W),
    "weights: less": (tensors(W, lambda header, body: (header, body[:-4])), W),
    "weights: a type that there is not": (tensors(W, said(TOKENS, dtype="__class__")), W),
    "weights: a type of a list": (tensors(W, said(TOKENS, dtype=["F32"])), W),
    "weights: whole numbers": (tensors(W, said(TOKENS, dtype="I32")), "step-"),
    "weights: float64": (tensors(W, doubled(TOKENS)), "step-"),
    "weights: another shape": (
        tensors(W, lambda header, body: header[TOKENS]["shape"].reverse()),
        "step-",
    ),
    "weights: another name": (tensors(W, renamed(TOKENS, f"{RLO}x\n")), "step-"),
    "weights: none": (tensors(W, lambda header, body: ({}, b"")), "step-"),
    "weights: one more": (
        tensors(W, lambda header, body: ({"a": ONE | {"data_offsets": [0, 0], "shape": [0]}, **header}, body)),
        "step-",
    ),
    "weights: NaN": (tensors(W, number(TOKENS, NAN)), W),
    "weights: infinity": (tensors(W, number("head.weight", -INF, 3)), W),
    # the optimizer's memory and the state: training looks at them
    "optimizer: NaN": (tensors("optimizer.safetensors", number(MOMENT, NAN)), "optimizer.safetensors"),
    "optimizer: negative squares": (tensors("optimizer.safetensors", number(MOMENT + "_sq", -1.0)), "step-"),
    "optimizer: another type": (tensors("optimizer.safetensors", doubled(MOMENT)), "step-"),
    "optimizer: another shape": (
        tensors("optimizer.safetensors", lambda header, body: header[MOMENT]["shape"].reverse()),
        "step-",
    ),
    "optimizer: another weight": (tensors("optimizer.safetensors", renamed(MOMENT, "evil/exp_avg")), "step-"),
    "optimizer: something else": (tensors("optimizer.safetensors", renamed(MOMENT, "tokens.weight/evil")), "step-"),
    "state: another": (
        lambda folder: [each.write_bytes(b"{}") for each in (folder / "checkpoints").glob("*/state.json")],
        "step-",
    ),
    # what is no file
    **{
        f"a link: {name}": (linked(name, lambda away: away), name)
        for name in (
            CONFIG, VOCABULARY, "log.jsonl", "times.jsonl", "samples.txt", "notes.md", "loss.csv", "checkpoints",
            "tensorboard", ".lock", "training.json",
        )
    },
    "a link to /dev/zero": (linked("log.jsonl", "/dev/zero"), "log.jsonl"),
    "a link to itself": (linked("log.jsonl", "log.jsonl"), "log.jsonl"),
    "a link to nothing": (linked("notes.md", "../nothing"), "notes.md"),
    "a link: a checkpoint": (checkpoint_link, "step-"),
    "a link: a checkpoint's weights": (inside_link, W),
    **{
        f"a pipe: {name}": (in_place_of(name, getattr(os, "mkfifo", None)), name)
        for name in (CONFIG, VOCABULARY, "log.jsonl", "notes.md", "checkpoints")
    },
    "a socket": (in_place_of("log.jsonl", a_socket), "log.jsonl"),
    **{
        f"a folder: {name}": (in_place_of(name, Path.mkdir), name)
        for name in (CONFIG, VOCABULARY, "log.jsonl", "notes.md")
    },
}  # fmt: skip


def list_it(path):
    found = status.status(path)
    if found.fault:
        raise hb.UsageError(found.fault)


USES = {
    "runs": list_it,
    "open": api.open_run,
    "show": lambda path: story.whole_story(api.open_run(path)),
    "show --json": lambda path: json.dumps(story.summary(api.open_run(path))),
    "generate": lambda path: api.open_run(path).generate("to", tokens=2),
    "evaluate": lambda path: api.open_run(path).evaluate(),
    "resume": lambda path: api.resume(path, progress=False),
}


def refusal(path):
    """Use a folder in every way; return the first refusal: what was said, line by line, and the processor's seconds."""
    for use in USES.values():
        with contextlib.redirect_stderr(io.StringIO()) as told:  # what is stepped over
            began = time.process_time()
            try:
                use(path)
            except hb.UsageError as error:
                return [*told.getvalue().splitlines(), str(error)], time.process_time() - began
    raise AssertionError("nobody refused it")


def contents(folder):
    return {path: path.lstat().st_mtime_ns if path.is_dir() else path.read_bytes() for path in folder.rglob("*")}


def needs(name):
    if os.name == "nt" and name.startswith(("a link", "a pipe", "a socket")):
        pytest.skip("Windows has no pipes and sockets in a folder, and gives links to few")


@pytest.fixture
def away(tmp_path):
    """What stands outside of the folder, and is not its business."""
    (tmp_path / "away").mkdir()
    (tmp_path / "away" / "step-00000003").mkdir()
    (tmp_path / "away" / ".removing-1").mkdir()
    (tmp_path / "away" / ".removing-1" / "precious").write_text("not theirs", encoding="utf-8")
    return tmp_path / "away"


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_refused_in_one_line(folder, away, kind):
    needs(kind)
    spoil, file = KINDS[kind]
    spoil(folder)
    before = contents(away)
    told, seconds = refusal(folder)
    assert file in " ".join(told)
    for line in told:
        assert str(folder) in line
        assert line.isprintable()
        assert len(line) < 3 * len(str(folder)) + 400
    assert contents(away) == before
    assert not [
        path for path in folder.parent.iterdir() if path.name not in ("run", "away") and "away" not in path.name
    ]
    if seconds > 0.1:  # once more: the first may have imported something, or others kept the processor's caches busy
        assert min(refusal(folder)[1] for _ in range(3)) < 0.1


def test_there_are_enough_kinds():
    assert len(KINDS) >= 60


SOME = ["config: wide", "config: long", "vocabulary: a million units", "log: wide", "weights: a header of 100,000"]
SOME += ["config: 65,536 channels", "log: sparse", "a link to /dev/zero", "weights: a header of 16 MB"]


@pytest.mark.parametrize(
    "kind", [*SOME, *(pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS if kind not in SOME)]
)
def test_no_kind_takes_memory(folder, away, kind):
    needs(kind)
    KINDS[kind][0](folder)
    files = [path.lstat() for path in folder.rglob("*") if path.is_file()]
    size = max((each.st_size for each in files if each.st_size < 1 << 32), default=0)
    tracemalloc.start()
    try:
        refusal(folder)
        assert tracemalloc.get_traced_memory()[1] < size + (64 << 20)
    finally:
        tracemalloc.stop()


def test_the_run_that_they_are_made_of_is_whole(folder):
    for use in USES.values():
        use(folder)
    assert api.open_run(folder).final


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_names_that_would_turn_a_line_around_are_shown_as_escapes(folder, capsys):
    name = f"a{RLO}b\n\x1b[2Jc"
    config(text__label=name, text__origin=name, preset=name, changed={name: name})(folder)
    place = folder.rename(folder.with_name(name))
    shown = "\n".join(story.whole_story(api.open_run(place)))
    assert shown.count("a\\u202eb\\n\\x1b[2Jc") == 9
    assert not {RLO, "\x1b"} & set(shown)
    raw(CONFIG, b"{")(place)
    assert command_line(["show", str(place)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "a\\u202eb\\n\\x1b[2Jc" in said


@pytest.mark.parametrize(
    "asked", ["-", "/dev/stdin", "/dev/zero", "/", "/**", "..", "x" * 10_000, "a\0b", "secret.txt", ""]
)
def test_a_text_of_the_users_own_is_neither_told_nor_waited_for(folder, tmp_path, monkeypatch, asked):
    (tmp_path / "secret.txt").write_text("my secret " * 100, encoding="utf-8")
    monkeypatch.setenv("HORNBOOK_CACHE", str(tmp_path / "cache"))
    config(text__asked=[asked])(folder)
    for use in (USES["evaluate"], USES["resume"]):
        with pytest.raises(hb.UsageError) as error:
            use(folder)
        assert str(folder) in str(error.value)
        assert "my secret" not in str(error.value)


def test_ids_in_the_cache_of_another_vocabulary_are_not_taken(folder, tmp_path):
    (tmp_path / "other.txt").write_text("".join(map(chr, range(0x4E00, 0x4F00))) * 4, encoding="utf-8")
    other = hb.train(tmp_path / "other.txt", out=tmp_path / "other", settings=TINY, steps=1, progress=False)
    config(text__ids=other.config["text"]["ids"])(folder)
    for use in (USES["evaluate"], USES["resume"]):
        with pytest.raises(hb.UsageError, match="is not the text that"):
            use(folder)


def test_notes_may_be_in_any_encoding(folder):
    api.resume(folder, progress=False)
    (folder / "notes.md").write_bytes(b"caf\xe9\n")
    api.resume(folder, progress=False)
    assert b"caf\xe9" in (folder / "notes.md").read_bytes()


def imported(path):
    """Yield what a file of Python imports, and the names of what it calls."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{each.name}" for each in node.names)
        elif isinstance(node, ast.Call):
            yield f"{ast.unparse(node.func)}()"


def test_nothing_in_the_source_unpickles_or_runs_what_it_reads():
    package = Path(hb.__file__).parent
    names = {(path.name, name) for path in package.rglob("*.py") for name in imported(path)}
    forbidden = ("pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "yaml", "runpy")
    assert not {each for each in names if each[1].split(".")[0] in forbidden}
    ways = ("torch.load()", "np.load()", "numpy.load()", "eval()", "exec()", "load_module()", "torch.jit.load()")
    assert not {each for each in names if each[1] in ways}


def test_nothing_is_unpickled_while_a_run_is_used(folder):
    """As the interpreter itself sees it: it tells of each class that an unpickler asks for."""
    seen, watching = [], True

    def watch(event, arguments):
        if watching and event in ("pickle.find_class", "marshal.load", "os.system", "subprocess.Popen"):
            seen.append(event)

    sys.addaudithook(watch)  # which nothing takes away again
    for use in USES.values():
        use(folder)
    watching = False
    assert seen == []
