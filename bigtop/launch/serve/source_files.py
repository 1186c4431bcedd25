# Watching of source files: the process that says which have changed (--reload).

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from bigtop.config.serve.serve import ServeSpec
from bigtop.supervisor.processes.child import spawn
from bigtop.supervisor.streams.reader import LineReader, ReaderState


def watch(spec: ServeSpec, changed: Callable[[bytes], None], before: ReaderState | None = None) -> LineReader:
    """Start that process, which ends with us, or go on with the one that was there `before`; `changed` is
    told the files."""
    if before is not None and before.pipe is not None:
        return LineReader.resumed(before, changed)
    folders = [spec.folder, *spec.identity.pythonpath]
    read_end, write_end = os.pipe()
    argv = [sys.executable, "-P", "-m", "bigtop.workers.reloader", str(os.getpid())]
    argv += [*folders, "--", *spec.sources.extra]
    try:
        spawn(argv, os.environ, stdout=write_end)
    finally:
        os.close(write_end)
    return LineReader(read_end, changed)
