# Tells what its worker was born with, as far as a program can see it.

from __future__ import annotations

import gc
import json
import os
import re
import resource
import signal
import stat
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any


def _descriptors() -> list[str]:
    """Return what is open, by kind: numbers are another one's business."""
    kinds = []
    for name in os.listdir("/proc/self/fd"):
        try:
            mode = os.fstat(int(name)).st_mode
        except OSError:  # it listed the folder
            continue
        kinds.append(f"{stat.filemode(mode)[0]} {os.get_inheritable(int(name)) if int(name) > 2 else name}")
    return sorted(kinds)


def _limits() -> dict[str, tuple[int, int]]:
    names = [name for name in dir(resource) if name.startswith("RLIMIT_")]
    return {name: resource.getrlimit(getattr(resource, name)) for name in names}


# As the import of the application finds it, and as it is while requests are answered.
IMPORT = {
    "cwd": os.getcwd(),
    "environment": dict(os.environ),
    "path": list(sys.path),
    "program": sys.argv[0],
    "words": sys.orig_argv[:4],
    "numbers": len(sys.argv),
    "main": sys.modules["__main__"].__spec__.name if sys.modules["__main__"].__spec__ else "",
    "name": sys.executable,
    "mask": sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, ()))),
    "signals": {number: str(signal.getsignal(number))[:20] for number in sorted(signal.valid_signals())},
    "leads": os.getsid(0) == os.getpgid(0) == os.getpid(),
    "collects": gc.isenabled(),
    "threads": threading.active_count(),
    "stdin": os.readlink("/proc/self/fd/0"),
    "buffered": [sys.stdout.line_buffering, sys.stderr.line_buffering],
    "umask": re.findall("Umask.*", Path("/proc/self/status").read_text()),
}


def app(_environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    found = {"at the import": IMPORT, "descriptors": _descriptors(), "limits": _limits()}
    body = json.dumps(found).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
