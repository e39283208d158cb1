"""Ctrl-C: finish the step, save, leave."""

import signal
import threading
from types import FrameType
from typing import Any, Self


class StopSignals:
    """While this context is open, the first Ctrl-C (or SIGTERM) only sets `asked`; a second one interrupts at once.

    Outside the main thread Python allows no signal handlers, and nothing is changed.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._ask)
        return self

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        signal.signal(number, signal.default_int_handler)

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
