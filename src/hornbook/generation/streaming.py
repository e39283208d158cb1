"""From a prompt to text, piece by piece as it comes: units in, text out, up to a stop string."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hornbook.errors import UsageError
from hornbook.generation.generator import generate
from hornbook.generation.sampling import Sampling
from hornbook.text.aksharas import Aksharas
from hornbook.text.tokenizer import Tokenizer
from hornbook.text.units import Unknown


class StopAt:
    """Lets text through until one of the stop strings is complete; what comes from its beginning on is kept back.

    Of several, the one that is complete first; of those complete at the same character, the longest. So what comes
    through is the same, however the text was cut into pieces. Raises `UsageError` for an empty stop string.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        if "" in stops:
            raise UsageError("a stop string is empty; every text ends there: leave it out, or say some text.")
        self.stops = stops
        self.reached = False
        self._held = ""

    def feed(self, piece: str) -> str:
        """Return what can be shown now: all but an end that may be the beginning of a stop string."""
        text, self._held = self._held + piece, ""
        found = [(start + len(stop), start) for stop in self.stops if (start := text.find(stop)) >= 0]
        if found:
            self.reached = True
            return text[: min(found)[1]]
        longest = max((len(stop) for stop in self.stops), default=1)
        starts = range(max(0, len(text) - longest + 1), len(text))
        shown = next((i for i in starts if any(stop.startswith(text[i:]) for stop in self.stops)), len(text))
        self._held = text[shown:]
        return text[:shown]

    def finish(self, piece: str) -> str:
        """Return what is left to show after the last piece."""
        return self.feed(piece) + self._held  # which is nothing when a stop string was reached


class WholeLetters:
    """Lets text through letter by letter (aksharas): the last one is kept back, since a mark may still join it."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, piece: str) -> str:
        """Return the letters that nothing can be added to any more."""
        *whole, self._held = Aksharas.split(self._held + piece) or [""]
        return "".join(whole)

    def finish(self, piece: str = "") -> str:
        """Return all that is left, a conjunct without its end too."""
        text, self._held = self._held + piece, ""
        return text


def opening(tokenizer: Tokenizer) -> NDArray[Any]:
    """Return the ids that stand before a text that begins with nothing: a newline; else a space; else unit 0."""
    ways = (tokenizer.encode(start, "skip") for start in ("\n", " "))
    return next((ids for ids in ways if len(ids) and ids[0] < tokenizer.own), np.zeros(1, dtype=np.int64))


def stream(
    model: Any,
    tokenizer: Tokenizer,
    prompt: str,
    *,
    block_size: int,
    tokens: int | None,
    sampling: Sampling = Sampling(),  # noqa: B008  (frozen)
    seed: int = 0,
    samples: int = 1,
    stop: str | Sequence[str] = (),
    unknown: Unknown = "error",
) -> Iterator[tuple[int, str]]:
    """Continue a prompt: yield (sample, whole letters) as soon as they are sure; samples count from 0.

    The prompt is not among the pieces. An empty one (also by `unknown="skip"`) goes on from `opening`. A sample ends
    before its first stop string, or after `tokens` units; where `tokens` is None, only there. Raises `UsageError`, at
    once for what was asked, later for a broken model.
    """
    ids = tokenizer.encode(prompt, unknown)
    stops = [stop] if isinstance(stop, str) else list(stop)
    StopAt(stops)
    units = generate(
        model,
        ids if len(ids) else opening(tokenizer),
        block_size=block_size,
        sampling=sampling,
        seed=seed,
        samples=samples,
        tokens=tokens,
    )
    return pieces(units, tokenizer, stops, samples)


def pieces(
    units: Iterator[NDArray[np.int64]], tokenizer: Tokenizer, stops: Sequence[str], samples: int
) -> Iterator[tuple[int, str]]:
    """Turn units as they come, (B,) each, into (sample, whole letters), each sample up to its first stop string."""
    decoders = [tokenizer.decoder() for _ in range(samples)]
    gates = [StopAt(stops) for _ in range(samples)]
    letters = [WholeLetters() for _ in range(samples)]
    going = list(range(samples))
    for ids in units:  # (B,)
        for s in going:
            let_through = gates[s].feed(decoders[s].feed(ids[s : s + 1]))
            if piece := letters[s].finish(let_through) if gates[s].reached else letters[s].feed(let_through):
                yield s, piece
        going = [s for s in going if not gates[s].reached]
        if not going:
            return
    for s in going:
        if piece := letters[s].finish(gates[s].finish(decoders[s].finish())):
            yield s, piece


def complete(model: Any, tokenizer: Tokenizer, prompt: str, *, samples: int = 1, **how: Any) -> list[str]:
    """Return what `stream` yields, joined: one text a sample. Takes what `stream` takes."""
    texts = [""] * samples
    for sample, piece in stream(model, tokenizer, prompt, samples=samples, **how):
        texts[sample] += piece
    return texts
