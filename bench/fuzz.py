"""Readers of what others wrote, fed with what nobody would write: each has to return, or to raise a UsageError.

    python bench/fuzz.py all --executions 1000000
    python bench/fuzz.py text --seed 7 --only 123456
    python bench/fuzz.py log --input 7b7d0a

The targets stand in `fuzz_targets.py`: checkpoints, text, settings, command, sampling, each of one or more readers that
share its executions. An input is some bytes: one that is right, changed in a few places. First some thousand are run
under a tracer, and those that reach lines of hornbook in an order not seen before are changed further too. Execution
number n is a function of (reader, seed, n) alone: `--only` does one again.

A fault is any other exception, an answer that the target's own check refuses, a message that is not one printable
line, more than SECONDS of processor time, or more than MEGABYTES of new memory. It is told with the shortest input that
was found to show it, in hexadecimal. `--json FILE` also writes the figures.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import queue
import random
import re
import signal
import sys
import time
import traceback
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import hornbook
from hornbook.errors import UsageError

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

SECONDS, MEGABYTES, PATIENCE = 1.0, 64, 60  # an execution's own time and memory; and when it counts as hung
LONGEST_INPUT = 1 << 13  # bytes
LONGEST_MESSAGE = 2_000  # characters
TURNS = {*("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"), *"\u200e\u200f\u061c"}
GROWN = 3_000  # executions under the tracer
OURS = str(Path(hornbook.__file__).parent)

One = Callable[[bytes], str]


class Hung(BaseException):
    """An execution took longer than PATIENCE."""


# --- inputs ----------------------------------------------------------------------------------------------------------

PIECES = [
    re.compile(pattern, re.DOTALL)
    for pattern in (
        rb'"(?:[^"\\]|\\.)*"',  # strings
        rb"-?[0-9][0-9.eE+-]*",
        rb"[A-Za-z_]+",
        rb"[\[{][^\[\]{}]*[\]}]",  # innermost brackets
        rb"[^\n\0]+[\n\0]?",  # lines, and words of a command line
        rb"[\x80-\xff]+",
        rb".{1,8}",
    )
]
NUMBERS = """\
0 1 -1 2 3 7 0.5 -0.0 1.0 1e-320 5e-324 1e308 1e400 -1e400 1e-400 NaN nan inf -Infinity true false null none 1_000 0x10
127 128 255 256 65535 65536 16777216 2147483647 2147483648 4294967296 9223372036854775807 9223372036854775808
18446744073709551615 18446744073709551616 100000000000000000000000000000 0.1 0.999999999999 007 +1 1/3 ١٢ ²
"""
ODD = (
    *(chr(point) for point in (0, 7, 9, 10, 13, 0x1B, 0x20, 0x7F, 0x85, 0xA0, 0xAD, 0x130, 0x301, 0x94D, 0xCCD)),
    *("\u200b\u200d\u2028\u2029\u202e\u2066\ufe0f\ufeff\ufffd\uffff\U0001f600\U000e0001\U0010ffff"),
    *(
        "\x1b[31m",
        "ಕ್ಷ",
        "é",
        "e\u0301",
        "ﬁ",
        "..",
        "/",
        "\\",
        "\\u0000",
        "\\ud800",
        "\\udc00\\ud800",
        "%s%n",
        "{}",
        "{0}",
    ),
    *('""', '"', "[]", "[[]]", "{}", "[1]", '{"a": 1}', ",", ":", "=", "-", "--", "#", "'"),
)
BASE_WORDS = [
    *(number.encode() for number in NUMBERS.split()),
    *(text.encode() for text in ODD),
    *(
        b"\xff",
        b"\xfe\xff",
        b"\xff\xfe",
        b"\xff\xfe\0\0",
        b"\xed\xa0\x80",
        b"\xc0\x80",
        b"\xf4\x90\x80\x80",
        b"\xe0\xb2",
    ),
    *(b"9" * 400, b"a" * 300, b"\0" * 64),
]
LONG = [b"9" * 5_000, b"0x" + b"f" * 4_000, b"[" * 3_000, b'{"a":' * 1_500, b"a" * 5_000, "é".encode() * 2_500]


def changed(data: bytes, chance: random.Random, corpus: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    """Return data that was changed in one to eight places."""
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 4, 8))):
        data = _changed_once(data, chance, corpus, LONG if chance.random() < 0.01 else words)[:LONGEST_INPUT]
    return data


def _changed_once(data: bytes, chance: random.Random, corpus: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    how = chance.random()
    if how < 0.5:  # a piece of some kind, in place of another of that kind, or of any word
        kind = chance.choice(PIECES)
        if spans := [match.span() for match in kind.finditer(data)]:
            start, end = chance.choice(spans)
            return data[:start] + _instead(data[start:end], kind, chance, corpus, words) + data[end:]
    start, other = sorted((chance.randrange(len(data) + 1), chance.randrange(len(data) + 1)))
    end = min(other, start + (1 << chance.randrange(10)))
    if how < 0.65 and start < len(data):
        byte = data[start] ^ 1 << chance.randrange(8) if chance.random() < 0.5 else chance.randrange(256)
        return data[:start] + bytes([byte]) + data[start + 1 :]
    if how < 0.75:
        return data[:start] + chance.choice(words) + data[start:]
    if how < 0.82:
        return data[:start] + data[end:]
    if how < 0.90:
        return data[:end] + data[start:end] * (1 << chance.randrange(6)) + data[end:]
    if how < 0.94:
        middle = chance.randint(start, end)
        return data[:start] + data[middle:end] + data[start:middle] + data[end:]
    if how < 0.97:
        second = chance.choice(corpus)
        return data[:start] + second[chance.randrange(len(second) + 1) :]
    return data[:start]


def _instead(
    piece: bytes, kind: re.Pattern[bytes], chance: random.Random, corpus: Sequence[bytes], words: Sequence[bytes]
) -> bytes:
    how = chance.random()
    if how < 0.5:
        return chance.choice(words)
    if how < 0.75:
        others = kind.findall(chance.choice(corpus))
        return chance.choice(others) if others else b""
    if how < 0.85:
        return piece * (1 << chance.randrange(1, 6))
    if how < 0.92:
        return b'"' + piece.replace(b'"', b"") + b'"'
    return b""


# --- executions ------------------------------------------------------------------------------------------------------


@dataclass
class Fault:
    """A way to fail: what was raised where, how often, and an input that shows it."""

    kind: str
    number: int
    input: str
    message: str
    times: int = 1


@dataclass
class Tally:
    """What came of executions."""

    executions: int = 0
    seconds: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    faults: dict[str, Fault] = field(default_factory=dict)
    longest: float = 0.0
    """seconds of the processor's time that one took"""
    largest: float = 0.0
    """MB that one added to the largest memory so far"""
    corpus: int = 0

    def add(self, other: "Tally") -> None:
        """Count another's in."""
        self.executions += other.executions
        self.outcomes += other.outcomes
        for kind, fault in other.faults.items():
            if kind in self.faults:
                self.faults[kind].times += fault.times
            else:
                self.faults[kind] = fault
        self.seconds = max(self.seconds, other.seconds)  # side by side
        self.longest, self.largest = max(self.longest, other.longest), max(self.largest, other.largest)
        self.corpus = max(self.corpus, other.corpus)


def most_memory() -> float:
    """Return the largest memory of this process so far, in MB; 0 where the system does not tell."""
    if resource is None:
        return 0.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def printable(message: str) -> bool:
    """Say whether a message is one line, not too long, without what hides or turns round the rest of it."""
    shown = message.encode("utf-8", "backslashreplace").decode("utf-8")
    kinds = {unicodedata.category(each) for each in shown}
    turns = {unicodedata.bidirectional(each) for each in shown} | set(shown) & set("\u200e\u200f\u061c")
    return len(shown) <= LONGEST_MESSAGE and not kinds & {"Cc", "Zl", "Zp"} and not turns & TURNS


def attempt(one: One, data: bytes) -> tuple[str, tuple[str, str] | None]:
    """Run one input: return how it came out, and the kind and the words of a fault."""
    try:
        return one(data), None
    except UsageError as error:
        if printable(str(error)):
            return "refused", None
        return "fault", (f"message, at {_place(error)}", f"not one printable line: {str(error)[:200]!r}")
    except (Exception, Hung) as error:
        return "fault", (f"{type(error).__name__} at {_place(error)}", " ".join(str(error).split())[:300])


def _place(error: BaseException) -> str:
    """Where in hornbook an error was raised, or else where in the target."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if frame.filename.startswith(OURS)] or frames
    return f"{Path(ours[-1].filename).name}, {ours[-1].name}: {ours[-1].line}"


@contextlib.contextmanager
def watched() -> Iterator[Callable[[], None]]:
    """Give a function to be called before each execution; one that goes on for longer than PATIENCE is hung."""
    if not hasattr(signal, "setitimer"):
        yield lambda: None
        return

    def ring(*_: object) -> None:
        raise Hung

    before = signal.signal(signal.SIGALRM, ring)
    try:
        yield lambda: signal.setitimer(signal.ITIMER_REAL, PATIENCE) and None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Fuzzer:
    """One reader, its corpus, and the inputs that come of it."""

    def __init__(self, name: str, one: One, seeds: Sequence[bytes], words: Sequence[bytes], seed: int) -> None:
        self.name, self.one, self.seed = name, one, seed
        self.corpus = list(seeds)
        self.words = [*BASE_WORDS, *words, *words]

    def input(self, number: int) -> bytes:
        """Return the input of an execution."""
        chance = random.Random(f"{self.name} {self.seed} {number}")
        return changed(chance.choice(self.corpus), chance, self.corpus, self.words)

    def grow(self, executions: int) -> None:
        """Add to the corpus the inputs that reach lines in a new order."""
        seen = set[tuple[str, int, int]]()
        for data in self.corpus:
            self._lines(data, seen)
        for number in range(executions):
            data = self.input(-1 - number)
            before = len(seen)
            self._lines(data, seen)
            if len(seen) > before and len(data) <= 4_096:
                self.corpus.append(data)

    def _lines(self, data: bytes, seen: set[tuple[str, int, int]]) -> None:
        ours: dict[str, bool] = {}

        def calls(frame: FrameType, event: str, _: Any) -> Any:
            file = frame.f_code.co_filename
            if not ours.setdefault(file, file.startswith(OURS)):
                return None
            last = frame.f_lineno

            def lines(frame: FrameType, event: str, _: Any) -> Any:
                nonlocal last
                if event == "line":
                    seen.add((file, last, frame.f_lineno))
                    last = frame.f_lineno
                return lines

            return lines

        before = sys.gettrace()
        sys.settrace(calls)
        try:
            attempt(self.one, data)
        finally:
            sys.settrace(before)

    def run(
        self, numbers: Sequence[int], told: Callable[[int], object] = lambda number: None, minutes: float = 1e6
    ) -> Tally:
        """Run the executions of these numbers, as many as there is time for."""
        tally, begun = Tally(corpus=len(self.corpus)), time.perf_counter()
        for data in self.corpus:  # what is imported and made once is no fault of an input
            attempt(self.one, data)
        memory = most_memory()
        with watched() as watch:
            for number in numbers:
                if time.perf_counter() - begun > 60 * minutes:
                    break
                data = self.input(number)
                told(number)
                watch()
                before = time.thread_time()
                outcome, fault = attempt(self.one, data)
                seconds, now = time.thread_time() - before, most_memory()
                tally.longest, tally.largest = max(tally.longest, seconds), max(tally.largest, now - memory)
                if not fault and seconds > SECONDS:
                    outcome, fault = "fault", ("slow", f"{seconds:.1f} s")
                if not fault and now - memory > MEGABYTES + len(data) / 1e6:
                    outcome, fault = "fault", ("memory", f"{now - memory:.0f} MB")
                memory = now
                tally.outcomes[outcome] += 1
                if fault:
                    kind, words = fault
                    if known := tally.faults.get(kind):
                        known.times += 1
                    else:
                        tally.faults[kind] = Fault(kind, number, data.hex(), words)
            watch()
        tally.executions, tally.seconds = tally.outcomes.total(), time.perf_counter() - begun
        for fault in tally.faults.values():
            if " at " in fault.kind and "Hung" not in fault.kind:  # nothing that takes long
                fault.input = self.shortened(bytes.fromhex(fault.input), fault.kind).hex()
        return tally

    def shortened(self, data: bytes, kind: str, tries: int = 400) -> bytes:
        """Return a shorter input with the same fault, as far as leaving out parts goes."""
        size = len(data) // 2
        while size:
            start = 0
            while start < len(data) and tries > 0:
                tries -= 1
                less = data[:start] + data[start + size :]
                _, fault = attempt(self.one, less)
                if fault and fault[0] == kind:
                    data = less
                else:
                    start += size
            size //= 2
        return data


@contextlib.contextmanager
def opened(name: str, seed: int, grown: int) -> Iterator[Fuzzer]:
    """Set up a reader and its corpus."""
    from fuzz_targets import TARGETS

    target = TARGETS[name]
    with target.set_up() as (one, seeds):
        fuzzer = Fuzzer(name, one, seeds, target.words, seed)
        fuzzer.grow(grown)
        yield fuzzer


def work(name: str, seed: int, grown: int, numbers: range, minutes: float, at: Any, out: Any) -> None:
    """Run executions in a process of its own; `at` tells which is under way."""

    def told(number: int) -> None:
        at.value = number

    with opened(name, seed, grown) as fuzzer:
        out.put(fuzzer.run(numbers, told, minutes))


def again(name: str, seed: int, grown: int, number: int) -> None:
    """Run one execution, and let its error through."""
    with opened(name, seed, grown) as fuzzer:
        data = fuzzer.input(number)
        print(data.hex(), data, sep="\n", flush=True)
        print(fuzzer.one(data))


def fuzz(name: str, wanted: range, seed: int, grown: int, processes: int, minutes: float) -> Tally:
    """Run executions of one reader, in several processes; one that dies is a fault too."""
    spawn, tally = multiprocessing.get_context("spawn"), Tally()
    out, started = spawn.Queue(), []
    for part in range(processes):
        at = spawn.Value("q", -1)
        numbers = wanted[part::processes]
        started.append((spawn.Process(target=work, args=(name, seed, grown, numbers, minutes, at, out)), at))
        started[-1][0].start()
    running = dict(started)
    while running:
        with contextlib.suppress(queue.Empty):
            tally.add(out.get(timeout=0.5))
        running = {process: at for process, at in running.items() if process.exitcode is None}
    with contextlib.suppress(queue.Empty):
        while True:
            tally.add(out.get(timeout=0.5))
    for process, at in started:
        if process.exitcode:
            kind = f"death with exit code {process.exitcode}"
            tally.add(Tally(faults={kind: Fault(kind, at.value, "", "what it says is above; or see --only")}))
    return tally


def main() -> None:
    """Read the command line and run."""
    from fuzz_targets import GROUPS, TARGETS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=["all", *GROUPS, *TARGETS])
    parser.add_argument("--executions", type=int, default=100_000, help="of each target, shared by its readers")
    parser.add_argument("--first", type=int, default=0, help="the number of the first, to go on from an earlier run")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--grow", type=int, default=GROWN, help="executions under the tracer, for each reader")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=1e6, help="stop a reader after so long")
    parser.add_argument("--only", type=int, help="do one execution again, and let its error through")
    parser.add_argument("--input", help="run one input, in hexadecimal, and let its error through")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()

    groups = GROUPS if asked.target == "all" else {asked.target: GROUPS.get(asked.target, [asked.target])}
    os.environ["PYTHONHASHSEED"] = "0"  # of the processes: the corpus that they grow is the same in each
    if asked.input is not None:
        with opened(asked.target, asked.seed, 0) as fuzzer:
            print(fuzzer.one(bytes.fromhex(asked.input)))
        return
    if asked.only is not None:
        words = (asked.target, asked.seed, asked.grow, asked.only)
        process = multiprocessing.get_context("spawn").Process(target=again, args=words)
        process.start()
        process.join()
        return
    tallies: dict[str, Tally] = {}
    print(f"{'reader':<12} {'executions':>12} {'a second':>9} {'longest s':>9} {'MB':>5} {'corpus':>6}  outcomes")
    for names in groups.values():
        for place, name in enumerate(names):
            share = asked.executions * (place + 1) // len(names) - asked.executions * place // len(names)
            wanted = range(asked.first, asked.first + share)
            tally = tallies[name] = fuzz(name, wanted, asked.seed, asked.grow, asked.processes, asked.minutes)
            outcomes = ", ".join(f"{outcome} {n:,}" for outcome, n in tally.outcomes.most_common())
            speed = tally.executions / tally.seconds if tally.seconds else 0
            print(
                f"{name:<12} {tally.executions:>12,} {speed:>9,.0f} {tally.longest:>9.3f} {tally.largest:>5.0f} "
                f"{tally.corpus:>6}  {outcomes}",
                flush=True,
            )
            for fault in tally.faults.values():
                print(f"  {fault.times} × {fault.kind}\n    {fault.message}\n    --only {fault.number}: {fault.input}")
    if asked.json:
        figures = {name: {**asdict(each), "outcomes": dict(each.outcomes)} for name, each in tallies.items()}
        asked.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    sys.exit(any(tally.faults for tally in tallies.values()))


if __name__ == "__main__":
    main()
