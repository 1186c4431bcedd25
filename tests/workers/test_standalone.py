# A lone worker: how it ends.

from __future__ import annotations

import os
import signal
import subprocess
import sys

from tests.support.site import ROOT

STARTS = 15
PROGRAM = """
import atexit, signal, threading, time
from bigtop.workers import standalone

for number in standalone.ASKED_TO_LEAVE:
    signal.signal(number, lambda *_: None)

def wait():
    while True:
        time.sleep(0)

for _ in range(3):
    threading.Thread(target=wait, daemon=True).start()
atexit.register(standalone._nothing_follows)
print("ends soon", flush=True)
until = time.monotonic() + 0.05
while time.monotonic() < until:  # so that signals come in a stream when it does
    pass
"""


def test_signals_at_the_very_end_are_told_of_by_nobody() -> None:
    """Other threads are given them while their handlers are taken away, in about one end of four."""
    for _ in range(STARTS):
        with subprocess.Popen(
            [sys.executable, "-c", PROGRAM], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.readline()
            while process.poll() is None:
                os.kill(process.pid, signal.SIGTERM)
            assert (process.returncode, process.stderr.read()) == (0, b"")
