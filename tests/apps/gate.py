# Calls that last until a test lets them go (tests/support/gate.py): it names a file, and makes it in the end.

from __future__ import annotations

import os
import time

LONGEST = 120.0  # seconds
LOOK = 0.005


def _enter(path: str) -> float:
    """Tell that one more call is here; return when it ends in any case."""
    with open(f"{path}.in", "ab", buffering=0) as here:
        here.write(b".")
    return time.monotonic() + LONGEST


def _is_open(path: str, until: float) -> bool:
    if time.monotonic() > until:
        raise TimeoutError(f"nobody has opened {path}")
    return os.path.exists(path)


def wait(path: str) -> None:
    until = _enter(path)
    while not _is_open(path, until):
        time.sleep(LOOK)


async def awaited(path: str) -> None:
    import asyncio  # here: applications for WSGI need none of it

    until = _enter(path)
    while not _is_open(path, until):
        await asyncio.sleep(LOOK)
