"""The same seed again: what stays the same to the last bit, and what another machine would change.

    python bench/same_seed.py my.txt --steps 500

The run is made once, then again as it was, with other numbers of threads, and with the kernels that torch takes on
lesser processors (its environment variable ATEN_CPU_CAPABILITY). `--json FILE` also writes the figures.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

WORK = """
import json, sys, torch
torch.set_num_threads(int(sys.argv[1]))
import hornbook as hb
text, preset, out, steps = sys.argv[2:6]
run = hb.train(text, preset, out=out, steps=int(steps), progress=False)
print(json.dumps([run.checkpoints[-1].weights_sha256, run.history]))
"""
WAYS = {
    "again, 2 threads": (2, {}),
    "1 thread": (1, {}),
    "1 thread, again": (1, {}),
    "2 threads, AVX2 only": (2, {"ATEN_CPU_CAPABILITY": "avx2"}),
    "2 threads, neither AVX2 nor AVX-512": (2, {"ATEN_CPU_CAPABILITY": "default"}),
}


def train(threads: int, environment: dict[str, str], asked: argparse.Namespace) -> tuple[str, list[dict[str, Any]]]:
    """Train in a process of its own; return the hash of the last weights, and the log."""
    with tempfile.TemporaryDirectory() as folder:
        words = [threads, asked.text, asked.preset, Path(folder) / "run", asked.steps]
        command = [sys.executable, "-c", WORK, *map(str, words)]
        said = subprocess.run(command, env=os.environ | environment, check=True, stdout=subprocess.PIPE)
    weights, log = json.loads(said.stdout)
    return weights, log


def main() -> None:
    """Print, for each way, whether it is the same; else the first step that is not, and how far the losses part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path)
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    weights, log = train(2, {}, asked)
    figures = {}
    print(f"{'':<36} {'first other step':>16} {'largest |loss - loss|':>22} {'|val - val| at the end':>23}")
    for name, (threads, environment) in WAYS.items():
        others, other = train(threads, environment, asked)
        pairs = [(one, two) for one, two in zip(log, other, strict=True) if "batch_loss" in one]
        apart = [abs(one["batch_loss"] - two["batch_loss"]) for one, two in pairs]
        first = next((one["step"] for one, two in pairs if one != two), None)
        end = abs(log[-1]["final_val_loss"] - other[-1]["final_val_loss"])
        figures[name] = {"same": weights == others, "first": first, "loss": max(apart), "val": end}
        same = "same bits" if weights == others and log == other else str(first)
        print(f"{name:<36} {same:>16} {max(apart):>22.1e} {end:>23.1e}")
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
