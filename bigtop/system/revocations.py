# Lists of revoked certificates (CRL; RFC 5280, 5): when they end, which Python's ssl module does not say.

from __future__ import annotations

import re
from base64 import b64decode
from datetime import UTC, datetime
from typing import Final

from bigtop.errors import ConfigError

_LIST: Final = re.compile(r"-----BEGIN X509 CRL-----(.*?)-----END X509 CRL-----", re.DOTALL)
_INTEGER: Final = 0x02
_TIMES: Final = {0x17: "%y%m%d%H%M%SZ", 0x18: "%Y%m%d%H%M%SZ"}  # UTCTime, GeneralizedTime


def end_of(pem: str) -> float | None:
    """Return when the first of the lists in `pem` ends, as POSIX time; None: none of them does.

    ConfigError: one cannot be read.
    """
    ends = []
    for found in _LIST.finditer(pem):
        try:
            ends.append(_end(b64decode(found[1])))
        except (ValueError, IndexError):
            raise ConfigError("its list of revoked certificates cannot be read") from None
    return min((end for end in ends if end is not None), default=None)


def _end(der: bytes) -> float | None:
    _, at, _ = _field(der, 0)
    _, at, _ = _field(der, at)
    kind, _, behind = _field(der, at)
    if kind == _INTEGER:  # the version
        at = behind
    for _ in range(3):  # algorithm, issuer, when it was made
        _, _, at = _field(der, at)
    kind, begin, end = _field(der, at)
    if kind not in _TIMES:
        return None
    text = der[begin:end].decode("ascii")
    return datetime.strptime(text, _TIMES[kind]).replace(tzinfo=UTC).timestamp()


def _field(der: bytes, at: int) -> tuple[int, int, int]:
    """Return the kind of the field at `at`, where its content begins and where that ends."""
    size, begin = der[at + 1], at + 2
    if size & 0x80:
        width = size & 0x7F
        size, begin = int.from_bytes(der[begin : begin + width], "big"), begin + width
    if begin + size > len(der):
        raise ValueError("it is cut off")
    return der[at], begin, begin + size
