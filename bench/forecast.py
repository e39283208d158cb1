"""What loss `hornbook plan` says is to be expected: where that comes from, and whether it holds.

    python bench/forecast.py fit one.txt two.txt kannada … --rows rows.jsonl     # hours of one core
    python bench/forecast.py check three.txt:0.5:1 three.txt:2:2 …               # text:minutes:threads

`fit` trains what `quick` picks for each text and several amounts of text to be read, as if the machine were so fast,
and prints the weights for `src/hornbook/forecast.py`. The interval comes from leaving one text out at a time: what is
said of it then is wrong by so much in nine runs of ten. `--rows FILE` keeps what was trained, so that it is not trained
again. `check` plans and then trains, and counts how often the interval held; `--json FILE` writes its figures.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import hornbook as hb
from hornbook import api, forecast, planning
from hornbook.presets import find_preset
from hornbook.training.progress import Silent

READ = (150e3, 500e3, 1.5e6, 4e6)  # units, of a model of middle size


def row(text: str, read: float) -> dict[str, Any]:
    """Train what would be picked for a text on a machine that reads so much in its minute."""
    asked = find_preset("quick").changed({"recipe.minutes": 1.0})
    source, settings = api.find_text(text, asked.text, Silent())
    data = api.prepare_text(source, replace(asked, text=settings), Silent())
    measured, planning.measure = planning.measure, lambda *_: read / 60
    try:
        picked = dict(planning.plan(asked, data, torch.device("cpu")).settings)
    finally:
        planning.measure = measured
    a_step = picked["recipe.batch_size"] * picked["model.block_size"]
    sizes = (picked["model.n_layer"], picked["model.n_embd"], picked["model.block_size"])
    as_costly = planning.cost(*planning.MIDDLE[:3]) / planning.cost(*sizes)
    picked = {"recipe.steps": max(4, round(read * as_costly / a_step)), **picked, "recipe.evaluate_every": 10**9}
    with tempfile.TemporaryDirectory() as folder:
        run = hb.train(text, out=Path(folder) / "run", seed=round(read) % 1000 + 7, settings=picked, progress=False)
        loss = run.final["final_val_loss"]  # type: ignore[index]
    marks = run.config["landmarks"]
    units, steps = len(data.train), run.config["steps"]
    return {"text": text, "asked": read, "units": units, "read": steps * a_step, "loss": loss, **marks}


def fit(rows: list[dict[str, Any]]) -> None:
    """Print the weights, and how far off what is said of a text is that had no part in them."""
    texts = np.array([each["text"] for each in rows])
    X = np.array([forecast.features(each["read"]) for each in rows])
    y = np.log([each["loss"] / each["5-gram"] for each in rows])

    def weights(chosen: Any) -> Any:
        return np.linalg.lstsq(X[chosen], y[chosen], rcond=None)[0]

    off = y.copy()
    for text in set(texts):
        off[texts == text] -= X[texts == text] @ weights(texts != text)
    for each, by in zip(rows, off, strict=True):
        print(f"{each['text']:<40} {each['units']:>11,} {each['read']:>11,} {each['loss']:.4f}  off by {by:+.3f}")
    print("WEIGHTS =", tuple(weights(texts != "").round(4).tolist()))
    print("SPREAD =", round(float(np.quantile(np.abs(off), 0.9)), 3))


def check(job: str) -> dict[str, Any]:
    """Plan, train, and say whether what was expected came out."""
    text, minutes, threads = job.rsplit(":", 2)

    def hornbook(verb: str, *words: str) -> Any:
        command = [sys.executable, "-m", "hornbook.cli", verb, text, "--minutes", minutes, "--json", *words]
        env = {**os.environ, "OMP_NUM_THREADS": threads}
        return json.loads(subprocess.run(command, check=True, capture_output=True, encoding="utf-8", env=env).stdout)

    said = hornbook("plan")["expected"]
    with tempfile.TemporaryDirectory() as folder:
        loss = hornbook("train", "--out", str(Path(folder) / "run"))["final"]["final_val_loss"]
    return {"job": job, "came out": loss, **said, "holds": said["low"] <= loss <= said["high"]}


def main() -> None:
    """Fit, or check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["fit", "check"])
    parser.add_argument("texts", nargs="*")
    parser.add_argument("--rows", type=Path, default=Path("forecast-rows.jsonl"))
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    if asked.what == "fit":
        asked.rows.touch()
        rows = [json.loads(line) for line in asked.rows.read_text(encoding="utf-8").splitlines()]
        done = {(each["text"], each["asked"]) for each in rows}
        for text, read in itertools.product(asked.texts, READ):
            if (text, read) not in done:
                rows.append(row(text, read))
                with asked.rows.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(rows[-1]) + "\n")
        fit(rows)
        return
    figures = []
    for job in asked.texts:
        figures.append(each := check(job))
        print(
            f"{job:<40} {each['came out']:.4f}  expected {each['loss']:.2f} ({each['low']:.2f} to {each['high']:.2f}): "
            f"{'holds' if each['holds'] else 'does not hold'}",
            flush=True,
        )
    print(f"{sum(each['holds'] for each in figures)} of {len(figures)} hold")
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
