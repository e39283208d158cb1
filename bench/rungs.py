"""Train presets one after the other, each as its user would, and print what came out.

    python bench/rungs.py tinyshakespeare.txt bigram head heads block small quick

The text is a path or the name of a text. `--json FILE` also writes the table as JSON.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def train(text: str, preset: str, folder: Path, words: list[str]) -> dict[str, object]:
    """Train one preset in a process of its own; return its figures."""
    before = time.monotonic()
    command = [sys.executable, "-m", "hornbook.cli", "train", text, "--preset", preset, "--out", str(folder), "--json"]
    run = json.loads(subprocess.run([*command, *words], check=True, capture_output=True, encoding="utf-8").stdout)
    seconds = time.monotonic() - before
    times = [json.loads(line) for line in (folder / "times.jsonl").read_text(encoding="utf-8").splitlines()]
    best = min(run["evaluations"], key=lambda line: line["val_loss"])
    return {
        "preset": preset,
        "parameters": run["config"]["parameters"],
        "steps": run["config"]["steps"],
        "train": round(best["train_loss"], 4),
        "val": round(run["final"]["final_val_loss"], 4),
        "tokens/s": round(times[-1]["tokens_per_second"]),
        "seconds": round(seconds, 1),
        "MB (largest so far)": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024),
    }


def main() -> None:
    """Print one row a preset."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text")
    parser.add_argument("presets", nargs="+")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--with", dest="words", default="", help="more words for hornbook train, such as '--seed 2'")
    asked = parser.parse_args()
    rows = []
    for preset in asked.presets:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(train(asked.text, preset, Path(folder) / "run", asked.words.split()))
        if len(rows) == 1:
            print(" | ".join(rows[0]))
        print(" | ".join(str(value) for value in rows[-1].values()), flush=True)
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
