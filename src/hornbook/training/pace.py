"""How fast a session trains and how long it will take: clocks that only tell, and decide nothing."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hornbook.training.progress import duration


class Pace:
    """Counts the seconds of a session apart: those that trained, and those that went into looking and saving."""

    def __init__(self, step: int, units_a_step: int) -> None:
        self.first = max(step, 0)
        self.units_a_step = units_a_step
        self.started = time.monotonic()
        self.aside = 0.0
        self.looks = 0

    @contextmanager
    def pause(self, looks: int = 0) -> Iterator[None]:
        """Count what happens in this context as looking or saving."""
        seconds = self.training_seconds()
        try:
            yield
        finally:
            self.aside = time.monotonic() - self.started - seconds
            self.looks += looks

    def training_seconds(self) -> float:
        """Return the seconds that went into steps."""
        return max(time.monotonic() - self.started - self.aside, 1e-9)

    def units_per_second(self, step: int) -> float:
        """Return the speed of the steps since the session began."""
        return max(0, step - self.first) * self.units_a_step / self.training_seconds()

    def record(self, step: int) -> dict[str, Any]:
        """Return the line for times.jsonl."""
        return {
            "step": step,
            "first": self.first,  # the step that this session went on from
            "at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "seconds": round(time.monotonic() - self.started, 3),
            "training_seconds": round(self.training_seconds(), 3),
            "tokens_per_second": round(self.units_per_second(step), 1),
        }

    def told(self, step: int, steps_left: int, looks_left: int) -> str:
        """Say how fast it goes and how long it will take; nothing before the first step."""
        if step <= self.first:
            return ""
        seconds = self.training_seconds() / (step - self.first) * steps_left
        seconds += self.aside / max(self.looks, 1) * looks_left
        return f"  {self.units_per_second(step):,.0f} tokens/s  {duration(seconds)} left"
