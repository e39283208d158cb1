"""What holds for every test."""

import signal
from contextlib import contextmanager

import hypothesis
import pytest
import torch

# In the background of a script Ctrl-C is ignored, and would be by all that the tests start, and wait for.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes by the clock says how busy the machine is.
hypothesis.settings.register_profile("hornbook", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("hornbook")


def pytest_xdist_auto_num_workers(config):
    """Run tests that were asked for by name in this process, at once; for the others, let xdist count the cores."""
    return 0 if all("::" in word for word in config.args) else None


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Compute on one thread, from the first test to the last, in whatever order they come.

    For products this small, waiting for a second thread is most of the time; and two runs are the same, bit for bit,
    only when they had the same number of threads.
    """
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def in_folder(tmp_path_factory):
    """Work in a folder of its own that holds a text, my.txt; what is cached stays there."""

    @contextmanager
    def work_in(text):
        folder = tmp_path_factory.mktemp("shelf")
        (folder / "my.txt").write_text(text, encoding="utf-8")
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            patch.setenv("HORNBOOK_CACHE", str(folder / "cache"))
            yield folder

    return work_in
