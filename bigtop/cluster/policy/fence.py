# Fence of a node: what of all that controllers say still counts.
#
# Rules: pure. A leader that was asleep does not know that there is another one, so nobody relies on what it
# knows: epochs and numbers only grow, and who brings a lower one is refused. What is said twice acts once.

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from bigtop.errors import CommandError


class StaleError(CommandError):
    """An older leader speaks, or a newer word was heard already."""


class Word(Enum):
    NEW = "new"
    REPEATED = "repeated"


class Fence:
    """The highest epoch, assignment of each application, and command that a node has heard of."""

    def __init__(self) -> None:
        self.epoch = 0
        self._numbers: dict[str, int] = {}
        self._command = (0, 0)  # epoch, number in it

    def number(self, app: str) -> int:
        return self._numbers.get(app, 0)

    def assignment(self, app: str, number: int, epoch: int) -> Word:
        """Take an assignment in. StaleError: it does not count any more, or its leader does not."""
        self._enter(epoch)
        have = self.number(app)
        if number < have:
            raise StaleError(f"assignment {number} of {app} is older than {have}")
        self._numbers[app] = number
        return Word.REPEATED if number == have else Word.NEW

    def command(self, number: int, epoch: int) -> Word:
        """Take a command in, as assignment() does; commands of one epoch are numbered."""
        self._enter(epoch)
        if (epoch, number) < self._command:
            raise StaleError(f"command {epoch}.{number} is older than {self._command[0]}.{self._command[1]}")
        is_new = (epoch, number) > self._command
        self._command = (epoch, number)
        return Word.NEW if is_new else Word.REPEATED

    def _enter(self, epoch: int) -> None:
        if epoch < self.epoch:
            raise StaleError(f"epoch {epoch} is over, this is {self.epoch}")
        self.epoch = epoch

    def plain(self) -> dict[str, Any]:
        """Return it for a file."""
        return {"epoch": self.epoch, "numbers": self._numbers, "command": list(self._command)}

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Fence:
        """Return what plain() wrote. ValueError, KeyError, TypeError: it is nothing of that kind."""
        fence = cls()
        fence.epoch = int(said["epoch"])
        fence._numbers = {str(app): int(number) for app, number in said["numbers"].items()}
        epoch, number = said["command"]
        fence._command = (int(epoch), int(number))
        return fence
