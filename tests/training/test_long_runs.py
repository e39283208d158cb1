"""A run of many steps, with its evaluations, samples and saves, takes no more memory and no more files at its end."""

import json
import sys

import pytest

LONG = """
import json, os, sys
import torch
torch.set_num_threads(1)
import hornbook as hb
from hornbook.training import loop
from hornbook.training.step import TrainStep
text, out, steps = sys.argv[1], sys.argv[2], int(sys.argv[3])
loop.SAVE_EVERY = 0.2
settings = {"recipe.batch_size": 2, "recipe.evaluate_every": steps // 100, "recipe.evaluate_on": 64}
settings |= {"recipe.sample_length": 20, "recipe.steps": steps}
found, real = [], TrainStep.__call__

def step(self, number, *batch):
    if number % (steps // 20) == 0:
        pages = int(open("/proc/self/statm").read().split()[1])
        found.append((pages * os.sysconf("SC_PAGE_SIZE") >> 20, len(os.listdir("/proc/self/fd"))))
    return real(self, number, *batch)

TrainStep.__call__ = step
hb.train(text, "bigram", out=out, settings=settings, progress=None)
print(json.dumps(found))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of itself in /proc")
@pytest.mark.parametrize("steps", [2_000, pytest.param(100_000, marks=[pytest.mark.slow, pytest.mark.long])])
def test_memory_and_open_files_stay_flat(python, tmp_path, made_up, steps):
    text = tmp_path / "text.txt"
    text.write_text(made_up(5_000), encoding="utf-8")
    started = python("-c", LONG, text, tmp_path / "run", steps)
    said, errors = started.communicate()
    assert started.returncode == 0, errors
    found = json.loads(said)
    assert len(found) == 20
    memory, files = zip(*found, strict=True)
    assert max(memory[4:]) <= memory[3] + 8, found  # MB, after what is made once; a log of 100,000 losses is 20 in all
    assert max(files) <= min(files) + 2, found  # a save may be under way
