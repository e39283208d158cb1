"""`quick` against nanoGPT's recipe for a computer without a GPU: the same text, the same minutes, in bits a byte.

    python bench/against_nanogpt.py my.txt other.txt --minutes 3
    python bench/against_nanogpt.py my.txt --minutes 3 --at-once     # side by side, on one thread each

`nanogpt-cpu` is that recipe, with as many steps as the minutes hold and its schedule over all of them. Each is scored
on the whole validation text, which is the same for both. `--json FILE` also writes the figures.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

PRESETS = ("quick", "nanogpt-cpu")


def start(text: str, preset: str, minutes: float, folder: Path, threads: int | None) -> "subprocess.Popen[str]":
    """Begin a training in a process of its own."""
    command = [sys.executable, "-m", "hornbook.cli", "train", text, "--preset", preset, "--minutes", str(minutes)]
    command += ["--out", str(folder / preset), "--json"]
    env = {**os.environ, **({"OMP_NUM_THREADS": str(threads)} if threads else {})}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8", env=env)


def figures(text: str, process: "subprocess.Popen[str]") -> dict[str, Any]:
    """Return what a training came to."""
    out, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"{text}: a training ended with exit code {process.returncode}")
    run = json.loads(out)
    config, model = run["config"], run["config"]["model"]
    read = config["steps"] * config["recipe"]["batch_size"] * model["block_size"]
    return {
        "text": text,
        "preset": config["preset"],
        "size": f"{model['n_layer']} × {model['n_embd']}, {model['block_size']}",
        "parameters": config["parameters"],
        "steps": config["steps"],
        "units read": read,
        "bits a byte": run["final"]["bits_per_byte"],
        "5-gram": run["final"]["bits_per_byte"] * config["landmarks"]["5-gram"] / run["final"]["final_val_loss"],
    }


def main() -> None:
    """Print a row for each text and preset."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", nargs="+")
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--at-once", action="store_true", help="both at the same time, on one thread each")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for text in asked.texts:
        with tempfile.TemporaryDirectory() as folder:
            threads = 1 if asked.at_once else None
            begun = (start(text, preset, asked.minutes, Path(folder), threads) for preset in PRESETS)
            rows += [figures(text, process) for process in (list(begun) if asked.at_once else begun)]
        if len(rows) == len(PRESETS):
            print(" | ".join(rows[0]))
        for row in rows[-len(PRESETS) :]:
            print(" | ".join(f"{v:.4f}" if isinstance(v, float) else str(v) for v in row.values()), flush=True)
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
