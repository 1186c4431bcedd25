# Fields by which an application speaks to nginx in front of it (--accel-headers): a filter that heeds them in
# nginx's place. X-Accel-Redirect is in file_answers.py.
#
# Rule: a client sees none of them. What cannot be done is said once, in the log.

from __future__ import annotations

import re
from typing import Final

from bigtop.http.handlers import Draft
from bigtop.http.messages import Request
from bigtop.log import logger as get_logger

log = get_logger("bigtop.backend")

# Buffering: each piece is sent at once anyway, and a slow client holds no call up. Expires is for a cache.
_FIELDS: Final = ("x-accel-buffering", "x-accel-charset", "x-accel-expires", "x-accel-limit-rate")
FASTEST: Final = 1 << 40  # bytes a second; more is no limit
_CHARSET: Final = re.compile(r"[A-Za-z0-9!#$%&'+^_`{}~-]+", re.ASCII)
_PARAMETER: Final = re.compile(r"\s*;\s*charset\s*=\s*(\"[^\"]*\"|[^;\s]*)", re.IGNORECASE)


class AccelHeaders:
    """Heeds X-Accel-Charset and X-Accel-Limit-Rate, and keeps them and their like from clients."""

    __slots__ = ("_is_told",)

    def __init__(self) -> None:
        self._is_told = False

    def filter(self, request: Request, draft: Draft) -> None:
        named = {name.lower(): value for name, value in draft.headers if name.lower() in _FIELDS}
        if not named:
            return
        draft.drop(*_FIELDS)
        if (charset := named.get("x-accel-charset")) is not None:
            _give_charset(draft, charset.strip())
        if (rate := named.get("x-accel-limit-rate", "off").strip()) != "off":
            self._slow_down(request, rate)

    def _slow_down(self, request: Request, rate: str) -> None:
        """Let no more of an answer go out a second than an application wants, 0: all that can."""
        if not rate.isascii() or not rate.isdecimal():
            self._tell(request, f"{rate!r} is no number of bytes a second")
        elif request.pace is None:
            self._tell(request, f"it is not heeded with HTTP/{request.version}")
        elif 0 < int(rate) <= FASTEST:
            request.pace(int(rate))

    def _tell(self, request: Request, what: str) -> None:
        if not self._is_told:
            self._is_told = True
            log.warning(
                "%s %s: X-Accel-Limit-Rate: %s", request.method, request.target.decode("latin-1"), what
            )


def _give_charset(draft: Draft, charset: str) -> None:
    """Have the Content-Type of an answer name a `charset`, none for "off"; what is none is left out."""
    if _CHARSET.fullmatch(charset) is None:
        return
    for number, (name, value) in enumerate(draft.headers):
        if name.lower() == "content-type":
            kind = _PARAMETER.sub("", value)
            draft.headers[number] = (name, kind if charset == "off" else f"{kind}; charset={charset}")
