"""Kill runs at random moments, go on with them, and count those that end in other bytes than a run that nobody killed.

    python bench/kills.py 2500

A run is a process of its own, and dies by SIGKILL at a random moment of the time that it usually takes; a third of the
runs once, the others again and again, also while they resume. At its end the log, the samples, the losses and the
checkpoints with weights and optimizer have to be the same, byte for byte. `--seed` gives other moments, `--json FILE`
also writes the figures as JSON.
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.faults import VARIANTS, WORDS, call, ending, start, wait, work_on

SAVE_EVERY = 0.05  # seconds
LONGER = {"model.n_layer": 2, "recipe.steps": 60, "recipe.evaluate_every": 12}
RUNS: dict[str, dict[str, Any]] = {
    "accumulation and dropout": {**VARIANTS["accumulation and dropout"], **LONGER},
    "early stop": {**VARIANTS["early stop"], "recipe.steps": 60, "recipe.evaluate_every": 5},
    "minutes": {**VARIANTS["minutes"], "recipe.minutes": 0.02, "recipe.batch_size": 32},
    "bpe": {**VARIANTS["bpe"], **LONGER},
}


class Killer:
    """Kills runs, and knows what they should have ended in."""

    def __init__(self, folder: Path, seed: int, kills: int) -> None:
        self.folder, self.seed, self.kills = folder, seed, kills
        self.fell = Counter[str]()
        self.of = {name: Counter[str]() for name in RUNS}
        self.wrong: list[dict[str, Any]] = []
        self.lock, self.whole = Lock(), dict[tuple[str, int], tuple[dict[str, bytes], float]]()

    def place(self, name: str) -> Path:
        """Make a folder with a text, for a run."""
        path = self.folder / name
        path.mkdir()
        (path / "text.txt").write_bytes((WORDS * 20).encode("utf-8"))
        return path

    def unbroken(self, variant: str, steps: int) -> tuple[dict[str, bytes], float]:
        """Return what a run of so many steps ends in, and how many seconds it takes; 0 steps: as the variant says."""
        with self.lock:
            if (variant, steps) not in self.whole:
                path, before = self.place(f"whole {variant} {steps}"), time.monotonic()
                settings = {
                    name: value for name, value in RUNS[variant].items() if name != "recipe.minutes" or not steps
                }
                settings |= {"recipe.steps": steps} if steps else {}
                if call(work_on, path, settings, SAVE_EVERY, False):
                    raise SystemExit(f"a run that nobody killed failed: {variant}")
                self.whole[variant, steps] = ending(path / "run"), time.monotonic() - before
        return self.whole[variant, steps]

    def run(self, number: int) -> None:
        """Train one run, killed on its way, to its end."""
        if self.fell.total() >= self.kills:
            return
        chance, variant = random.Random(f"{self.seed} {number}"), list(RUNS)[number % len(RUNS)]
        _, seconds = self.unbroken(variant, 0)
        path, moments = self.place(str(number)), []
        for _ in range(chance.choice((1, 3, 6))):
            process = start(work_on, path, RUNS[variant], SAVE_EVERY, False)
            moments.append(chance.uniform(0, seconds))
            seconds *= 0.7  # the more it has behind it, the less it has before it
            if wait(process, moments[-1]) is not None:
                break
            process.kill()
            wait(process)
            with self.lock:
                self.fell[where(path / "run")] += 1
                self.of[variant]["kills"] += 1
        code = call(work_on, path, RUNS[variant], SAVE_EVERY, False)
        found = ending(path / "run")
        expected, _ = self.unbroken(variant, json.loads((path / "run" / "config.json").read_bytes())["steps"])
        different = [name for name in expected if found.get(name) != expected[name]]
        with self.lock:
            self.of[variant]["runs"] += 1
            if code or different:
                self.of[variant]["mismatches"] += 1
                self.wrong.append({"run": number, "moments": moments, "exit code": code, "different": different})
        shutil.rmtree(path)


def where(run: Path) -> str:
    """Say what a run was doing when it was killed, by what it left."""
    if not (run / "config.json").exists():
        return "before the run was begun"
    checkpoints = [path.name for path in run.glob("checkpoints/*")]
    if any(name.startswith((".writing-", ".removing-")) for name in checkpoints):
        return "in a save"
    log = run / "log.jsonl"
    if log.exists() and b"final_val_loss" in log.read_bytes():
        return "after the score at the end"
    return "in training" if checkpoints else "before the first save"


def main() -> None:
    """Print how many kills there were, where they fell, and how many runs ended otherwise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kills", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(asked.workers) as pool:
        killer = Killer(Path(folder), asked.seed, asked.kills)
        for variant in RUNS:
            killer.unbroken(variant, 0)
        before = time.monotonic()
        list(pool.map(killer.run, range(4 * asked.kills)))
        seconds = time.monotonic() - before
    print("| runs of | runs | kills | mismatches |\n|---|---:|---:|---:|")
    for variant, counts in killer.of.items():
        print(f"| {variant} | {counts['runs']:,} | {counts['kills']:,} | {counts['mismatches']:,} |")
    print("\n| killed | kills |\n|---|---:|")
    for place, kills in killer.fell.most_common():
        print(f"| {place} | {kills:,} |")
    kills = killer.fell.total()
    print(f"\n{kills:,} kills in {seconds:,.0f} s, {kills / seconds:.1f} a second; {len(killer.wrong)} mismatches")
    for wrong in killer.wrong:
        print(json.dumps(wrong))
    if asked.json:
        figures = {"kills": kills, "seconds": seconds, "fell": killer.fell, "of": killer.of, "wrong": killer.wrong}
        asked.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")
    sys.exit(bool(killer.wrong))


if __name__ == "__main__":
    main()
