# A command that says anything in every way that it has: on its outputs, and to the socket for its readiness.
#
# What it says depends on nothing but the number that it is given.

from __future__ import annotations

import array
import os
import random
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress

PIECES = (b"\n", b"\r", b"\0", b"\x1b[2J", b"\xc3", "ä\u2028".encode(), b"x" * 9000, b"READY=", b"")


def anything(source: random.Random, count: int) -> Iterator[bytes]:
    """Yield noise, with some of what means something now and then."""
    for _ in range(count):
        yield b"".join(
            source.choice(PIECES) if source.random() < 0.5 else source.randbytes(source.randrange(20))
            for _ in range(source.randrange(12))
        )


def main(seed: int) -> None:
    source = random.Random(seed)
    for data in anything(source, 200):
        os.write(source.choice((1, 2)), data)
    for fd in (1, 2):
        os.write(fd, b"\n")  # the next line there may be of somebody else
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.connect("\0" + os.environ["NOTIFY_SOCKET"][1:])
        for data in (*anything(source, 50), b"READY=1\n" + b"x" * 9000):
            fds = array.array("i", [0] * source.randrange(4))
            with suppress(OSError):
                notify.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)] if fds else [])


if __name__ == "__main__":
    main(int(sys.argv[1]))
    signal.pause()
