# A server that a test plays: it reads requests and writes answers byte by byte, as the test says.

from __future__ import annotations

import select
import socket
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final

PATIENCE: Final = 30  # seconds


class PlayedServer:
    """Listens at a port of the loopback, or at a unix socket."""

    def __init__(self, path: Path | None = None) -> None:
        self.listener = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        self.listener.settimeout(PATIENCE)
        self.listener.bind(("127.0.0.1", 0) if path is None else str(path))
        self.listener.listen()
        self.port = int(self.listener.getsockname()[1]) if path is None else 0

    def __enter__(self) -> PlayedServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.listener.close()

    def accept(self) -> PlayedConnection:
        return PlayedConnection(self.listener.accept()[0])

    def forget(self) -> None:
        """Close connections that nobody has accepted: where a test failed, the next one wants none."""
        while select.select([self.listener], [], [], 0)[0]:
            self.listener.accept()[0].close()


class PlayedConnection:
    """One connection to it."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.socket.settimeout(PATIENCE)
        self._held = b""

    def __enter__(self) -> PlayedConnection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def head(self) -> tuple[str, list[tuple[str, str]]]:
        """Read the head of a request: its first line and its fields, names in lower case."""
        first, *lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        pairs = [line.partition(": ") for line in lines]
        return first, [(name.lower(), value) for name, _, value in pairs]

    def until(self, mark: bytes) -> bytes:
        """Read up to `mark`, and leave that out."""
        while mark not in self._held:
            piece = self.socket.recv(65536)
            assert piece, f"the connection ends behind {self._held!r}"
            self._held += piece
        found, _, self._held = self._held.partition(mark)
        return found

    def exactly(self, count: int) -> bytes:
        while len(self._held) < count:
            piece = self.socket.recv(65536)
            assert piece, f"the connection ends behind {self._held!r}"
            self._held += piece
        found, self._held = self._held[:count], self._held[count:]
        return found

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self, body: bytes = b"ok", *fields: str, status: str = "200 OK") -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields, "", ""]
        self.send("\r\n".join(lines).encode("latin-1") + body)

    def at_end(self) -> bool:
        """Wait for what comes next; whether that is the end."""
        try:
            return not self._held and not self.socket.recv(1)
        except ConnectionResetError:
            return True

    def at_last(self) -> None:
        """Read all up to the end, whatever that is."""
        with suppress(ConnectionResetError):
            while self.socket.recv(65536):
                pass

    def close(self) -> None:
        self.socket.close()
