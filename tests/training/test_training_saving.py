"""Saving beside the training: one at a time, and no error is lost."""

import os
import sys
import threading
import time

import pytest

from hornbook.training.saving import NICE, Saver, settle


def test_the_work_is_done_beside_and_one_at_a_time():
    done, gate = [], threading.Event()
    with Saver() as saver:
        saver.start(lambda: gate.wait(10) and done.append(1))
        assert done == []
        saver.check()
        threading.Timer(0.05, gate.set).start()
        saver.start(lambda: done.append(2))  # waits for the first
        assert done[:1] == [1]
    assert done == [1, 2]


def fail(error):
    raise error


def test_an_error_is_raised_once_at_the_next_call():
    for call in ("check", "wait", "start"):
        saver = Saver()
        saver.start(lambda: fail(OSError("full")))
        saver._thread.join()
        with pytest.raises(OSError, match="full"):
            saver.start(int) if call == "start" else getattr(saver, call)()
        saver.wait()
        saver.check()


def test_at_the_end_of_the_context_the_error_is_told():
    with pytest.raises(OSError, match="full"), Saver() as saver:
        saver.start(lambda: fail(OSError("full")))


def test_the_error_that_ends_the_context_comes_first_and_waits():
    done = []
    with pytest.raises(ZeroDivisionError), Saver() as saver:
        saver.start(lambda: (time.sleep(0.1), done.append(1), fail(OSError("full")))) or 1 / 0
    assert done == [1]


def test_who_interrupts_does_not_wait_long():
    gate, before = threading.Event(), time.monotonic()
    with pytest.raises(KeyboardInterrupt), Saver() as saver:
        saver.start(lambda: gate.wait(30)) or fail(KeyboardInterrupt)
    assert time.monotonic() - before < 5
    assert saver._thread.daemon  # and nor does the end of the process
    assert saver._thread.is_alive()
    threading.Timer(0.05, gate.set).start()
    settle()  # but the next training of this process does
    assert not saver._thread.is_alive()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a thread has no niceness of its own")
def test_it_steps_back():
    found, before = [], os.getpriority(os.PRIO_PROCESS, 0)
    with Saver() as saver:
        saver.start(lambda: found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id())))
    assert found == [min(before + NICE, 19)]
    assert os.getpriority(os.PRIO_PROCESS, 0) == before
