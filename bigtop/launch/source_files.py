# Watching of source files: the process that says which have changed (--reload).

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from bigtop.config.serve.serve import ServeSpec
from bigtop.supervisor.processes.child import spawn
from bigtop.supervisor.streams.reader import LineReader


def watch(spec: ServeSpec, changed: Callable[[bytes], None]) -> None:
    """Start that process, which ends with us; `changed` is told the files."""
    folders = [spec.folder, *spec.identity.pythonpath]
    read_end, write_end = os.pipe()
    argv = [sys.executable, "-P", "-m", "bigtop.workers.reloader", str(os.getpid())]
    argv += [*folders, "--", *spec.sources.extra]
    try:
        spawn(argv, os.environ, stdout=write_end)
    finally:
        os.close(write_end)
    LineReader(read_end, changed)
