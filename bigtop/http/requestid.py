# Request ids: what an X-Request-ID may be, and new ones.
#
# Rule: they stand in logs and on the scoreboard, so one that a trusted proxy gave counts only where it is
# short and of a few characters; it is replaced otherwise, and so are several.

from __future__ import annotations

import itertools
import re
from typing import Final

NAME: Final = b"x-request-id"
KEY: Final = "HTTP_X_REQUEST_ID"

_ID: Final = re.compile(r"[\w.:;@/+=-]{1,128}", re.ASCII)


class RequestIds:
    """Makes them: a `name`, and a number. From any thread."""

    __slots__ = ("_bytes", "_name", "_number")

    def __init__(self, name: str) -> None:
        self._name = name + "-"
        self._bytes = self._name.encode()
        self._number = itertools.count().__next__

    def new(self) -> str:
        return f"{self._name}{self._number()}"

    def new_bytes(self) -> bytes:
        return self._bytes + b"%d" % self._number()


def is_id(text: str) -> bool:
    return _ID.fullmatch(text) is not None
