# The end of ZeroMQ, which nobody may wait for without a limit.

from __future__ import annotations

import subprocess
import sys

CODE = """
import asyncio, logging, sys, zmq
from bigtop.control.server import zmq_socket
logging.basicConfig()
context = zmq.Context()
socket = context.socket(zmq.ROUTER)
if sys.argv[1] == "closed":
    socket.close()
asyncio.run(zmq_socket.terminate(context, float(sys.argv[2])))
print("over")
"""


def end(socket: str, patience: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", CODE, socket, str(patience)], capture_output=True, text=True, timeout=60
    )


def test_it_is_waited_for() -> None:
    done = end("closed", 30)
    assert (done.returncode, done.stdout, done.stderr) == (0, "over\n", "")


def test_it_is_not_waited_for_without_a_limit() -> None:
    """libzmq waits as long as a socket is open."""
    done = end("open", 0.1)
    assert (done.returncode, done.stdout) == (0, "over\n")
    assert "ZeroMQ has not ended within 0.1 s" in done.stderr
