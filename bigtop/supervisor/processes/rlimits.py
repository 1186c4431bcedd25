# Resource limits: from their names to the kernel's numbers, and onto processes that run already.
#
# Rules: soft and hard limit are the same, as with Circus; -1 is infinity. A lowered limit takes nothing away
# from a process that is above it: the next request fails (setrlimit(2)).

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterable, Iterator

from bigtop.supervisor.processes import descendants

_KNOWN = {
    name.removeprefix("RLIMIT_").lower(): number
    for name, number in vars(resource).items()
    if name.startswith("RLIMIT_")
}


def numbers(rlimits: Iterable[tuple[str, int]]) -> Iterator[tuple[int, int]]:
    """Yield what setrlimit(2) takes; ValueError names a limit that does not exist here."""
    for name, value in rlimits:
        number = _KNOWN.get(name.lower())
        if number is None:
            raise ValueError(f"there is no limit {name!r}")
        limit = resource.RLIM_INFINITY if value < 0 else value
        if limit == resource.RLIM_INFINITY and number == resource.RLIMIT_NOFILE:
            limit = resource.getrlimit(number)[1]  # the kernel has no endless number of descriptors
        yield number, limit


def apply(pid: int, rlimits: Iterable[tuple[str, int]]) -> None:
    """Set the limits of a process and all below it; PermissionError where only root may raise one."""
    wanted = list(numbers(rlimits))
    for each in [pid, *(kin.pid for kin in descendants.descendants(pid))]:
        for number, limit in wanted:
            with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
                resource.prlimit(each, number, (limit, limit))
