"""What saving costs a training: the same steps with a checkpoint every so many seconds, and without one.

    python bench/saving.py my.txt --preset shakespeare-10m

The two are timed in turns, `--rounds` times. Of each save also, by CPU time, which other programs disturb less: the
copy, for which the training stands still, and the thread that writes beside it; `--saves 12` measures nothing else, of
so many saves. `--json FILE` also writes the figures.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import hornbook as hb
from hornbook.training import loop
from hornbook.training.step import TrainStep

SETTINGS = {
    "recipe.evaluate_on": 256,
    "recipe.sample_length": 0,
    "recipe.evaluate_every": 10**9,
    "recipe.random_batches": 0,
}


still, beside = list[float](), list[float]()  # seconds of CPU of each save: in the training, and in its own thread


def measured(pause: Any, prune: Any) -> tuple[Any, Any]:
    """Return the loop's `_save` and the end of its thread's work, noting what they take."""

    def timed_pause(self: Any) -> None:
        before = time.thread_time()
        pause(self)
        still.append(time.thread_time() - before)

    def timed_prune(*words: Any) -> None:
        prune(*words)
        beside.append(time.thread_time())  # all of it: the thread began with this save

    return timed_pause, timed_prune


def seconds(text: Path, preset: str, steps: int, save_every: float) -> float:
    """Return the seconds from the end of the first step to the end of the last, the saves between among them."""
    ends, real = list[float](), TrainStep.__call__

    def step(self: TrainStep, *words: Any) -> Any:
        result = real(self, *words)
        result[0].item()
        ends.append(time.perf_counter())
        return result

    before, loop.SAVE_EVERY = loop.SAVE_EVERY, save_every
    TrainStep.__call__ = step  # type: ignore[method-assign]
    try:
        with tempfile.TemporaryDirectory() as folder:
            hb.train(text, preset, out=Path(folder) / "run", settings=SETTINGS, steps=steps, progress=False)
    finally:
        TrainStep.__call__ = real  # type: ignore[method-assign]
        loop.SAVE_EVERY = before
    return ends[-1] - ends[0]


def main() -> None:
    """Print the seconds of each round, and by how much saving made them longer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path)
    parser.add_argument("--preset", default="shakespeare-10m")
    parser.add_argument("--every", type=float, default=30.0, help="seconds from one save to the next")
    parser.add_argument("--minutes", type=float, default=1.0, help="how long a side of a round is")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--saves", type=int, default=0)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    loop._Loop._save, loop.checkpoints.prune = measured(loop._Loop._save, loop.checkpoints.prune)  # type: ignore[method-assign]
    ratios, steps = list[float](), asked.saves
    if asked.saves:
        SETTINGS.update({"recipe.batch_size": 1, "recipe.accumulate": 1})
        seconds(asked.text, asked.preset, steps, -1.0)
    else:
        a_step = seconds(asked.text, asked.preset, 4, 1e9) / 3
        steps = max(4, round(60 * asked.minutes / a_step) + 1)
        for number in range(asked.rounds):
            pair = {}
            for save_every in sorted((asked.every, 1e9), reverse=bool(number % 2)):
                pair[save_every] = seconds(asked.text, asked.preset, steps, save_every)
            ratios.append(pair[asked.every] / pair[1e9])
            print(f"{steps - 1} steps: {pair[1e9]:.2f} s, with saves {pair[asked.every]:.2f} s: {ratios[-1] - 1:+.2%}")
        print(f"median: {statistics.median(ratios) - 1:+.2%} for a save every {asked.every:g} s")
    a_save = statistics.median(still), statistics.median(beside)
    print(f"a save, in the median of {len(still)}: {a_save[0]:.3f} s of CPU to copy, {a_save[1]:.3f} s beside")
    if asked.json:
        asked.json.write_text(
            json.dumps({"steps": steps - 1, "ratios": ratios, "still": still, "beside": beside}), encoding="utf-8"
        )


if __name__ == "__main__":
    main()
