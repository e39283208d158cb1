"""Text into ids, each tokenizer beside what it is to be measured by, in one run.

    python bench/text.py my.txt other.txt

Characters stand beside nanoGPT's way (a list comprehension over a dict), graphemes and aksharas beside `\\X` of the
`regex` module, merges (bpe) beside the library that learns them. Each pair is timed in turns, `--rounds` times; the
least time counts. `--json FILE` also writes the figures.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import regex

from hornbook.text.reading import read_chunks
from hornbook.text.tokenizer import TOKENIZERS
from hornbook.text.units import Fitting

CLUSTER = regex.compile(r"\X")
BPE = Fitting(vocab_size=1024)


def nanogpt(text: str) -> np.ndarray:
    """Make ids as nanoGPT's data/shakespeare_char/prepare.py does."""
    stoi = {ch: i for i, ch in enumerate(sorted(set(text)))}
    return np.array([stoi[c] for c in text], dtype=np.uint16)


def library(text: str) -> Any:
    """Learn merges with `tokenizers` alone, which cuts the text by a pattern of the same kind."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    pattern = Regex(r" ?[\p{L}\p{M}\u200C\u200D]+| ?\p{N}{1,3}| ?[^\s\p{L}\p{M}\p{N}]+|\s+")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(pattern, "isolated")
    trainer = trainers.BpeTrainer(vocab_size=1024, min_frequency=2, show_progress=False)
    tokenizer.train_from_iterator(text.splitlines(keepends=True), trainer)
    return tokenizer


def least(works: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the least seconds that each of these takes, done in turns."""
    seconds = dict.fromkeys(works, float("inf"))
    for _ in range(rounds):
        for name, work in works.items():
            before = time.perf_counter()
            work()
            seconds[name] = min(seconds[name], time.perf_counter() - before)
    return seconds


def measure(text: str, rounds: int) -> dict[str, float]:
    """Return seconds for each way to make this text into ids."""
    pieces = [text[start : start + (1 << 20)] for start in range(0, len(text), 1 << 20)]
    works: dict[str, Callable[[], object]] = {"nanoGPT": lambda: nanogpt(text), r"\X": lambda: CLUSTER.findall(text)}
    for name in ("characters", "graphemes", "aksharas"):
        kind = TOKENIZERS[name]
        fitted = kind.fit(pieces)
        works[f"{name} fit"] = lambda kind=kind: kind.fit(pieces)  # type: ignore[misc]
        works[f"{name} encode"] = lambda fitted=fitted: list(fitted.encode_chunks(pieces))  # type: ignore[misc]
    seconds = least(works, rounds)
    merged, others = TOKENIZERS["bpe"].fit(pieces, BPE), library(text)
    return seconds | least(
        {
            "bpe fit": lambda: TOKENIZERS["bpe"].fit(pieces, BPE),
            "library fit": lambda: library(text),
            "bpe encode": lambda: list(merged.encode_chunks(pieces)),
            "library encode": lambda: others.encode_batch(text.splitlines(keepends=True)),
        },
        min(rounds, 3),
    )


PAIRS = {
    "characters encode": "nanoGPT",
    "graphemes fit": r"\X",
    "graphemes encode": r"\X",
    "aksharas fit": r"\X",
    "aksharas encode": r"\X",
    "bpe fit": "library fit",
    "bpe encode": "library encode",
}


def main() -> None:
    """Print MB/s of each way, and how many times as fast it is as what it stands beside."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    figures = {}
    for path in asked.texts:
        text = "".join(read_chunks([path]))
        size = len(text.encode("utf-8")) / 1e6
        seconds = measure(text, asked.rounds)
        figures[path.stem] = seconds
        print(f"\n{path.stem}: {size:.1f} MB, {len(text):,} characters")
        for way, beside in PAIRS.items():
            ratio = seconds[beside] / seconds[way]
            speeds = f"{size / seconds[way]:8.1f} MB/s   {beside:<15} {size / seconds[beside]:8.1f}"
            print(f"  {way:<18} {speeds}   {ratio:6.2f} ×")
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
