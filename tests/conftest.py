"""What holds for every test."""

import signal

import pytest
import torch

# In the background of a script Ctrl-C is ignored, and would be by all that the tests start, and wait for.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Compute on one thread, from the first test to the last, in whatever order they come.

    For products this small, waiting for a second thread is most of the time; and two runs are the same, bit for bit,
    only when they had the same number of threads.
    """
    torch.set_num_threads(1)
