"""What training is asked to do, as plain data."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from typing import Any

from hornbook.errors import UsageError, nearest

OPTIMIZERS = ("adamw", "muon")
SCHEDULES = ("constant", "linear", "cosine")
DTYPES = ("auto", "float32", "bfloat16")
CHOICES = {"optimizer": OPTIMIZERS, "schedule": SCHEDULES, "decay_schedule": SCHEDULES, "dtype": DTYPES}
RATES = ("learning_rate", "muon_rate")
MOST_EVALUATIONS = 100_000  # each writes a checkpoint
MOST_MINUTES = 10**6  # two years

BOUNDS = {
    "steps": (1, 10**9),
    "batch_size": (1, 2**20),
    "accumulate": (1, 2**20),
    "warmup": (0, 10**9),
    "hold": (0, 1),
    "floor": (0, 1),
    "beta1": (0, 0.999999),
    "beta2": (0, 0.999999),
    "muon_momentum": (0, 0.999999),
    "weight_decay": (0, 10**6),
    "clip": (0, 10**6),
    "average": (0, 0.999999),
    "length_warmup": (0, 1),
    "evaluate_every": (1, 10**9),
    "evaluate_on": (1, 65_536),
    "keep_every": (1, 10**9),
    "random_batches": (0, 10**6),
    "early_stop": (1, 10**9),
    "sample_length": (0, 10**6),
}
"""The least and the most that a setting can be."""


@dataclass(frozen=True)
class Recipe:
    """The settings of a training. Raises `UsageError` for values that no training can have."""

    steps: int | None = None
    """how many updates; if not said, as many as fit in `minutes`"""
    minutes: float | None = None
    """a budget in place of steps: a short calibration turns it into a number of steps"""
    batch_size: int = 32
    """windows of text in a step (B)"""
    accumulate: int = 1
    """cut the batch into this many pieces, one after the other, to save memory"""
    optimizer: str = "adamw"
    """adamw; or muon: Muon for the matrices inside the blocks, AdamW for all else"""
    learning_rate: float = 1e-3
    """AdamW's rate at its peak"""
    warmup: int = 0
    """steps over which the rate rises to its peak"""
    schedule: str = "constant"
    """what the rate does then: constant, linear or cosine decay"""
    hold: float = 0.0
    """the share of all steps after which a decay begins; else it begins after the warm-up"""
    floor: float = 0.0
    """where a decay ends, as a share of the peak"""
    beta1: float = 0.9
    """AdamW's memory of gradients"""
    beta2: float = 0.99
    """AdamW's memory of their squares"""
    muon_rate: float = 0.02
    """Muon's rate at its peak; it rises and falls as AdamW's does"""
    muon_momentum: float = 0.95
    """Muon's memory of gradients"""
    weight_decay: float = 0.0
    """the pull of matrices towards zero, as a share of the rate"""
    decay_schedule: str = "constant"
    """what that pull does: constant; linear or cosine: it falls to zero while the rate decays"""
    clip: float = 1.0
    """the longest gradient (its norm over all weights) that is not shortened; 0 leaves all as they are"""
    average: float = 0.0
    """how much of the weights' moving average a step keeps, such as 0.99: the average is what is used; 0 is without"""
    length_warmup: float = 0.0
    """the share of all steps whose windows are short: a quarter of block_size, then half, and as many more of them"""
    evaluate_every: int | None = None
    """steps from one evaluation to the next; if not said, eight in a run, and one early"""
    evaluate_on: int = 65_536
    """characters of each split that an evaluation scores, evenly spaced, at most"""
    keep_every: int | None = None
    """save every so many steps and keep those checkpoints; else only the newest and the best stay"""
    random_batches: int = 0
    """also score as many random batches of each split, as others report it"""
    early_stop: int | None = None
    """stop after this many evaluations without a lower validation loss"""
    dtype: str = "auto"
    """float32; bfloat16 for the matrix products; auto: bfloat16 where the machine is quicker with it"""
    sample_length: int = 200
    """units of text drawn at each evaluation"""

    def __post_init__(self) -> None:
        for name, (least, most) in BOUNDS.items():
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise UsageError(f"recipe.{name} is {value}; it has to be from {least:,} to {most:,}.")
        for name, most in (("minutes", MOST_MINUTES), *dict.fromkeys(RATES, sys.float_info.max).items()):
            value = getattr(self, name)
            if value is not None and not 0 < value <= most:
                raise UsageError(f"recipe.{name} is {value}; it has to be above 0 and finite.")
        if self.batch_size % self.accumulate:
            raise UsageError(
                f"recipe.batch_size={self.batch_size} does not divide into recipe.accumulate={self.accumulate} pieces."
            )
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise UsageError(
                    f"recipe.{name}={getattr(self, name)} is not one; {nearest(getattr(self, name), choices)}"
                )
        if self.steps and self.evaluate_every and self.steps // self.evaluate_every > MOST_EVALUATIONS:
            raise UsageError(
                f"recipe.evaluate_every={self.evaluate_every} makes {self.steps // self.evaluate_every:,} evaluations; "
                f"it has to be at least {self.steps // MOST_EVALUATIONS + 1:,}."
            )
        if self.steps is not None and self.minutes is not None:
            raise UsageError("give a number of steps or a number of minutes, not both.")

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain data."""
        return asdict(self)
