# Guard of a command that an agent runs: `python -m bigtop.cluster.guard LIFELINE WORD...`, a process that
# ends the command, and all that it began in its process group, when the agent is gone.
#
# Why: an agent that is killed can end nothing any more, and the next one must not meet a command that still
# writes. The lifeline is a pipe whose other end the agent alone has. What else the agent passes on, such as a
# lock, is held until all is over.

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence

from bigtop.system import kernel


def main(words: Sequence[str]) -> int:
    """Return the exit status of the command, as a shell does."""
    kernel.become_subreaper()  # who lost its parent is waited for here
    try:
        process = subprocess.Popen(words[1:], stdin=subprocess.DEVNULL, process_group=0)
    except OSError as error:
        print(f"{words[1]}: {error.strerror}", file=sys.stderr)
        return 127
    threading.Thread(target=_end_with, args=(int(words[0]), process.pid), daemon=True).start()
    os.waitid(
        os.P_PID, process.pid, os.WEXITED | os.WNOWAIT
    )  # until it is reaped, its number is nobody else's
    _end(process.pid)
    status = process.wait()
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-process.pid, 0)
    return status if status >= 0 else 128 - status


def _end_with(lifeline: int, group: int) -> None:
    os.read(lifeline, 1)
    _end(group)


def _end(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
