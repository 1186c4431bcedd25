# ZMTP by hand (https://rfc.zeromq.org/spec/23/): what libzmq would not send.

from __future__ import annotations

import socket


def greet(raw: socket.socket, kind: bytes = b"DEALER") -> None:
    """Shake hands as ZMTP 3.0 with the mechanism NULL does."""
    raw.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32))
    ready = b"\x05READY" + b"\x0bSocket-Type" + len(kind).to_bytes(4) + kind
    raw.sendall(b"\x04" + bytes([len(ready)]) + ready)
    heard = b""
    while b"READY" not in heard:  # before that a message would be taken for a part of the handshake
        heard += raw.recv(1000)


def frame(body: bytes) -> bytes:
    """Return a message of one short frame."""
    return b"\x00" + bytes([len(body)]) + body
