"""Saving beside the training: in a thread of its own that steps back, at most one save behind."""

import os
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from types import TracebackType

NAME = "hornbook is saving"
NICE = 10  # how far the thread steps back where it can: the training goes first


def settle() -> None:
    """Wait for what an interrupted training of this process may be saving still: the next would not know of it."""
    for thread in threading.enumerate():
        if thread.name == NAME:
            thread.join()


class Saver(AbstractContextManager["Saver"]):
    """Does one piece of work at a time while the training goes on. What goes wrong in it is raised at the next call.

    At the end of the context all is done; but who interrupts waits a second at most: a save that is cut off costs
    nothing but its own steps.
    """

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def start(self, work: Callable[[], object]) -> None:
        """Begin a piece of work, once the one before is done."""
        self.wait()
        self._thread = threading.Thread(target=self._do, args=(work,), name=NAME, daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise what went wrong, if anything has by now; never wait."""
        if self._error:
            self.wait()

    def wait(self) -> None:
        """Wait until nothing is under way; raise what went wrong."""
        while self._thread and self._thread.is_alive():
            self._thread.join(0.1)  # in pieces: Windows hears no Ctrl-C meanwhile
        error, self._error = self._error, None
        if error:
            raise error

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        if kind is None:
            self.wait()
        elif self._thread:
            self._thread.join(None if issubclass(kind, Exception) else 1.0)  # its own error is not the one to tell

    def _do(self, work: Callable[[], object]) -> None:
        with suppress(OSError):
            if sys.platform == "linux":  # elsewhere it would slow the whole process
                os.nice(NICE)
        try:
            work()
        except BaseException as error:
            self._error = error
