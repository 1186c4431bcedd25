# DNS messages (RFC 1035), as far as asking where a TXT record has arrived needs them.
#
# Rule: pure. What is no answer to the question that was asked is a MalformedDnsError, whatever its bytes are.

from __future__ import annotations

import ipaddress
import struct
from typing import Final

from bigtop.record import Record

A: Final = 1
NS: Final = 2
CNAME: Final = 5
TXT: Final = 16
AAAA: Final = 28
_INTERNET: Final = 1
_HEAD: Final = struct.Struct("!HHHHHH")
_RESPONSE, _CUT, _RECURSION = 0x8000, 0x0200, 0x0100
_MOST: Final = 200  # records of an answer, and steps from pointer to pointer
_LONGEST: Final = 255  # bytes of a name


class MalformedDnsError(Exception):
    """What came is no answer to the question."""


class Answer(Record):
    """What a server answered: names in small letters without a dot at the end, as (name, kind, value)."""

    code: int  # 0: no error, 3: there is no such name
    is_cut: bool
    records: tuple[tuple[str, int, str], ...]

    def of(self, kind: int) -> tuple[str, ...]:
        """Return the values of all records of a kind."""
        return tuple(value for _, found, value in self.records if found == kind)


def question(number: int, name: str, kind: int, recursive: bool) -> bytes:
    """Return a question; `number` comes back with its answer. Raises MalformedDnsError if it has no name."""
    try:
        labels = [label.encode("ascii") for label in name.rstrip(".").split(".")]
    except UnicodeEncodeError:
        raise MalformedDnsError(f"{name!r} is no name") from None
    if any(not 0 < len(label) < 64 for label in labels) or sum(map(len, labels)) + len(labels) > _LONGEST:
        raise MalformedDnsError(f"{name!r} is no name")
    written = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    head = _HEAD.pack(number, _RECURSION if recursive else 0, 1, 0, 0, 0)
    return head + written + struct.pack("!HH", kind, _INTERNET)


def read(data: bytes, number: int, name: str, kind: int) -> Answer:
    """Return the answer to a question. Raises MalformedDnsError."""
    try:
        return _read(data, number, (name.rstrip(".").lower(), kind))
    except (struct.error, IndexError, ValueError):
        raise MalformedDnsError("the answer is cut or broken") from None


def _read(data: bytes, number: int, asked: tuple[str, int]) -> Answer:
    found, flags, questions, answers, _, _ = _HEAD.unpack_from(data)
    if found != number or not flags & _RESPONSE or questions != 1 or answers > _MOST:
        raise MalformedDnsError("this is no answer to the question")
    name, at = _name(data, _HEAD.size)
    kind, _ = struct.unpack_from("!HH", data, at)
    if (name, kind) != asked:
        raise MalformedDnsError("this answers another question")
    at += 4
    records = []
    for _ in range(answers):
        name, at = _name(data, at)
        kind, _, _, length = struct.unpack_from("!HHIH", data, at)
        at += 10
        if at + length > len(data):
            raise MalformedDnsError("the answer is cut")
        records.append((name, kind, _value(data, at, length, kind)))
        at += length
    return Answer(flags & 15, bool(flags & _CUT), tuple(records))


def _value(data: bytes, at: int, length: int, kind: int) -> str:
    content = data[at : at + length]
    match kind:
        case 1 | 28:
            return str(ipaddress.ip_address(content))
        case 2 | 5:
            return _name(data, at)[0]
        case 16:
            return _texts(content).decode("latin-1")
    return ""


def _texts(content: bytes) -> bytes:
    """Return the strings of a TXT record, as one."""
    found, at = b"", 0
    while at < len(content):
        end = at + 1 + content[at]
        if end > len(content):
            raise MalformedDnsError("a text is cut")
        found += content[at + 1 : end]
        at = end
    return found


def _name(data: bytes, at: int) -> tuple[str, int]:
    """Return a name and where it ends; pointers (RFC 1035, 4.1.4) are followed, and not for ever."""
    labels: list[str] = []
    behind = 0
    for _ in range(_MOST):
        length = data[at]
        if length >= 192:
            behind = behind or at + 2
            at = ((length & 63) << 8) | data[at + 1]
            continue
        if length == 0:
            return ".".join(labels).lower(), behind or at + 1
        label = data[at + 1 : at + 1 + length]
        if length > 63 or len(label) != length:
            raise MalformedDnsError("a name is broken")
        labels.append(label.decode("latin-1"))
        at += 1 + length
    raise MalformedDnsError("a name has no end")
