"""The readers that `bench/fuzz.py` feeds: a short run of each, what it found once, and that it finds what there is."""

import re
import sys
import time
import tracemalloc
from contextlib import ExitStack
from pathlib import Path

import pytest

from hornbook.errors import UsageError, nearest

BENCH = Path(__file__).parents[1] / "bench"
if not (BENCH / "fuzz.py").exists():
    pytest.skip("bench/ comes with the repository, not with the package's source", allow_module_level=True)
sys.path.insert(0, str(BENCH))
try:
    import fuzz
    import fuzz_targets
finally:
    sys.path.remove(str(BENCH))

SHORT = dict.fromkeys(fuzz_targets.TARGETS, 400) | {"command": 100, "config": 150, "tensors": 250}


@pytest.fixture(scope="module")
def readers():
    """Give a function that sets up a reader, once."""
    opened = {}
    with ExitStack() as open_until_the_end:

        def reader(name):
            if name not in opened:
                opened[name] = open_until_the_end.enter_context(fuzz.opened(name, seed=1, grown=0))
            return opened[name]

        yield reader


def faults(tally):
    return {kind: (fault.message, bytes.fromhex(fault.input)) for kind, fault in tally.faults.items()}


@pytest.mark.parametrize("name", fuzz_targets.TARGETS)
def test_a_reader_returns_or_refuses(readers, name):
    tally = readers(name).run(range(SHORT[name]))
    assert faults(tally) == {}
    assert tally.executions == SHORT[name]
    assert len(tally.outcomes) > 1, tally.outcomes


@pytest.mark.parametrize("name", fuzz_targets.TARGETS)
def test_most_seeds_are_right(readers, name):
    fuzzer = readers(name)
    came_out = [fuzz.attempt(fuzzer.one, seed) for seed in fuzzer.corpus]
    assert [fault for _, fault in came_out if fault] == []
    assert sum(outcome != "refused" for outcome, _ in came_out) > len(came_out) / 2


@pytest.mark.slow
@pytest.mark.parametrize("name", fuzz_targets.TARGETS)
def test_a_reader_returns_or_refuses_from_inputs_that_were_found(name):
    with fuzz.opened(name, seed=2, grown=1_000) as fuzzer:
        assert faults(fuzzer.run(range(1_500 if name == "command" else 8_000))) == {}


# --- what was found --------------------------------------------------------------------------------------------------

LONG = b"9" * 400
ONE = b"1" + b"0" * 400  # an integer beyond all floats
FOUND = {
    "a control in the name of a verb": ("command", b"\x7f"),
    "a control in a setting on the command line": ("command", b"prepare\0my.txt\0--out\0x\0--set\0text.split=\x1b[31m"),
    "a control in a setting": ("pairs", b"model.\x07=1"),
    "a control in a name that is said twice": ("pairs", b"text.\x1b=1\ntext.\x1b=1"),
    "a control in the name of a part": ("pairs", b"model.block=\x1b[31m"),
    "a mark of direction in a setting": ("toml", '[model]\nattention = "\u202e"\n'.encode()),
    "a line end in a table's name": ("toml", b'"a\\nb" = 1\n'),
    "more combinations than there is memory for": ("command", b"compare\0--vary" + b"\0model.n_embd=32,64" * 60),
    "a setting of thousands of digits": ("pairs", b"text.min_count=" + b"1" * 4_000),
    "a size of thousands of hexadecimal digits": ("toml", b"[model]\nn_layer = 0x" + b"f" * 4_000),
    "a rate of thousands of hexadecimal digits": ("toml", b"[recipe]\nlearning_rate = 0x" + b"f" * 4_000),
    "a word of thousands of hexadecimal digits": ("toml", b"[model]\nmlp = [0x" + b"f" * 4_000 + b"]"),
    "a header of brackets": ("header", b"[" * 3_000),
    "the name of a tokenizer, thousands of letters long": ("vocabulary", b'{"kind": "' + b"a" * 5_000 + b'"}'),
    "weights that are no safetensors": ("tensors", b"\0" * 7),
    "no weights": ("tensors", b""),
    "a loss that is a word": ("log", b'{"step": 1, "val_loss": 3}\n{"step": 2, "val_loss": "low"}\n'),
    "a temperature that is a word, and what is none": ("sampling", "\u2028 none none float32\n".encode()),
    "a temperature beyond all floats": ("sampling", ONE + b" none none float32\n"),
    "a top_p that is as good as nothing": ("sampling", b"1 none 1/" + ONE + b" float32\n"),
}


@pytest.mark.parametrize("what", FOUND)
def test_what_was_found_is_refused(readers, what):
    name, data = FOUND[what]
    assert fuzz.attempt(readers(name).one, data) == ("refused", None)


@pytest.mark.parametrize(
    "rules", [b"1/3 none none", b"1 none 1/3", b"1/" + ONE + b" none none", b"1 " + LONG + b" none"]
)
def test_fractions_and_large_numbers_are_rules_as_good_as_others(readers, rules):
    assert fuzz.attempt(readers("sampling").one, rules + b" float32\n" + b"\0\0\x80?" * 5) == ("drawn", None)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (rb'"sha256": "\w+"', b'"sha256": 5'),
        (rb'"sha256": "\w+"', b'"sha256": "\xd9\xa2"'),
        (rb'"by": "[^"]+"', '"by": "ಕ"'.encode()),
        (rb'"split": 0.9', b'"split": 39'),
        (rb'"split": 0.9', b'"split": NaN'),
        (rb'"leaked": [0-9.]+', b'"leaked": ' + ONE),
    ],
)
def test_a_header_whose_words_are_of_another_kind_is_refused(readers, old, new):
    fuzzer = readers("header")
    data, times = re.subn(old, lambda _: new, fuzzer.corpus[0], count=1)
    assert times == 1
    assert fuzz.attempt(fuzzer.one, data) == ("refused", None)


def test_the_nearest_of_a_word_of_a_million_letters_takes_no_memory():
    tracemalloc.start()
    try:
        nearest("a" * 1_000_000, ["characters", "bytes"])
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


def test_no_more_texts_are_drawn_at_once_than_memory_holds(readers):
    for samples in (b"65537", b"1" + b"0" * 30):
        data = b"generate\0run\0--samples\0" + samples
        assert fuzz.attempt(readers("command").one, data) == ("refused", None)


def test_a_comparison_may_go_into_a_folder_whose_name_is_no_text(readers):
    data = b"compare\0bigram\0bigram,recipe.warmup=1\0--text\0my.txt\0--steps\x009\0--out\0\xe3"
    assert fuzz.attempt(readers("command").one, data) == ("done", None)


def test_a_rate_in_quotes_is_told_as_a_number(readers):
    fuzzer = readers("config")
    data, times = re.subn(rb'"learning_rate": ([0-9.]+)', rb'"learning_rate": "\1"', fuzzer.corpus[0], count=1)
    assert times == 1
    assert fuzz.attempt(fuzzer.one, data)[1] is None


# --- it finds what there is ------------------------------------------------------------------------------------------


def fuzzer_of(one, *seeds):
    return fuzz.Fuzzer("toy", one, seeds or [b"to be"], [], seed=1)


def test_a_fault_is_found_counted_and_told_by_a_short_input():
    def one(data):
        if b"\x1b" in data:
            raise KeyError("escape")
        return "read"

    tally = fuzzer_of(one).run(range(2_000))
    ((kind, fault),) = tally.faults.items()
    assert kind.startswith("KeyError at test_fuzz.py, one")
    assert bytes.fromhex(fault.input) == b"\x1b"
    assert fault.times == tally.outcomes["fault"] > 1
    assert tally.outcomes["fault"] + tally.outcomes["read"] == tally.executions == 2_000


@pytest.mark.parametrize("message", ["two\nlines", "\x1b[31m", "\u202e", "a" * 5_000])
def test_a_refusal_is_one_printable_line(monkeypatch, message):
    def one(data):
        raise UsageError(message)

    monkeypatch.setattr(UsageError, "__str__", ValueError.__str__)
    outcome, (kind, _) = fuzz.attempt(one, b"")
    assert (outcome, kind[:8]) == ("fault", "message,")
    message = "ಕ\udc80 é"
    assert fuzz.attempt(one, b"") == ("refused", None)


def test_time_is_bounded(monkeypatch):
    monkeypatch.setattr(fuzz, "SECONDS", 0.01)

    def one(data):
        end = time.thread_time() + 0.02
        while time.thread_time() < end:
            pass
        return "read"

    assert set(fuzzer_of(one).run(range(2)).faults) == {"slow"}


@pytest.mark.skipif(not hasattr(fuzz.signal, "setitimer"), reason="Windows has no such timer")
def test_what_hangs_is_left(monkeypatch):
    monkeypatch.setattr(fuzz, "PATIENCE", 0.05)
    calls = []

    def one(data):
        calls.append(data)
        while len(calls) == 3:
            pass
        return "read"

    (kind,) = fuzzer_of(one).run(range(20)).faults
    assert kind.startswith("Hung at")


def test_memory_is_bounded(monkeypatch):
    megabytes = iter([100, 120, 300, 310])
    monkeypatch.setattr(fuzz, "most_memory", lambda: next(megabytes))
    tally = fuzzer_of(lambda data: "read").run(range(3))
    assert {kind: fault.number for kind, fault in tally.faults.items()} == {"memory": 1}
    assert tally.largest == 180


@pytest.mark.skipif(fuzz.resource is None, reason="Windows does not say how much memory was used")
def test_memory_is_measured():
    assert 1 < fuzz.most_memory() < 1 << 20


def test_an_input_is_a_function_of_reader_seed_and_number():
    def inputs(seed, numbers):
        return [fuzz.Fuzzer("toy", str, [b'{"a": [1, 2]}'], [b"null"], seed).input(n) for n in numbers]

    assert inputs(1, range(50)) == inputs(1, range(50))
    assert inputs(1, [7, 3])[::-1] == inputs(1, [3, 7])
    assert inputs(1, range(50)) != inputs(2, range(50))
    assert len(set(inputs(1, range(200)))) > 150


def test_inputs_that_reach_other_lines_are_kept():
    with fuzz.opened("log", seed=1, grown=300) as grown, fuzz.opened("log", seed=1, grown=0) as bare:
        assert len(grown.corpus) > len(bare.corpus)
        assert grown.corpus[: len(bare.corpus)] == bare.corpus
    assert sys.gettrace() is None or "pytest_cov" in sys.modules
