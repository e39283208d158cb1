"""How fast whole training steps are: tokens and floating-point operations a second, and the share of the peak.

    python bench/throughput.py shakespeare-10m microgpt nanogpt        # on a GPU if there is one
    python bench/throughput.py nanogpt-cpu --device cpu

On CUDA the steps are compiled, and it is an error if one of them makes the host wait for the device. A step's
operations are counted as nanoGPT counts them: 6 for each weight and token, and 12·n_layer·n_embd·block_size for each
token's attention. `--peak` is what the device can do at most, in TFLOP/s in this number format (an H200: 989 in
bfloat16); `--json FILE` also writes the figures.
"""

import argparse
import json
import time
from pathlib import Path

import torch

from hornbook.model.build import build
from hornbook.model.weights import get_parameters
from hornbook.presets import find_preset
from hornbook.training.devices import choose_device, choose_dtype
from hornbook.training.optimizers import make_optimizer
from hornbook.training.step import TrainStep


def measure(name: str, device: torch.device, steps: int) -> dict[str, float | str]:
    """Time so many steps of a preset, after as many to warm up."""
    preset = find_preset(name)
    config, recipe = preset.model_config(65), preset.recipe
    model = build(config, 1).to(device)
    dtype = choose_dtype(recipe.dtype, device, config)
    step = TrainStep(model, make_optimizer(model, recipe), recipe, 5_000, 1, dtype)
    ids = torch.randint(65, (recipe.batch_size, config.block_size), device=device)
    began = 0.0
    for number in range(1, 2 * steps + 1):
        if number == steps + 1:
            if device.type == "cuda":
                torch.cuda.synchronize()
                torch.cuda.set_sync_debug_mode("error")
            began = time.perf_counter()
        loss, _ = step(number, ids, ids)
    if device.type == "cuda":
        torch.cuda.set_sync_debug_mode("default")
    loss.item()  # waits for the device
    seconds = (time.perf_counter() - began) / steps
    weights = sum(w.numel() for n, w in get_parameters(model).items() if not n.startswith("positions."))
    operations = 6 * weights + 12 * config.n_layer * config.n_embd * config.block_size
    tokens = recipe.batch_size * config.block_size / seconds
    return {
        "preset": name,
        "device": torch.cuda.get_device_name() if device.type == "cuda" else device.type,
        "dtype": dtype,
        "ms a step": 1000 * seconds,
        "tokens/s": tokens,
        "TFLOP/s": tokens * operations / 1e12,
    }


def main() -> None:
    """Print one row a preset."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("presets", nargs="+")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--peak", type=float, help="TFLOP/s")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    device = choose_device(asked.device)
    print("| preset | device, dtype | ms a step | tokens/s | TFLOP/s | share of the peak |\n|---|---|---|---|---|---|")
    rows = []
    for name in asked.presets:
        row = measure(name, device, asked.steps)
        row["share of the peak"] = f"{row['TFLOP/s'] / asked.peak:.1%}" if asked.peak else "not said"
        rows.append(row)
        print(
            f"| {name} | {row['device']}, {row['dtype']} | {row['ms a step']:.1f} | {row['tokens/s']:,.0f} "
            f"| {row['TFLOP/s']:.3g} | {row['share of the peak']} |",
            flush=True,
        )
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
