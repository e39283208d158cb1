"""What TensorBoard is shown is what the log says, also after a kill."""

import sys

import pytest

from hornbook.errors import UsageError
from hornbook.runs import board, log
from hornbook.training import loop


def shown(folder):
    """Read back every scalar, as TensorBoard itself does: {name: [(step, value), …]}."""
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    read = events.EventAccumulator(str(folder.board_path)).Reload()
    return {name: [(event.step, event.value) for event in read.Scalars(name)] for name in read.Tags()["scalars"]}


def logged(folder):
    scalars = {}
    for record in log.read(folder.log_path):
        for name, value in record.items():
            if name != "step" and not isinstance(value, str):
                scalars.setdefault(name, []).append((record["step"], pytest.approx(value, rel=1e-6)))
    return scalars


def test_it_shows_the_log(tiny_task, new_folder, silent):
    folder = new_folder()
    folder.board_path.mkdir()
    loop.fit(tiny_task(), folder, silent)
    found = shown(folder)
    assert found == logged(folder)
    assert {"batch_loss", "val_loss", "gradient_norm", "lr"} <= found.keys()


def test_after_a_kill_it_takes_back_what_is_done_again(tiny_task, new_folder, silent, monkeypatch):
    folder = new_folder()
    folder.board_path.mkdir()

    class Killed(BaseException):
        pass

    def look(self, step):
        if step == 6:
            raise Killed
        return whole(self, step)

    task = tiny_task()
    whole = type(task).look
    monkeypatch.setattr(type(task), "look", look)
    with pytest.raises(Killed):
        loop.fit(task, folder, silent)
    assert max(step for step, _ in shown(folder)["batch_loss"]) > 3  # beyond the newest checkpoint
    monkeypatch.setattr(type(task), "look", whole)
    loop.fit(tiny_task(), folder, silent)
    assert shown(folder) == logged(folder)


def test_who_did_not_ask_gets_none(tiny_task, new_folder, silent):
    folder = new_folder()
    loop.fit(tiny_task(), folder, silent)
    assert not folder.board_path.exists()


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UsageError, match=r"^TensorBoard is not installed: pip install -c constraints\.txt -e '\.\["):
        board.check_installed()
