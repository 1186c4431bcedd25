# Signals that are read, whoever the C level tells of them.

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from bigtop.workers.signalpipe import SignalPipe

pytestmark = pytest.mark.case("A14")


@pytest.fixture
def pipe() -> Iterator[SignalPipe]:
    """One that nothing was told to: signals meet its handler alone."""
    made = SignalPipe([signal.SIGUSR1], lambda number, _frame: made.note(number))
    told, handler = signal.set_wakeup_fd(-1), signal.signal(signal.SIGUSR1, made._handler)
    yield made
    signal.signal(signal.SIGUSR1, handler)
    signal.set_wakeup_fd(told)
    os.close(made._out)
    os.close(made._in)


def test_the_handler_says_what_the_c_level_tells_somebody_else(pipe: SignalPipe) -> None:
    assert pipe.read() == []
    os.kill(os.getpid(), signal.SIGUSR1)
    assert pipe.read() == [signal.SIGUSR1]


def test_the_c_level_says_it_where_nobody_else_is_told(pipe: SignalPipe) -> None:
    signal.signal(signal.SIGUSR1, lambda _number, _frame: None)
    pipe.wake()
    os.kill(os.getpid(), signal.SIGUSR1)
    assert pipe.read() == [signal.SIGUSR1]


def test_an_event_loop_goes_on_to_be_told(pipe: SignalPipe) -> None:
    read_end, write_end = os.pipe2(os.O_NONBLOCK)
    signal.set_wakeup_fd(write_end)
    pipe.wake()
    os.kill(os.getpid(), signal.SIGUSR1)
    assert os.read(read_end, 9) == bytes([signal.SIGUSR1])
    assert signal.set_wakeup_fd(-1) == write_end
    os.close(read_end)
    os.close(write_end)
