# A supervisor that belongs to a program: `python -m bigtop.launch.owned FD`, started by bigtop.embedded.
#
# FD is one end of a socket pair, whose other end the owner holds. Down comes one line, what to run; up goes
# one line, that it runs or why it does not; and when the owner closes its end, or is gone, everything stops.

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import Callable

from bigtop.config.file import daemon as config
from bigtop.errors import BigtopError
from bigtop.launch.run.daemon import run
from bigtop.record import replace
from bigtop.system import descriptors, signals


class Owner:
    """The program that started us (a notify.Starter)."""

    period = 0.0

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._told = False

    def ready(self, _status: str) -> None:
        self.tell({"ready": True})

    def reloading(self) -> None:
        pass

    def stopping(self) -> None:
        pass

    def ping(self) -> None:
        pass

    def attend(self, gone: Callable[[], object]) -> None:
        def look() -> None:
            loop.remove_reader(self._line)
            gone()

        loop = asyncio.get_running_loop()
        loop.add_reader(self._line, look)  # nothing more comes down but the end

    def tell(self, message: dict[str, object]) -> None:
        """Say how it went, once."""
        if not self._told:
            self._told = True
            # An owner that is gone is noticed by attend().
            self._line.send(json.dumps(message).encode() + b"\n", socket.MSG_NOSIGNAL)


def main() -> int:
    line = socket.socket(fileno=int(sys.argv[1]))
    descriptors.settle()
    signals.heed_children()
    with line.makefile("rb") as reader:
        said = reader.readline()
    if not said.endswith(b"\n"):
        return 0  # the owner is gone already
    orders = json.loads(said)
    owner = Owner(line)
    sys.path[:0] = [folder for folder in orders["path"] if folder not in sys.path]  # for hooks
    try:
        spec = config.of_tables(orders["source"], orders["tables"])
        return run(replace(spec, warnings=()), owner)  # advice is for those who write files
    except BigtopError as error:
        owner.tell({"error": str(error), "kind": type(error).__name__})
        return error.exit_status


if __name__ == "__main__":
    # Not sys.exit(): nothing of this program is worth a slow end, and its owner waits.
    status = main()
    sys.stderr.flush()
    os._exit(status)
