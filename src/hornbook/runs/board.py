"""The log for TensorBoard, beside the run's own: for those who ask for it and have it installed.

A folder `tensorboard` in the run's says that it was asked for: a run that resumes goes on with it, and what an earlier
process wrote beyond the checkpoint is taken back.
"""

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

from hornbook.errors import UsageError
from hornbook.runs.folder import RunFolder


class Board(AbstractContextManager["Board"]):
    """Shows nothing: TensorBoard was not asked for."""

    def append(self, record: dict[str, Any]) -> None:
        """Show a line of the log."""

    def flush(self) -> None:
        """Hand over what was shown so far."""

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        """There is nothing to close."""


class _TensorBoard(Board):
    """Writes each number of a line as a scalar of its step, and a sample as a text."""

    def __init__(self, folder: RunFolder, step: int) -> None:
        self._writer = check_installed()(str(folder.board_path), purge_step=step + 1)

    def append(self, record: dict[str, Any]) -> None:
        values = dict(record)
        step = values.pop("step")
        for name, value in values.items():
            if isinstance(value, str):
                self._writer.add_text(name, value, step)
            else:
                self._writer.add_scalar(name, value, step)

    def flush(self) -> None:
        self._writer.flush()

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._writer.close()


def check_installed() -> Any:
    """Return the class that writes for TensorBoard. Raises `UsageError` where TensorBoard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UsageError(
            "TensorBoard is not installed: pip install -c constraints.txt -e '.[tensorboard]' brings it."
        ) from error
    return SummaryWriter


def open_board(folder: RunFolder, step: int) -> Board:
    """Return what shows a run's log from the step after `step` on."""
    return _TensorBoard(folder, step) if folder.board_path.is_dir() else Board()
