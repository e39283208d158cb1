"""What the person at the keyboard sees: lines that stay, and one live line below them."""

import sys
import time
from collections.abc import Callable
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

FRAME = "    │ "


class Progress:
    """Writes lines to a stream; on a terminal, one more line below them shows what is going on now.

    Piped, there is no live line, and no line is wrapped. Control characters that a model may write never reach a
    terminal: they are shown as escapes.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.terminal = stream.isatty()
        self.console = Console(file=stream, highlight=False, markup=False, emoji=False, force_terminal=self.terminal)
        self._live: Live | None = None
        self._shown = 0.0

    def say(self, text: str) -> None:
        """Print a line, or several, that stay."""
        if self.terminal:
            self.console.print(Text(visible(text)))
        else:
            print(text, file=self.stream, flush=True)

    def quote(self, text: str) -> None:
        """Print a text that a model wrote, set off from what is said."""
        lines = text.strip("\n").splitlines()
        if self.terminal:
            width = max(20, self.console.width - len(FRAME))
            whole = (Text(visible(line)).wrap(self.console, width) if line else [Text()] for line in lines)
            lines = [line.plain for wrapped in whole for line in wrapped]
        self.say("\n".join(FRAME + line for line in lines))

    def now(self, text: str) -> None:
        """Show what is going on, in place of what was shown before; ten times a second at most."""
        if not self.terminal or time.monotonic() - self._shown < 0.1:
            return
        self._shown = time.monotonic()
        line = Text(visible(text), no_wrap=True, overflow="ellipsis", style="dim")
        if self._live is None:
            self._live = Live(line, console=self.console, auto_refresh=False, transient=True)
            self._live.start()
        self._live.update(line, refresh=True)

    def bar(self, what: str) -> Callable[[int, int], None]:
        """Return a function of (done, in all) that shows how much of something is done."""
        return lambda done, total: self.now(f"{bar(done, total)} {what} …")

    def clear(self) -> None:
        """Take the live line away."""
        if self._live is not None:
            self._live.stop()
            self._live = None


class Silent(Progress):
    """Says nothing."""

    def __init__(self) -> None:
        pass

    def say(self, text: str) -> None:
        """Say nothing."""

    def quote(self, text: str) -> None:
        """Print nothing."""

    def now(self, text: str) -> None:
        """Show nothing."""

    def clear(self) -> None:
        """There is nothing to take away."""


def teller(progress: TextIO | Progress | bool | None) -> Progress:
    """Return where to tell what is going on: a stream; True is standard output; None or False nowhere."""
    if isinstance(progress, Progress):
        return progress
    if not progress:
        return Silent()
    return Progress(sys.stdout if progress is True else progress)


def visible(text: str) -> str:
    """Return a text whose control characters, but for newline and tab, are written as escapes."""
    return "".join(c if c.isprintable() or c in "\n\t" or not _is_control(c) else ascii(c)[1:-1] for c in text)


def _is_control(c: str) -> bool:
    return c < " " or "\x7f" <= c <= "\x9f"


def duration(seconds: float) -> str:
    """Write a time span as a person would: 8 s, 1 min 20 s, 2 h 5 min."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02} min"


def bar(done: int, total: int, width: int = 10) -> str:
    """Draw how much of something is done."""
    full = round(width * done / max(total, 1))
    return "[" + "#" * full + "." * (width - full) + "]"
