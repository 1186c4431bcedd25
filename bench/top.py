# Cost of `bigtop top`, for those who look and those who are looked at: `python -m bench.top [--counts 100]`
#
# Rules: the processes sleep, so what is measured is the looking. CPU is read from /proc over a stretch of
# time that begins when figures have come for a while. What is drawn on a terminal is read and thrown away.

from __future__ import annotations

import argparse
import os
import pty
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

_SETTLED = 12.0  # seconds of figures before it is measured
_KINDS = {"--json": ("--json",), "plain": ("--plain",), "Textual": ()}
_FILE = """
[circus]
endpoint = ipc://{folder}/ctl
pubsub_endpoint = ipc://{folder}/events
[watcher:sleepers]
cmd = sleep 100000
numprocesses = {count}
"""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.top", description=__doc__)
    parser.add_argument("--counts", default="100,1000", help="numbers of processes (100,1000)")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each measurement (15)")
    options = parser.parse_args(arguments)
    for count in map(int, options.counts.split(",")):
        with tempfile.TemporaryDirectory() as name:
            for kind, row in measure(Path(name), count, options.seconds).items():
                shares = "  ".join(f"{who} {share:.1f} %" for who, share in row.items())
                print(f"{count:>5} processes, {kind:<8}: {shares}", flush=True)
    return 0


def measure(folder: Path, count: int, seconds: float) -> dict[str, dict[str, float]]:
    """Return shares of a core, in percent, of each process that takes part, by the kind of table."""
    (folder / "x.ini").write_text(_FILE.format(folder=folder, count=count))
    words = [sys.executable, "-m", "bigtop"]
    with open(folder / "log", "wb") as log:
        daemon = psutil.Popen([*words, "run", str(folder / "x.ini")], stdout=log, stderr=log)
    try:
        while len(daemon.children()) < count:
            time.sleep(0.2)
        where = ("-e", str(folder / "ctl"))
        return {
            kind: _watched(daemon, [*words, "top", *where, *flags], seconds) for kind, flags in _KINDS.items()
        }
    finally:
        daemon.terminate()
        daemon.wait()


def _watched(daemon: psutil.Popen, command: Sequence[str], seconds: float) -> dict[str, float]:
    main, other = pty.openpty()
    environ = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"}
    with subprocess.Popen(command, stdin=other, stdout=other, stderr=other, env=environ) as top:
        os.close(other)
        try:
            _read(main, _SETTLED)
            process = psutil.Process(top.pid)
            looked = {"supervisor": daemon, "top": process, "its stats process": process.children()[0]}
            before = {who: sum(one.cpu_times()[:2]) for who, one in looked.items()}
            spent = _read(main, seconds)
            return {
                who: 100 * (sum(one.cpu_times()[:2]) - before[who]) / spent for who, one in looked.items()
            }
        finally:
            top.send_signal(signal.SIGTERM)
            _read(main, 2.0)
            top.kill()
            os.close(main)


def _read(terminal: int, seconds: float) -> float:
    """Read for so many seconds; return how many there were."""
    began = time.monotonic()
    while (left := began + seconds - time.monotonic()) > 0:
        if select.select([terminal], [], [], left)[0]:
            try:
                os.read(terminal, 65536)
            except OSError:  # it has ended
                break
    return time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main())
