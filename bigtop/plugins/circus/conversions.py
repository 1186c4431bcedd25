# Conversions that plugins of Circus import from circus.util.

from __future__ import annotations

import re
import signal
from typing import Any, Final

from bigtop.plugins.circus.loop import AsyncPeriodicCallback

__all__ = [
    "DEFAULT_ENDPOINT_DEALER",
    "DEFAULT_ENDPOINT_STATS",
    "DEFAULT_ENDPOINT_SUB",
    "AsyncPeriodicCallback",
    "bytes2human",
    "human2bytes",
    "to_bool",
    "to_bytes",
    "to_signum",
    "to_str",
]

DEFAULT_ENDPOINT_DEALER: Final = "tcp://127.0.0.1:5555"
DEFAULT_ENDPOINT_SUB: Final = "tcp://127.0.0.1:5556"
DEFAULT_ENDPOINT_STATS: Final = "tcp://127.0.0.1:5557"

_TRUE: Final = ("1", "true", "on", "t", "y", "yes")
_FALSE: Final = ("0", "false", "off", "f", "n", "no")
_UNITS: Final = {"": 0, "B": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}


def to_bool(value: Any) -> bool:
    """Return what a text means; ValueError for one that is neither yes nor no."""
    if isinstance(value, bool):
        return value
    word = str(value).lower().strip()
    if word not in (*_TRUE, *_FALSE):
        raise ValueError(f"{value!r} is not a boolean")
    return word in _TRUE


def to_str(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def to_bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def to_signum(value: Any) -> int:
    """Return the number of a signal, given as a number, or as a name with or without SIG."""
    text = str(value).strip().upper()
    if text.isdigit():
        return int(text)
    name = text if text.startswith("SIG") else f"SIG{text}"
    try:
        return int(signal.Signals[name])
    except KeyError:
        raise ValueError(f"signal invalid: {value!r}") from None


def human2bytes(value: Any) -> int:
    """Return how many bytes a text such as 12.5M says."""
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([KMGTPE]?)I?B?\s*", str(value).upper())
    if found is None:
        raise ValueError(f"{value!r} is no number of bytes such as 250M")
    return int(float(found[1]) * 1024 ** _UNITS[found[2]])


def bytes2human(number: float) -> str:
    """Return a number of bytes in the largest unit that is not more than it."""
    for unit in "EPTGMK":
        if number >= 1024 ** _UNITS[unit]:
            return f"{number / 1024 ** _UNITS[unit]:.2f}{unit}"
    return f"{int(number)}B"
