# Critical watchers: the end of one is the end of everything, with its status.
#
# Rule: pure. What is meant is the end that its processes make, not a stop that somebody asked for.

from __future__ import annotations

from bigtop.supervisor.policy import messages
from bigtop.supervisor.policy.spec import Lifetime


class Critical:
    """`status` is what the program ends with: 0, unless the end of a critical watcher was another."""

    def __init__(self) -> None:
        self.status = 0
        self._failures: dict[str, int] = {}  # the status of the last process that failed

    def is_over(self, name: str, lifetime: Lifetime, notice: messages.Notice) -> bool:
        """Whether `notice` is the end of a critical watcher."""
        if not lifetime.critical:
            return False
        match notice:
            case messages.Started():
                self._failures.pop(name, None)
            case messages.Reaped(status=status) if status.code != 0:
                self._failures[name] = 128 + status.signal if status.signal else status.code or 0
            case messages.Finished() if not lifetime.schedule:
                self.status = self._failures.get(name, 0)
                return True
            case messages.GaveUp():
                self.status = self._failures.get(name, 1)
                return True
        return False
