"""The command line: one file a verb, imported when it is asked for."""

import sys

VERBS = {
    "train": "train a model on a text",
    "plan": "say what train would do with a text and a time, and why",
    "resume": "go on with a run that was stopped or killed",
    "compare": "train variants with several seeds, and say whether a change helped",
    "evaluate": "score a run on its validation text, or on another",
    "generate": "let a run write",
    "runs": "list the runs in a folder, and how each stands",
    "show": "tell the story of a run",
    "trace": "follow a word through a trained model; draw the architecture of a preset",
    "source": "print the model of a run or a preset, and its training, as one file",
    "presets": "list what there is to train, and count parameters",
    "prepare": "write a text as ids: train.bin, val.bin, header.json",
}

HELP = """\
hornbook: train, look inside and understand a small GPT, on your own text.

Usage: hornbook VERB …

{verbs}

  hornbook train                      train on a default text, in about two minutes
  hornbook train my.txt               train on a text of yours
  hornbook VERB --help                what a verb takes
  hornbook --version
"""

INTERRUPTED = 130


def main() -> None:
    """Run the command line: what the `hornbook` command calls. Exits with 0, or with 2 for what can't be done."""
    words = sys.argv[1:]
    try:
        if words[:1] == ["help"] and len(words) > 1:
            words = [words[1], "--help"]
        if not words or words[0] in ("--help", "-h", "help"):  # answered here: nothing needs to be imported for it
            from hornbook.cli.console import set_up

            set_up()
            print(HELP.format(verbs="\n".join(f"  {verb:<10} {about}" for verb, about in VERBS.items())), end="")
            return
        from hornbook.cli.app import run

        sys.exit(run(words))
    except KeyboardInterrupt:
        print("hornbook: interrupted.", file=sys.stderr)
        sys.exit(INTERRUPTED)
