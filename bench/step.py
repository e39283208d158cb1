"""How long a training step takes in float32 and in bfloat16, for `quick` at several widths.

    python bench/step.py [WIDTH …]

`--json FILE` also writes the figures as JSON.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import torch

from hornbook.model.build import build
from hornbook.presets import PRESETS
from hornbook.training.optimizers import make_optimizer
from hornbook.training.step import TrainStep


def milliseconds(width: int, dtype: str, times: int = 20) -> float:
    """Return the median time of a step."""
    preset = PRESETS["quick"].changed({"model.n_embd": width})
    config, recipe = preset.model_config(65), preset.recipe
    model = build(config)
    step = TrainStep(model, make_optimizer(model, recipe), recipe, 1_000, 0, dtype)
    ids = torch.randint(65, (recipe.batch_size, config.block_size))
    seconds = []
    for number in range(1, times + 4):
        before = time.perf_counter()
        step(number, ids, ids)[0].item()
        seconds.append(time.perf_counter() - before)
    return round(1000 * statistics.median(seconds[3:]), 1)


def main() -> None:
    """Print one row a width."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("widths", nargs="*", type=int, default=[64, 128, 192, 256])
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    print("| width | float32 | bfloat16 |\n|---|---|---|")
    rows = []
    for width in asked.widths:
        rows.append({"width": width, **{dtype: milliseconds(width, dtype) for dtype in ("float32", "bfloat16")}})
        print(f"| {width} | {rows[-1]['float32']} | {rows[-1]['bfloat16']} |", flush=True)
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
