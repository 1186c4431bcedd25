# Signal from the leader to the call of a stream, which waits for it, in its thread or greenlet, as for a
# descriptor.

from __future__ import annotations

import os


class Signal:
    """Nothing, until somebody waits for it."""

    __slots__ = ("_fd", "_is_over")

    def __init__(self) -> None:
        self._fd = -1
        self._is_over = False

    # ---- who runs the call

    def expect(self) -> int:
        """Return the descriptor that is readable when give() was called from now on. Look behind it whether
        what is waited for is there already."""
        if self._is_over:
            raise BrokenPipeError
        if self._fd < 0:
            self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        else:
            try:  # noqa: SIM105 - suppress() is not compiled
                os.eventfd_read(self._fd)
            except BlockingIOError:
                pass
        return self._fd

    # ---- the leader

    def give(self) -> None:
        if self._fd >= 0:
            os.eventfd_write(self._fd, 1)

    def close(self) -> None:
        """The call is over."""
        self._is_over = True
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
