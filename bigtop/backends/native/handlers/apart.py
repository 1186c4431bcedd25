# Work that takes long, done apart: how a server lets a handler wait in the application's place.

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Final, NamedTuple


class Apart(NamedTuple):
    """How a server has something done that takes long, where waiting is allowed: `run` does it so that nobody
    else waits, and returns what it returned; `lock` makes locks for who waits there, `pause` waits there for
    so many seconds."""

    run: Callable[[Callable[[], bool]], bool]
    lock: Callable[[], AbstractContextManager[Any]]
    pause: Callable[[float], object]


IN_THREADS: Final = Apart(lambda work: work(), threading.Lock, time.sleep)
