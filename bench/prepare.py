"""Prepare a large text and print the time and the memory it took.

    python bench/prepare.py 2000            # a text of 2,000 MB, in one line, made for it

`--json FILE` also writes the figures as JSON.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PIECE = "ಜ್ಞಾನವೇ ಶಕ್ತಿ, knowledge is power; " * 1000


def main() -> None:
    """Print megabytes a second and the largest memory of the process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("megabytes", type=int)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "large.txt"
        piece = PIECE.encode("utf-8")
        with text.open("wb") as file:
            for _ in range(asked.megabytes * 1_000_000 // len(piece) + 1):
                file.write(piece)
        before = time.monotonic()
        command = [sys.executable, "-m", "hornbook.cli", "prepare", str(text), "--out", str(Path(folder) / "ids")]
        subprocess.run(command, check=True)
        seconds = time.monotonic() - before
        size = text.stat().st_size / 1e6
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    figures = {
        "MB of text": round(size),
        "seconds": round(seconds, 1),
        "MB/s": round(size / seconds),
        "MB of memory": round(memory),
    }
    print("   ".join(f"{name} {value}" for name, value in figures.items()))
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
