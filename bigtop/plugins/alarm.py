# Alarm of a plugin's process, which ends it where its event loop stands still, with every stack on stderr.
#
# The interpreter's own watchdog waits in a thread that needs nothing of Python. So it strikes in an endless
# loop, and in code in C that does not come back. The watcher starts the process again.

from __future__ import annotations

import asyncio
import faulthandler
import os
from typing import Final

from bigtop.errors import BigtopError

# Seconds for what comes before the event loop turns: imports, most of all.
TO_BEGIN: Final = 60.0


class AloneError(BigtopError):
    """The supervisor is gone."""


def arm(seconds: float = TO_BEGIN) -> None:
    faulthandler.dump_traceback_later(seconds, exit=True)


def disarm() -> None:
    faulthandler.cancel_dump_traceback_later()


def put_off(seconds: float, supervisor: int) -> None:
    """Put it off by so much; AloneError once the process `supervisor` is gone."""
    arm(seconds)
    try:
        os.kill(supervisor, 0)
    except ProcessLookupError:
        raise AloneError("the supervisor is gone") from None
    except PermissionError:  # it is of another user
        pass


async def keep_off(seconds: float, supervisor: int) -> None:
    """Put it off for as long as the loop turns; raises as put_off()."""
    try:
        while True:
            put_off(seconds, supervisor)
            await asyncio.sleep(seconds / 4)
    finally:
        arm()  # it has to come to an end, too
