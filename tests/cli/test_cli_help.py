"""Help: quick, free of torch, and with examples that are right."""

import re
import shlex
import statistics
import subprocess
import sys

import pytest

from hornbook.cli import VERBS
from hornbook.cli.app import make_app


def loaded(words):
    """What a call prints, and which modules it has loaded at its end."""
    code = (
        "import sys\nsys.argv[1:] = " + repr(list(words)) + "\nfrom hornbook.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "print(*sys.modules, file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True, timeout=60)
    return done.stdout, set(done.stderr.split())


def examples(text):
    """The commands behind "Example:" in a help page; a long one may go on in lines below it."""
    found = re.findall(r"Example: (hornbook .*?)\n\n", text, re.DOTALL)
    commands = (" ".join(command.split()).partition(" > ")[0] for command in found)
    return [shlex.split(command) for command in commands]


def test_help_answers_in_under_a_fifth_of_a_second():
    """Of the processor's time, from the start of Python on: a busy machine takes longer by the clock."""
    code = (
        "import sys, time\nsys.argv[1:] = ['--help']\nfrom hornbook.cli import main\nmain()\n"
        "print(time.process_time(), file=sys.stderr)\n"
    )
    times = []
    for _ in range(5):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60)
        times.append(float(done.stderr))
    assert done.stdout.startswith(b"hornbook: ")
    assert statistics.median(times) < 0.2, times


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",), ("--version",)])
def test_help_and_version_load_neither_torch_nor_numpy(words):
    said, modules = loaded(words)
    assert said.strip()
    assert not {"torch", "numpy"} & modules


def test_help_names_every_verb():
    said, _ = loaded(["--help"])
    for verb, about in VERBS.items():
        assert re.search(rf"^  {verb} +{re.escape(about)}$", said, re.MULTILINE)


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb_loads_no_torch_and_has_an_example_that_parses(verb, hornbook):
    if verb == "train":  # the others are imported in the same way
        _, modules = loaded([verb, "--help"])
        assert "torch" not in modules
    said = hornbook(verb, "--help")
    assert said.code == 0
    assert said.err == ""
    assert max(map(len, said.out.splitlines())) <= 80
    found = examples(said.out)
    assert found
    for words in found:
        assert words[:2] == ["hornbook", verb]
        command, bound, unused, *_ = make_app().parse_known_args(words[1:])
        assert command.__name__ == verb
        assert not unused
        assert bound.arguments


@pytest.mark.parametrize("verb", VERBS)
def test_help_says_what_every_word_is_for(verb, hornbook):
    said = hornbook(verb, "--help").out
    for name in ("--json", *(["--seed"] if verb in ("train", "generate") else [])):
        assert name in said
    for line in said.splitlines():
        if option := re.match(r"│ \*? *(--\S+)( [A-Z]+(\.\.\.)?)?  +(.*)│$", line):
            assert option[4].strip(), f"{option[1]} has no explanation"


def test_each_verb_offers_what_it_should(hornbook):
    wanted = {
        "train": "TEXT --preset --out --set --config --tokenizer --seed --steps --minutes --device --dtype "
        "--tensorboard --json",
        "compare": "VARIANTS --text --preset --vary --set --seeds --steps --minutes --target --out --device --json",
        "resume": "RUN --json",
        "evaluate": "RUN --text --json",
        "generate": "RUN --prompt --tokens --temperature --top-k --top-p --min-p --repetition-penalty --seed --samples "
        "--unknown --stop --json",
        "prepare": "TEXT --out --tokenizer --split --json",
        "presets": "NAME --vocab-size --json",
        "show": "RUN --json",
        "trace": "NAME --prompt --html --svg --vocab-size --temperature --seed --unknown --json",
        "source": "NAME --vocab-size",
    }
    for verb, words in wanted.items():
        said = hornbook(verb, "--help").out
        missing = [word for word in words.split() if not re.search(rf"[ │]{word}[ .]", said)]
        assert not missing, (verb, missing)
