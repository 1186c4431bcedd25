# Bytes on the control channel: requests in, replies out, in the JSON of Circus 0.19.
#
# Rule 1: pure. Whatever the bytes are, RefusedError is all that can be raised over them. Rule 2: a reply
# never carries a traceback: the field is there because Circus' clients expect it, and is always null.

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import IntEnum

from bigtop.errors import CommandError
from bigtop.record import Record, field

# What a reply adds to {"status": "ok", "time": ..., "id": ...}; a "status" in it wins.
Reply = Mapping[str, object]


class Errno(IntEnum):
    """Circus' numbers, and one more."""

    UNSPECIFIED = 0
    INVALID_JSON = 1
    UNKNOWN_COMMAND = 2
    MESSAGE = 3  # a property is missing or wrong, or names nothing that there is
    OS = 4
    COMMAND = 5  # it could not be done
    SERVER = 6  # our mistake; the log has it
    NOT_ALLOWED = 7  # the key's role does not include the command


class RefusedError(CommandError):
    """A command that is not carried out, and why."""

    def __init__(self, reason: str, errno: Errno = Errno.MESSAGE) -> None:
        super().__init__(reason)
        self.errno = errno


class Envelope(Record):
    """What comes around a command: `id` goes back unchanged; a cast is never answered, not even refused.
    `role`: the sender asks for somebody who may no more than that."""

    command: object = None
    properties: object = None
    id: object = None
    cast: bool = False
    role: object = None


class ControlRequest(Record):
    word: str
    properties: Mapping[str, object] = field(default_factory=dict)


def open_envelope(frame: bytes) -> Envelope:
    if not frame.strip():
        raise RefusedError("empty command", Errno.INVALID_JSON)
    try:
        message = json.loads(frame)
    # Besides its own errors json raises these for bytes that are no UTF-8 and for a deep nest of brackets.
    except (ValueError, RecursionError):
        raise RefusedError("json invalid", Errno.INVALID_JSON) from None
    if not isinstance(message, dict):
        raise RefusedError("json invalid: a command is an object", Errno.INVALID_JSON)
    return Envelope(
        message.get("command"),
        message.get("properties"),
        message.get("id"),
        message.get("msg_type") == "cast",
        message.get("role"),
    )


def request(envelope: Envelope) -> ControlRequest:
    if not isinstance(envelope.command, str):
        raise RefusedError(f"unknown command: {envelope.command!r}", Errno.UNKNOWN_COMMAND)
    properties = {} if envelope.properties is None else envelope.properties
    if not isinstance(properties, dict):
        raise RefusedError("message invalid: 'properties' is an object")
    return ControlRequest(envelope.command.lower(), properties)


def ok(reply: Reply, envelope: Envelope, now: float) -> bytes:
    return _encode({"status": "ok", "time": now, **reply, "id": envelope.id})


def error(reason: str, errno: int, envelope: Envelope, now: float) -> bytes:
    message = {"status": "error", "reason": reason, "tb": None, "time": now, "errno": int(errno)}
    return _encode({**message, "id": envelope.id})


def call(word: str, properties: Mapping[str, object], call_id: str | None, role: str = "") -> bytes:
    """Encode a request; without an id it is a cast. `role`: for somebody who may no more than that."""
    message = {"command": word, "properties": properties, **({"role": role} if role else {})}
    return _encode({**message, "id": call_id} if call_id is not None else {**message, "msg_type": "cast"})


def _encode(message: Mapping[str, object]) -> bytes:
    return json.dumps(message).encode()
