# A raw HTTP/1.1 client: it sends exactly the bytes it is given and reads answers by the letter of RFC 9112,
# so that nothing between the test and the wire repairs anything.

from __future__ import annotations

import select
import socket
import struct
from dataclasses import dataclass
from types import TracebackType


@dataclass(frozen=True)
class Answer:
    status: int
    reason: str
    version: str
    headers: list[tuple[str, str]]
    body: bytes

    def __getitem__(self, name: str) -> str | None:
        """Return the only header of this name, or None."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(values) <= 1, f"{name} is repeated: {values}"
        return values[0] if values else None


class Closed(Exception):  # noqa: N818
    """The server closed the connection where an answer, or the rest of one, was due."""


class Client:
    """One connection. `address` is (host, port) or the path of a unix socket."""

    def __init__(
        self, address: tuple[str, int] | str, timeout: float = 30.0, receive_buffer: int = 0
    ) -> None:
        self.socket = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        self.socket.settimeout(timeout)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(address)
        self._held = b""

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def is_answered(self) -> bool:
        """Say whether there is something to read."""
        return bool(select.select([self.socket], [], [], 0)[0])

    def get(self, path: str = "/", *headers: str, method: str = "GET") -> Answer:
        """Make one request on this connection and return its answer."""
        self.send(request(path, *headers, method=method))
        return self.answer(head_only=method == "HEAD")

    def post(self, path: str, body: bytes, *headers: str) -> Answer:
        self.send(request(path, f"Content-Length: {len(body)}", *headers, method="POST") + body)
        return self.answer()

    def answer(self, head_only: bool = False) -> Answer:
        """Read one answer; Closed when the connection ends inside or before it."""
        head = self._until(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        version, status, reason = first.split(" ", 2)
        headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        answer = Answer(int(status), reason, version, headers, b"")
        if head_only or answer.status in (204, 304) or answer.status < 200:
            return answer
        return Answer(answer.status, reason, version, headers, self._body(answer))

    def _body(self, answer: Answer) -> bytes:
        if answer["Transfer-Encoding"] is not None:
            assert answer["Transfer-Encoding"] == "chunked"
            return self._chunks()
        if (length := answer["Content-Length"]) is not None:
            return self._exactly(int(length))
        return self.rest()

    def _chunks(self) -> bytes:
        pieces = []
        while size := int(self._until(b"\r\n").partition(b";")[0], 16):
            pieces.append(self._exactly(size))
            assert self._exactly(2) == b"\r\n"
        assert self._exactly(2) == b"\r\n", "trailers are not expected"
        return b"".join(pieces)

    def at_end(self) -> bool:
        """Wait for the server to close; True when nothing came before that."""
        return self.rest() == b""

    def rest(self) -> bytes:
        """Read until the server closes."""
        pieces = [self._held]
        self._held = b""
        while piece := self.socket.recv(65536):
            pieces.append(piece)
        return b"".join(pieces)

    def _until(self, mark: bytes) -> bytes:
        while (at := self._held.find(mark)) < 0:
            self._more()
        found, self._held = self._held[:at], self._held[at + len(mark) :]
        return found

    def _exactly(self, count: int) -> bytes:
        pieces = [self._held]
        size = len(self._held)
        while size < count:
            piece = self.socket.recv(min(count - size, 1 << 20) if size else 65536)
            if not piece:
                raise Closed(f"closed after {size} of {count} bytes")
            pieces.append(piece)
            size += len(piece)
        data = b"".join(pieces)
        self._held = data[count:]
        return data[:count]

    def _more(self) -> None:
        piece = self.socket.recv(65536)
        if not piece:
            raise Closed(f"closed after {self._held!r}")
        self._held += piece


def request(path: str = "/", *headers: str, method: str = "GET", version: str = "1.1") -> bytes:
    lines = [f"{method} {path} HTTP/{version}", "Host: test", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1")


# Fields that ask for a WebSocket.
UPGRADE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


def leave(client: Client, how: str) -> None:
    """Go as clients go: by FIN, by RST, or with the own side ended; "deaf": stay, and read nothing."""
    match how:
        case "fin":
            client.close()
        case "reset":
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
        case "half":
            client.socket.shutdown(socket.SHUT_WR)
        case "deaf":
            pass
