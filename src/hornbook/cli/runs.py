"""hornbook runs"""

from pathlib import Path

from hornbook.cli.options import Json
from hornbook.cli.output import print_json


def runs(folder: Path = Path("runs"), /, *, json: Json = False) -> None:
    """List the runs in a folder: in training, stopped, killed or done; step, lowest validation loss, size.

    Example: hornbook runs old-runs --json

    Parameters
    ----------
    folder
        Where the runs are.
    """
    from dataclasses import asdict

    from hornbook.errors import printable
    from hornbook.runs.status import all_runs

    found = list(all_runs(folder))
    if json:
        print_json({"runs": [asdict(each) | {"path": str(each.path)} for each in found]})
        return
    if not found:
        print(f"no runs in {folder}: `hornbook train` makes one")
        return
    names = [printable(str(each.path)) for each in found]
    width = max(map(len, names))
    print(f"{'run':<{width}}  {'state':<8}  {'step':>15}  {'val':>7}  {'size':>9}")
    for name, each in zip(names, found, strict=True):
        loss = "" if each.val_loss is None else f"{each.val_loss:.4f}"
        step = "" if each.fault else f"{each.step:,}/{each.steps:,}"
        size = f"{each.bytes / 1e6:,.1f} MB"
        print(f"{name:<{width}}  {each.state:<8}  {step:>15}  {loss:>7}  {size:>9}")
    for each in (each for each in found if each.fault):
        print(f"\n{each.fault}")
