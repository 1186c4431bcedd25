# Scarcity of what processes are made of: descriptors, room in the table of processes, memory.
#
# Rule: what is short comes back, so whoever fails for want of it waits and is tried again; it is no death and
# no reason to give up. Descriptors are not used up to the last one: a reserve is kept for what has to go on
# meanwhile, which is the control channel, log files and /proc.

from __future__ import annotations

import errno
import os
import resource

from bigtop.system import kernel

_LARGEST_RESERVE = 64
_PASSING = (errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM, errno.ENOBUFS)
_WORDS = tuple(os.strerror(number) for number in _PASSING)


def reserve() -> int:
    """Return how many descriptors are kept: a third of them where there are few."""
    return min(_LARGEST_RESERVE, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 3)


def check() -> None:
    """Raise OSError when nothing may be opened but from the reserve."""
    left, kept = kernel.descriptors_left(), reserve()
    if left <= kept:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        raise OSError(
            errno.EMFILE,
            f"{os.strerror(errno.EMFILE)}: {limit - left} of {limit} descriptors are in use, and {kept} are"
            " kept for the control channel and the logs (raise ulimit -n or LimitNOFILE=)",
        )


def is_passing(error: Exception) -> bool:
    """Say whether `error` comes of something that is short."""
    return isinstance(error, OSError) and error.errno in _PASSING


def is_passing_text(reason: str) -> bool:
    """Say the same of an error in another process, of which there is only the text."""
    return reason.endswith(_WORDS)
