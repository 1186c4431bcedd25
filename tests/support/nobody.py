# What the user nobody can do, found out by a process that is that user; for tests that run as root.

from __future__ import annotations

import os
import pwd
from collections.abc import Callable


def as_nobody(perform: Callable[..., object], *words: object) -> bool:
    """Call `perform` as nobody; whether it returned."""
    account = pwd.getpwnam("nobody")
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.setgroups([])
            os.setgid(account.pw_gid)
            os.setuid(account.pw_uid)
            perform(*words)
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
