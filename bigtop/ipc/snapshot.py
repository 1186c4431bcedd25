# Snapshot of a running supervisor: plain data with descriptors, on its way through an exec.
#
# Rule 1: it is written as JSON that says of each value what it is, so it can be read without knowing who
# wrote it. A record is written by the name of its class with its fields by name: a version that has more
# fields with defaults reads what one without them has written, and the other way round is refused.
# Rule 2: nothing is read into a class that the reader did not name. What is unknown is a SnapshotError: the
# old version goes on, so that is no harm.
# Rule 3: whoever writes it down keeps everything. Descriptors are named, and passed on by whoever executes.

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, Final

from bigtop.record import Record, fields

# It changes when what stands in a snapshot does in a way that Rule 1 does not carry, or when anything does
# that a new supervisor and old processes say to each other: lifelines, reports, scoreboards, seats.
VERSION: Final = 1
_SEALS: Final = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
_MOST: Final = 1 << 30  # bytes

Known = Mapping[str, type]


class SnapshotError(Exception):
    """What was written cannot be taken over by this version; the text says why."""


class Descriptor(Record):
    """An open file, inherited under the same number."""

    number: int


def known(classes: Iterable[type]) -> Known:
    """Return the classes that may stand in a snapshot, by name."""
    return {one.__name__: one for one in (Descriptor, *classes)}


def plain(value: object, found: set[int] | None = None) -> Any:
    """Return `value` as what JSON has; `found` gets the numbers of all descriptors. TypeError: it is none of
    the kinds below."""
    found = set() if found is None else found
    match value:
        case Enum() if not isinstance(value, int):
            return {"enum": type(value).__name__, "member": value.name}
        case None | bool() | int() | float() | str():
            return value
        case bytes():
            return {"bytes": value.hex()}
        case tuple() if type(value) is not tuple:  # a NamedTuple
            return {"named": type(value).__name__, "values": [plain(one, found) for one in value]}
        case tuple() | list():
            return [plain(one, found) for one in value]
        case frozenset() | set():
            return {"set": [plain(one, found) for one in value]}
        case Mapping():
            return {"map": [[plain(key, found), plain(one, found)] for key, one in value.items()]}
        case Record():
            if isinstance(value, Descriptor):
                found.add(value.number)
            return {"record": type(value).__name__, "fields": _fields(value, found)}
    raise TypeError(f"a snapshot cannot hold a {type(value).__name__}")


def _fields(record: Record, found: set[int]) -> dict[str, Any]:
    _, values = record.__reduce__()
    return {one.name: plain(value, found) for one, value in zip(fields(record), values, strict=True)}


def read(value: Any, classes: Known) -> Any:
    """Return what plain() was given, with tuples for lists. SnapshotError: it cannot be known here."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case list():
            return tuple(read(one, classes) for one in value)
        case {"bytes": str(text)}:
            return bytes.fromhex(text)
        case {"set": list(members)}:
            return frozenset(read(one, classes) for one in members)
        case {"map": list(pairs)}:
            return {read(key, classes): read(one, classes) for key, one in pairs}
        case {"enum": str(name), "member": str(member)}:
            return _member(_class(name, classes), member)
        case {"named": str(name), "values": list(members)}:
            return _named(_class(name, classes), [read(one, classes) for one in members])
        case {"record": str(name), "fields": dict(given)}:
            return _made(_class(name, classes), {word: read(one, classes) for word, one in given.items()})
    raise SnapshotError(f"it holds what nobody knows: {value!r:.100}")


def _class(name: str, classes: Known) -> type:
    if name not in classes:
        raise SnapshotError(f"it holds a {name}, which this version does not know")
    return classes[name]


def _member(kind: type, name: str) -> Enum:
    if not issubclass(kind, Enum) or name not in kind.__members__:
        raise SnapshotError(f"it holds {kind.__name__}.{name}, which this version does not know")
    return kind.__members__[name]


def _named(kind: type, values: list[Any]) -> tuple[Any, ...]:
    if not issubclass(kind, tuple):
        raise SnapshotError(f"it holds a {kind.__name__}, which has other parts here")
    try:
        made: tuple[Any, ...] = kind(*values)
    except TypeError as error:
        raise SnapshotError(f"a {kind.__name__} of it is none here: {error}") from error
    return made


def _made(kind: type, values: dict[str, Any]) -> Record:
    if not issubclass(kind, Record):
        raise SnapshotError(f"it holds a {kind.__name__}, which is no record here")
    try:
        return kind(**values)
    except Exception as error:  # whatever its __post_init__ has to say to values of another version
        raise SnapshotError(f"a {kind.__name__} of it is none here: {error}") from error


# ---- the file


def sealed(order: Mapping[str, Any], state: Record) -> tuple[int, set[int]]:
    """Return the descriptor of a sealed file in memory with `state` and, as it is, `order`; and the
    descriptors that `state` names. OSError: there is no room for it."""
    found: set[int] = set()
    held = plain(state, found)
    text = json.dumps({"snapshot": VERSION, "order": {**order, "fds": sorted(found)}, "state": held})
    fd = os.memfd_create("bigtop-snapshot", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        with open(fd, "wb", closefd=False) as file:
            file.write(text.encode())
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    except OSError:
        os.close(fd)
        raise
    return fd, found


def opened(fd: int, classes: Known) -> tuple[Mapping[str, Any], Any]:
    """Return the order and the state behind `fd`. SnapshotError: it is of no version that is known here."""
    try:
        document = json.loads(os.pread(fd, min(os.fstat(fd).st_size, _MOST), 0))
    except (OSError, ValueError) as error:
        raise SnapshotError(f"it cannot be read: {error}") from error
    version = document.get("snapshot") if isinstance(document, dict) else None
    if version != VERSION:
        raise SnapshotError(f"it is of version {version}, and this Bigtop reads version {VERSION} alone")
    return document["order"], read(document["state"], classes)
