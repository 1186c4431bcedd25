# The time zone of log lines.
#
# Rule: it is found out once and then fixed. Applications change $TZ and call time.tzset(), which would change
# every localtime() of the process.

from __future__ import annotations

import io
import os
import struct
import time
from datetime import UTC, timedelta, timezone, tzinfo
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

LOCAL: Final = "local"
UTC_NAME: Final = "utc"
NAMES: Final = (LOCAL, UTC_NAME)
_SYSTEM = "/etc/localtime"
_UTC_FILES = ("UTC", "UCT", "Universal", "Zulu")  # of the time zone database


def named(name: str) -> tzinfo:
    """Return the zone that an option names: "utc", or "local" as it is now."""
    return UTC if name == UTC_NAME else _local(os.environ.get("TZ"))


def _local(variable: str | None) -> tzinfo:
    """Return the zone of $TZ as tzset(3) understands it; without, the system's."""
    text = (variable or "").removeprefix(":")
    try:
        if variable is None and os.path.basename(os.path.realpath(_SYSTEM)) in _UTC_FILES:
            return UTC  # as on most servers, which thereby import less
        if variable is None:
            return _of_file(_SYSTEM)
        if not text:
            return UTC
        from zoneinfo import ZoneInfo

        return _of_file(text) if text.startswith("/") else ZoneInfo(text)
    except (OSError, ValueError):  # ZoneInfoNotFoundError is a KeyError
        pass
    except KeyError:
        try:
            return _of_rule(text)
        except ValueError:
            pass
    return timezone(timedelta(seconds=time.localtime().tm_gmtoff))


def _of_file(path: str) -> ZoneInfo:
    from zoneinfo import ZoneInfo

    with open(path, "rb") as file:
        return ZoneInfo.from_file(file, key=path)


def _of_rule(rule: str) -> ZoneInfo:
    """Return the zone of a rule such as CET-1CEST,M3.5.0,M10.5.0/3: the end of a file of TZif (RFC 9636)."""
    from zoneinfo import ZoneInfo

    counts = struct.pack(">6L", 0, 0, 0, 0, 1, 4)
    block = b"TZif2" + bytes(15) + counts + struct.pack(">lBB", 0, 0, 0) + b"UTC\0"
    return ZoneInfo.from_file(io.BytesIO(block * 2 + b"\n" + rule.encode() + b"\n"), key=rule)
