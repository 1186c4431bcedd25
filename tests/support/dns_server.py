# A DNS server on a UDP port of this machine, which answers what a test says: resolver and zone in one.

from __future__ import annotations

import ipaddress
import socket
import struct
import threading
from contextlib import suppress
from types import TracebackType


def name(text: str) -> bytes:
    labels = text.rstrip(".").split(".")
    return b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0"


def value(kind: int, text: str) -> bytes:
    match kind:
        case 1 | 28:
            return ipaddress.ip_address(text).packed
        case 16:
            pieces = [text[at : at + 200].encode() for at in range(0, len(text), 200)]
            return b"".join(bytes([len(piece)]) + piece for piece in pieces)
    return name(text)


def answer(question: bytes, records: list[tuple[int, str]], flags: int = 0x8180) -> bytes:
    """Return an answer whose records have the name that was asked for, by a pointer to it."""
    head = question[:2] + struct.pack("!HHHHH", flags, 1, len(records), 0, 0)
    body = b""
    for kind, text in records:
        content = value(kind, text)
        body += b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 60, len(content)) + content
    return head + question[12:] + body


def asked(question: bytes) -> tuple[str, int]:
    labels, at = [], 12
    while question[at]:
        labels.append(question[at + 1 : at + 1 + question[at]].decode())
        at += 1 + question[at]
    return ".".join(labels), int.from_bytes(question[at + 1 : at + 3], "big")


class DnsServer:
    """`zone` has values by name and kind; what is asked is noted."""

    def __init__(self, zone: dict[tuple[str, int], list[str]]) -> None:
        self.zone = zone
        self.asked: list[tuple[str, int]] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def __enter__(self) -> DnsServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
            end.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join(30)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            data, address = self._socket.recvfrom(4096)
            if not data:
                return
            found = asked(data)
            self.asked.append(found)
            records = [(found[1], text) for text in self.zone.get(found, [])]
            with suppress(OSError):
                self._socket.sendto(answer(data, records), address)
