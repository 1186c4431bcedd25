# Notifications for whoever started us: systemd (sd_notify(3)), and a `--daemon` command that waits.
#
# Rule: the variables that say where to tell it are taken out of the environment. What we start would believe
# that it is meant, and tell systemd that the service is ready, or stopping, in our place.

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from array import array
from collections.abc import Callable, MutableMapping
from typing import Final, Protocol

# The descriptor on which a `--daemon` command waits for one byte (cli/serve/detach.py).
WAITING: Final = "BIGTOP_DAEMON_FD"


_STORE_SECONDS: Final = 1.0


class Starter(Protocol):
    """Whoever started us, as we see it."""

    period: float  # seconds between two pings; 0: none are wanted

    def ready(self, status: str) -> None: ...

    def reloading(self) -> None: ...

    def stopping(self) -> None: ...

    def ping(self) -> None: ...

    def attend(self, gone: Callable[[], object]) -> None:
        """Have `gone` called should the starter go away, and us with it; on the running event loop."""


class Notifier:
    """Any thread. Nobody who listens, or who went away, is ever a reason to fail."""

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        self._address = environ.pop("NOTIFY_SOCKET", "")
        period, pid = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
        waiting, room = environ.pop(WAITING, ""), environ.pop("FDSTORE", "")
        # How many descriptors the service keeps for us (systemd 254).
        self.room = int(room) if self._address and room.isdecimal() else 0
        self._waiting = _Waiting(int(waiting)) if waiting.isdecimal() else None
        ours = self._address and period.isdecimal() and pid in ("", str(os.getpid()))
        # Seconds between two pings; systemd asks for two within its period. 0: none are wanted.
        self.period = int(period) / 2e6 if ours else 0.0

    def ready(self, status: str) -> None:
        """The first time, or again behind reloading()."""
        self._tell(f"READY=1\nSTATUS={status}\nMAINPID={os.getpid()}")
        if self._waiting is not None:
            self._waiting.let_go()
            self._waiting = None

    def reloading(self) -> None:
        # Type=notify-reload compares the time with that of its signal (systemd 253).
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}\nSTATUS=reloading")

    def stopping(self) -> None:
        self._tell("STOPPING=1\nSTATUS=stopping")

    def ping(self) -> None:
        self._tell("WATCHDOG=1")

    def attend(self, gone: Callable[[], object]) -> None:
        """Whoever starts daemons and services leaves them alone."""

    def store(self, name: str, *fds: int) -> None:
        """Have the service keep copies of `fds`, also when we crash, beside those that have this name."""
        self._tell(f"FDSTORE=1\nFDNAME={name}\nFDPOLL=0", *fds)

    def remove(self, name: str) -> None:
        """Have it close all copies of this name."""
        self._tell(f"FDSTOREREMOVE=1\nFDNAME={name}")

    def _tell(self, text: str, *fds: int) -> None:
        if not self._address:
            return
        # "@" stands for the zero byte of an abstract address (unix(7)).
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            # Nobody waits for who listens; what is kept must not be lost because its queue is full just now.
            sender.settimeout(_STORE_SECONDS if "FDSTORE" in text else 0.0)
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))] if fds else []
            sender.sendmsg([text.encode()], rights, 0, address)


class _Waiting:
    """The command that waits, and its terminal: ours for messages, but nobody's that we start.

    A shell, or ssh, waits for whoever has its output open, and our children would keep it for ever.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        os.set_inheritable(fd, False)
        sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(nowhere, standard)
        os.close(nowhere)

    def let_go(self) -> None:
        with contextlib.suppress(OSError):
            os.write(self._fd, b"1")
        os.close(self._fd)
        sys.stderr.close()
        sys.stderr = sys.__stderr__
