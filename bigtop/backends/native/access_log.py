# Access log of one worker: each answered request goes into a line, or to hooks.
#
# What a line says is for http/access_log/access_format.py; each server has a function that says what is known
# of a request.

from __future__ import annotations

import os
import time
from collections.abc import Callable

from bigtop.backends.base import Life
from bigtop.backends.serve_options import ServeOptions
from bigtop.http.access_log.access_format import AccessRecord, Formatter
from bigtop.http.access_log.access_names import formatter_of
from bigtop.log import zone


class AccessLog:
    """Tells `put` of each request, now."""

    def __init__(self, put: Callable[[AccessRecord], None]) -> None:
        self._put = put

    def add(self, access: AccessRecord) -> None:
        access.when, access.pid = time.time(), os.getpid()
        self._put(access)


def access_log(options: ServeOptions, life: Life) -> AccessLog | None:
    """Return the access log that was asked for; None: no requests are logged."""
    if life.accesses is not None:
        return AccessLog(life.accesses)
    text = options.access_format
    if not text:
        return None
    return AccessLog(_lines(life, formatter_of(text, zone())))


def _lines(life: Life, line: Formatter) -> Callable[[AccessRecord], None]:
    return lambda access: life.access(line(access))
