"""hornbook show"""

import sys
from pathlib import Path

from hornbook.cli.options import Json
from hornbook.cli.output import print_json


def show(run: Path, /, *, json: Json = False) -> None:
    """Tell the story of a run: what was asked, how the loss fell, what it wrote.

    Example: hornbook show runs/my-quick

    Parameters
    ----------
    run
        The run's folder.
    """
    from hornbook import api, story
    from hornbook.training.progress import Progress

    opened = api.open_run(run)
    if json:
        print_json(story.summary(opened))
    else:
        Progress(sys.stdout).say("\n".join(story.whole_story(opened)))
