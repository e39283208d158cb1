"""hornbook show"""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from hornbook.cli.options import Json
from hornbook.cli.output import print_json


def show(
    run: Path,
    /,
    *,
    verify: Annotated[
        bool, Parameter(negative="", show_default=False, help="Read every checkpoint, and compare its hashes.")
    ] = False,
    json: Json = False,
) -> None:
    """Tell the story of a run: what was asked, how the loss fell, what it wrote.

    Example: hornbook show runs/my-quick

    Parameters
    ----------
    run
        The run's folder.
    """
    from hornbook import api, story
    from hornbook.errors import UsageError
    from hornbook.runs import checkpoints
    from hornbook.training.progress import Progress

    opened = api.open_run(run)
    checked = checkpoints.verify_all(opened.folder) if verify else {}
    if json:
        print_json(story.summary(opened) | ({"verified": checked} if verify else {}))
    elif not verify:
        Progress(sys.stdout).say("\n".join(story.whole_story(opened)))
    else:
        Progress(sys.stdout).say(
            "\n".join(f"{name}: {fault or 'whole'}" for name, fault in checked.items()) or "no checkpoint yet"
        )
    changed = checked.pop(opened.folder.log_path.name, "")
    if any(checked.values()):
        raise UsageError(f"{sum(map(bool, checked.values()))} of {len(checked)} checkpoints in {run} are damaged")
    if changed:
        raise UsageError(changed)
