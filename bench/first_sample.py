"""Time what a newcomer waits for: the first line, the first sample, and the end of `hornbook train`.

    python bench/first_sample.py [TEXT] [--times N]

Without a text it takes the default one. `--json FILE` also writes the figures as JSON.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def once(text: list[str]) -> dict[str, float]:
    """Run `hornbook train` in a new folder and note when things appear."""
    times: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        before = time.monotonic()
        command = [sys.executable, "-m", "hornbook.cli", "train", *text, "--out", str(Path(folder) / "run")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8") as process:
            assert process.stdout is not None
            trained = False
            for line in process.stdout:
                now = time.monotonic() - before
                times.setdefault("first line", now)
                if line.startswith("    │"):
                    times.setdefault("first sample", now)
                    if trained:
                        times.setdefault("first sample after some training", now)
                trained = trained or (line.startswith("step ") and not line.startswith("step 0 "))
        times["end"] = time.monotonic() - before
    return times


def main() -> None:
    """Print the median of each figure, in seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", nargs="*")
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    runs = [once(asked.text) for _ in range(asked.times)]
    figures = {name: round(statistics.median(run[name] for run in runs), 1) for name in runs[0]}
    for name, seconds in figures.items():
        print(f"{name:<34} {seconds:>6} s")
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
