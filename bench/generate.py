"""How many units a second a model of a size writes, one stream, from a fresh model (speed doesn't depend on weights).

    python bench/generate.py                # 10.79M parameters: nanoGPT's Shakespeare sizes

`--json FILE` also writes the figures as JSON.
"""

import argparse
import json
import time
from pathlib import Path

import torch

from hornbook.generation.generator import generate, quicken
from hornbook.model.build import build
from hornbook.model.config import ModelConfig


def main() -> None:
    """Print units a second with and without kept keys and values."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=500)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    config = ModelConfig(vocab_size=65, n_layer=6, n_head=6, n_embd=384, block_size=256, bias_qkv=False)
    model = build(config).eval()
    quicken(model)  # as a run does before it generates
    figures = {}
    for name, cache, units in (("kept", True, asked.units), ("computed anew", False, asked.units // 5)):
        for _ in generate(model, [0], block_size=256, tokens=20, cache=cache):
            pass
        before = time.perf_counter()
        for _ in generate(model, [0], block_size=256, tokens=units, cache=cache):
            pass
        figures[f"units/s, keys and values {name}"] = round(units / (time.perf_counter() - before), 1)
    for name, value in figures.items():
        print(f"{name:<40} {value}")
    print(f"threads {torch.get_num_threads()}")
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
