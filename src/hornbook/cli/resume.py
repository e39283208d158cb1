"""hornbook resume"""

from pathlib import Path

from hornbook.cli.options import Json
from hornbook.cli.output import print_json, stream_to_tell


def resume(run: Path, /, *, json: Json = False) -> None:
    """Go on with a run that was stopped or killed: what comes out is what would have come without the break.

    Example: hornbook resume runs/my-quick

    Parameters
    ----------
    run
        The run's folder.
    """
    from hornbook import api, story

    resumed = api.resume(run, progress=stream_to_tell(json))
    if json:
        print_json(story.summary(resumed))
