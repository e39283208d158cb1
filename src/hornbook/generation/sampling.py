"""How the next unit is chosen from the logits: rules as small functions, each doing one thing.

The order is: repetition penalty, which asks for the sign of the model's own logits; temperature; top-k; top-p of what
top-k left; min-p of what top-p left, with the likeliest always among it; then one draw. All of it in float64.
Shapes: B batch (one row a sample), T time, V vocabulary.
"""

import math
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from hornbook.errors import UsageError


def check_whole(name: str, value: Any, least: int, remedy: str) -> None:
    """Raise `UsageError` unless `value` is a whole number from `least` up."""
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < least:
        raise UsageError(f"{name} is {value}; it has to be a whole number, at least {least}; {remedy}.")


def _float(value: Any) -> float:
    """Return a number as a float; infinity for one that is too large, NaN for what is no number."""
    try:
        return float(value) if isinstance(value, Real) and not isinstance(value, bool) else float("nan")
    except OverflowError:
        return float("inf")


@dataclass(frozen=True)
class Sampling:
    """The rules for choosing the next unit. Raises `UsageError` for a value that a rule has no meaning for."""

    temperature: float = 1.0
    """below 1 bolder with what is likely, above 1 wilder; 0 always takes the likeliest unit"""
    top_k: int | None = None
    """choose among the k likeliest units only"""
    top_p: float | None = None
    """choose among the fewest units that together have this probability"""
    min_p: float | None = None
    """choose among the units that are at least this many times as probable as the likeliest"""
    repetition_penalty: float | None = None
    """above 1 makes the units less likely that stand in the window that the model sees, below 1 more"""

    def __post_init__(self) -> None:
        if not 0 <= _float(self.temperature) < float("inf"):
            raise UsageError(
                f"temperature is {self.temperature}; it has to be a finite number, at least 0; "
                "0 always takes the likeliest unit, 1 samples as the model predicts."
            )
        if self.top_k is not None:
            check_whole("top_k", self.top_k, 1, "leave it out to choose among all units")
        for name in ("top_p", "min_p"):
            value = getattr(self, name)
            if value is not None and not 0 < _float(value) <= 1:
                raise UsageError(
                    f"{name} is {value}; it has to be above 0 and at most 1; leave it out to choose among all units."
                )
        if self.repetition_penalty is not None and not 0 < _float(self.repetition_penalty) < float("inf"):
            raise UsageError(
                f"repetition_penalty is {self.repetition_penalty}; it has to be a finite number above 0; 1 changes "
                "nothing, 1.2 is usual."
            )
        for name in ("temperature", "top_p", "min_p", "repetition_penalty"):
            value = getattr(self, name)
            object.__setattr__(self, name, value if value is None else _float(value))  # of a fraction, say


def penalise_repetition(logits: Tensor, seen: Tensor, penalty: float) -> Tensor:
    """Divide positive logits of units seen (B, T) by the penalty, and multiply negative ones: (B, V) -> (B, V).

    A unit that was seen more than once is penalised once. It is Keskar 2019, section 4.1, where all are divided: which
    would make a unit with a negative logit likelier. What would be beyond float64 stays at its end.
    """
    end = torch.finfo(logits.dtype).max
    weaker = torch.where(logits > 0, logits / penalty, logits * penalty).clamp(-end, end)
    again = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, seen, True) & (logits > float("-inf"))  # (B, V)
    return torch.where(again, weaker, logits)


def with_temperature(logits: Tensor, temperature: float) -> Tensor:
    """Divide by the temperature: (B, V) -> (B, V), the largest of each row 0.

    At 0, the limit: all but the largest become -inf, and of several largest the lowest id stays.
    """
    if temperature == 0:
        best = logits.argmax(dim=-1, keepdim=True)  # (B, 1)  the first of several
        return torch.full_like(logits, float("-inf")).scatter(-1, best, 0.0)
    return (logits - logits.amax(dim=-1, keepdim=True)) / temperature  # subtracted first: so none becomes +inf


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    """Set all but the k largest of each row to -inf (Fan 2018, section 5.4): (B, V) -> (B, V).

    Exactly k stay (all, where k is V or more); of equal ones the lower ids.
    """
    rest = logits.argsort(dim=-1, descending=True, stable=True)[..., k:]  # (B, V - k)  stable: equal ones by id
    return logits.scatter(-1, rest, float("-inf"))


def keep_top_p(logits: Tensor, p: float) -> Tensor:
    """Keep the fewest units whose probability sums to p or more, the nucleus (Holtzman 2020, section 3.1).

    The others become -inf: (B, V) -> (B, V). At least one stays; of equally likely ones the lower ids; at p = 1 all.
    """
    if p >= 1:
        return logits  # said outright: a sum that rounds to 1 too early would lose the unlikeliest
    largest, order = logits.sort(dim=-1, descending=True, stable=True)
    sums = largest.softmax(dim=-1).cumsum(dim=-1)  # (B, V)
    kept = F.pad(sums[..., :-1], (1, 0)) < p  # (B, V)  as long as those before it did not reach p
    return logits.masked_fill(~torch.zeros_like(kept).scatter(-1, order, kept), float("-inf"))


def keep_min_p(logits: Tensor, p: float) -> Tensor:
    """Set all to -inf that are less probable than p times the likeliest of their row (Nguyen 2024): (B, V) -> (B, V).

    At least the likeliest stays; at p = 1 all that are as likely.
    """
    return logits.masked_fill(logits - logits.amax(dim=-1, keepdim=True) < math.log(p), float("-inf"))


def probabilities(logits: Tensor, sampling: Sampling, seen: Tensor | None = None) -> Tensor:
    """Return how probable each unit is under the rules: (B, V) -> float64 (B, V) on the CPU.

    `seen` are the units that a repetition penalty is about (B, T): the window that the model saw. A logit of -inf is a
    unit that cannot come. Raises `UsageError` for logits that are no numbers.
    """
    logits = logits.cpu().double()  # in this order: some devices have no float64
    if not logits.amax(dim=-1).isfinite().all():  # the largest of a row with a NaN is NaN
        raise UsageError(
            "the model's logits are NaN or infinite: its weights are broken; generate from an earlier checkpoint, "
            "or train again with a lower learning rate."
        )
    if sampling.repetition_penalty is not None:
        assert seen is not None
        logits = penalise_repetition(logits, seen.cpu(), sampling.repetition_penalty)
    logits = with_temperature(logits, sampling.temperature)
    if sampling.top_k is not None:
        logits = keep_top_k(logits, sampling.top_k)
    if sampling.top_p is not None:
        logits = keep_top_p(logits, sampling.top_p)
    if sampling.min_p is not None:
        logits = keep_min_p(logits, sampling.min_p)
    return logits.softmax(dim=-1)


def draw(probabilities: Tensor, numbers: Tensor) -> Tensor:
    """Draw one unit a row by inverting the cumulative sum: (B, V) and numbers in [0, 1) (B,), float64 -> ids (B,).

    Never draws a unit of probability 0: the first sum above number × total is one that its own unit made larger,
    and there always is one, since number × total rounds to below the total.
    """
    sums = probabilities.cumsum(dim=-1)  # (B, V)
    return torch.searchsorted(sums, numbers[:, None] * sums[:, -1:], right=True)[:, 0]
