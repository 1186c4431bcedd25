# Signals that are read, not handled.
#
# Python runs a handler between two instructions of the main thread: not while that waits in C, and not in
# compiled code. So the C level writes each signal's number into a pipe (signal.set_wakeup_fd), which wakes
# whoever waits for it, in whatever thread. Where somebody else holds that descriptor (an event loop does
# while it runs), the handler, which is called then, writes the number.

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Sequence
from types import FrameType


class SignalPipe:
    """Collects `numbers`. Python calls `handler` besides, when and where it does that; this has to note() the
    signal."""

    def __init__(self, numbers: Sequence[int], handler: Callable[[int, FrameType | None], None]) -> None:
        self._handled = numbers
        self._handler = handler
        self._out, self._in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def fileno(self) -> int:
        """Readable when read() has something to tell."""
        return self._out

    def read(self) -> list[int]:
        """Return the numbers of the signals that came since, each once."""
        try:
            return list(dict.fromkeys(os.read(self._out, 4096)))
        except BlockingIOError:
            return []

    def install(self) -> None:
        """Take the signals; main thread only."""
        for number in self._handled:
            signal.signal(number, self._handler)
        self.wake()
        # A child that the application forks has our handlers and our pipe, until it was told otherwise.
        os.register_at_fork(
            before=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, self._handled),
            after_in_parent=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, self._handled),
            after_in_child=self._disown,
        )

    def wake(self) -> None:
        """Be told by the C level, unless somebody else is: an event loop needs that as much as we do."""
        with contextlib.suppress(ValueError):  # not the main thread
            holder = signal.set_wakeup_fd(self._in, warn_on_full_buffer=False)
            if holder not in (-1, self._in):
                signal.set_wakeup_fd(holder)

    def close(self) -> None:
        """Let go of the pipe, not of the signals; main thread only."""
        holder = signal.set_wakeup_fd(-1)
        if holder not in (-1, self._in):
            signal.set_wakeup_fd(holder)
        os.close(self._out)
        os.close(self._in)
        self._out = self._in = -1
        self._handler = lambda _number, _frame: None  # what is called at a fork keeps this object

    def note(self, number: int) -> None:
        """Have it read, whoever the C level tells."""
        with contextlib.suppress(OSError):  # there is enough to be read already, or nobody reads
            os.write(self._in, bytes([number]))

    def _disown(self) -> None:
        """In such a child: a signal to it is none to us, and ends it."""
        holder = signal.set_wakeup_fd(-1)
        if holder not in (-1, self._in):
            signal.set_wakeup_fd(holder)
        for number in self._handled:
            if signal.getsignal(number) == self._handler:
                usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
                signal.signal(number, usual)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._handled)
