"""Modular, batched and fused attention side by side: time and peak memory, training and inference, by size.

    python bench/attention.py                       # one layer of each, on the processor, or on a GPU if there is one
    python bench/attention.py 32x64x64x4            # only this size: rows × context × channels × heads
    python bench/attention.py --dropout 0.2         # what the fused kernel can't do: matrix products do it instead

Each form is measured in processes of its own, turn by turn. Memory is what a pass needs beyond the weights and the
input: on a GPU as PyTorch counts it, else as the system does (not on Windows). `--json FILE` writes the figures too.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from hornbook.model.build import PARTS
from hornbook.model.config import ModelConfig
from hornbook.model.dropout import Clock

FORMS = {"modular": "heads", "batched": "batched", "fused": "fused"}
SIZES = ["32x64x64x4", "12x64x128x4", "64x256x384x6", "8x1024x384x6"]
ROUNDS = 3
FIGURES = ("training ms", "training MB", "inference ms", "inference MB")


def peak_memory(device: str) -> float:
    """Return the most memory that was in use so far, in MB; nan where the system does not say."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 1e6
    try:
        import resource
    except ImportError:
        return float("nan")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def milliseconds(work: Callable[[], object], device: str) -> float:
    """Return the median time of doing it, over at least a second of doing it."""
    seconds: list[float] = []
    while sum(seconds) < 1 or len(seconds) < 5:
        before = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - before)
    return 1000 * statistics.median(seconds)


def measure(form: str, size: str, dropout: float, device: str) -> dict[str, float]:
    """Measure one form at one size, in this process."""
    B, T, C, H = map(int, size.split("x"))
    config = ModelConfig(2, n_embd=C, n_head=H, block_size=T, dropout=dropout, bias_qkv=False)
    torch.manual_seed(1)
    part = PARTS["attention"][FORMS[form]](config, "bench").to(device)
    Clock(part.modules(), seed=1).set(1)

    def train(x: torch.Tensor) -> None:
        part.train()(x.detach().requires_grad_()).sum().backward()
        part.zero_grad()

    def infer(x: torch.Tensor) -> None:
        with torch.inference_mode():
            part.eval()(x)

    x = torch.randn(B, T, C, device=device)
    train(x[:1, :8])  # what is loaded at the first use is no part of a pass
    infer(x[:1, :8])
    figures = {}
    empty = peak_memory(device)
    for name, work in (("inference", infer), ("training", train)):  # the smaller first: a peak only rises
        work(x)
        figures[f"{name} MB"] = peak_memory(device) - empty
        figures[f"{name} ms"] = milliseconds(lambda work=work: work(x), device)
    return figures


def in_own_process(form: str, size: str, dropout: float, device: str) -> dict[str, float]:
    """Measure in a process of its own, so that the peak is of this form alone."""
    words = [sys.executable, __file__, size, "--one", form, "--dropout", str(dropout), "--device", device]
    return json.loads(subprocess.run(words, check=True, capture_output=True, encoding="utf-8").stdout)


def main() -> None:
    """Print one row a size and form."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", default=SIZES)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--one", choices=FORMS, help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(measure(asked.one, asked.sizes[0], asked.dropout, asked.device)))
        return
    print(f"{asked.device}, {torch.get_num_threads()} threads, dropout {asked.dropout}; × as fast: than modular\n")
    print(f"| rows × context × channels × heads | form | {' | '.join(FIGURES)} | × as fast |")
    print("|---|---|" + "---|" * (len(FIGURES) + 1))
    rows = []
    for size in asked.sizes:
        rounds = [
            {form: in_own_process(form, size, asked.dropout, asked.device) for form in FORMS} for _ in range(ROUNDS)
        ]
        for form in FORMS:
            median = {name: statistics.median(figures[form][name] for figures in rounds) for name in FIGURES}
            ratios = {
                kind: statistics.median(r["modular"][f"{kind} ms"] / r[form][f"{kind} ms"] for r in rounds)
                for kind in ("training", "inference")
            }
            rows.append({"size": size, "form": form, **median, "as fast": ratios})
            cells = [f"{median[name]:.1f}" for name in FIGURES]
            fast = f"{ratios['training']:.2f}, {ratios['inference']:.2f}"
            print(f"| {size.replace('x', ' × ')} | {form} | {' | '.join(cells)} | {fast} |", flush=True)
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
