# A file that says what is let through, read again whenever it is another one.
#
# Rule: a file that cannot be read any more, or has a mistake, changes nothing: what it said before goes on,
# and the log says so once.

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from bigtop.errors import ConfigError
from bigtop.log import logger as get_logger
from bigtop.system.files.contents import contents

log = get_logger("bigtop.backend")
T = TypeVar("T")
FRESH: Final = 1_000_000_000  # nanoseconds for which a file is believed to be the same


class FreshFile(Generic[T]):
    """What `make` says of the text in a file, as `value`. ConfigError: it cannot be read at first; `make`
    raises ValueError that begins with the number of a line."""

    def __init__(self, path: str, make: Callable[[str], T]) -> None:
        self._path = path
        self._make = make
        self._state = self._stat()
        self._look_at = 0
        try:
            self.value = self._read()
        except ValueError as error:
            raise ConfigError(str(error)) from None

    def look(self, now: int) -> bool:
        """Return whether it says something else than before."""
        if now < self._look_at:
            return False
        self._look_at = now + FRESH
        state = self._stat()
        if state == self._state:
            return False
        self._state = state
        try:
            self.value = self._read()
        except ValueError as error:
            log.error("%s; what it said before goes on", error)
            return False
        log.info("%s is read again", self._path)
        return True

    def _stat(self) -> object:
        try:
            status = os.stat(self._path)
        except OSError:
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns

    def _read(self) -> T:
        return contents(self._path, self._make)
