# A second kind of transport, to prove that the native servers know only the contract of the first: all bytes
# pass through a transformation, in frames of its own, and the descriptor alone is of no use to anybody.
#
# A frame is b"F" + its length in two bytes + its bytes, scrambled. Besides, both ends have two words, so that
# each direction needs the other one now and then:
# "A" asks the server for an "a", which it writes before it reads on; the client asks before each ninth frame.
# "Q" asks the client for a "q", which the server reads before it writes on; it asks behind each ninth frame.

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from typing import Final

from bigtop.backends.asgi.backend import AsgiBackend
from bigtop.backends.base import Life
from bigtop.backends.native.transport.transport import (
    READABLE,
    WRITABLE,
    Bytes,
    Opening,
    TransportFactory,
    silence_of,
)
from bigtop.backends.wsgi.backend import WsgiBackend
from tests.support.wire import Client

_TABLE: Final = bytes(byte ^ 0x5A for byte in range(256))
_HEAD: Final = 3
_LONGEST: Final = 10_000  # bytes of a frame
_EVERY: Final = 9


def _framed(data: bytes) -> bytes:
    return b"F" + len(data).to_bytes(2, "big") + data.translate(_TABLE)


class _Frames:
    """What came, taken apart step by step."""

    def __init__(self) -> None:
        self.held = b""

    def take(self) -> bytes:
        """Return a word, or the bytes of a frame behind an "F"; b"" while there is neither."""
        size = 1
        if self.held[:1] == b"F":
            size = _HEAD + int.from_bytes(self.held[1:_HEAD], "big") if len(self.held) >= _HEAD else _HEAD
        if len(self.held) < size:
            return b""
        found, self.held = self.held[:size], self.held[size:]
        return found if size == 1 else b"F" + found[_HEAD:].translate(_TABLE)


class ScrambledTransport:
    """The server's end."""

    is_movable = False
    is_plain = False
    scheme = "http"
    opening: Opening | None = None

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._frames = _Frames()
        self._out = b""  # the rest of a frame that the kernel did not take ...
        self._taken = 0  # ... and how many bytes that are to be given again it stands for
        self._sent = 0  # frames
        self._is_asking = False
        self.read_event = READABLE
        self.write_event = WRITABLE

    def fileno(self) -> int:
        return self._socket.fileno()

    def recv(self, size: int) -> bytes:
        if self.read_event == WRITABLE:
            self._tell(b"a")
            self.read_event = READABLE
        while True:
            found: list[bytes] = []
            while word := self._frames.take():
                if word == b"A" and found:
                    self._tell(b"a")
                elif word == b"A":  # all that came lies here, and nothing of it can be read before ...
                    self.read_event = WRITABLE
                    raise BlockingIOError
                elif word == b"q":
                    self._is_asking = False
                else:
                    found.append(word[1:])
            if found:
                return b"".join(found)
            if not (data := self._socket.recv(size)):
                return b""
            self._frames.held += data

    def _tell(self, word: bytes) -> None:
        if self._out:  # not inside a frame
            self._out += word
        else:
            self._socket.send(word)

    def send(self, data: Bytes) -> int:
        if self._is_asking:
            self._await_answer()
        self.write_event = WRITABLE
        if not self._out:
            piece = bytes(data[:_LONGEST])
            self._out, self._taken = _framed(piece), len(piece)
            self._sent += 1
            if self._sent % _EVERY == 0:
                self._out += b"Q"
        self._out = self._out[self._socket.send(self._out) :]
        if self._out:
            raise BlockingIOError
        self._is_asking = self._sent % _EVERY == 0
        return self._taken

    def _await_answer(self) -> None:
        """Read a "q", where nothing else is on its way before it."""
        self.write_event = READABLE
        if self._socket.recv(1, socket.MSG_PEEK) not in (b"q", b""):
            raise BlockingIOError  # what comes first is for recv()
        if not self._socket.recv(1):
            raise ConnectionResetError
        self._is_asking = False

    def sendmsg(self, pieces: Sequence[Bytes], more: bool) -> int:
        return self.send(next(piece for piece in pieces if piece))

    def sendfile(self, fd: int, offset: int, count: int) -> int:
        data = os.pread(fd, min(count, _LONGEST), offset)
        return self.send(data) if data else 0

    def peek(self, size: int) -> bytes:
        return self._socket.recv(size, socket.MSG_PEEK)

    def is_broken(self) -> bool:
        return self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0

    def silence(self) -> int:
        return silence_of(self._socket)

    def shutdown(self, how: int) -> None:
        self._socket.shutdown(how)

    def reset(self) -> None:
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    def close(self) -> None:
        self._socket.close()

    def lend(self) -> int:
        raise NotImplementedError("it is not movable")

    def send_beside(self, data: bytes) -> None:
        raise NotImplementedError("it is not movable")

    def take_back(self) -> None:
        raise NotImplementedError("it is not movable")


class ScrambledWsgi(WsgiBackend):
    """The native WSGI server, as nobody but our client understands it."""

    def transports(self, listeners: Sequence[socket.socket], life: Life) -> TransportFactory:
        return lambda client, _server: ScrambledTransport(client)


class ScrambledAsgi(AsgiBackend):
    """The native ASGI server likewise."""

    def transports(self, listeners: Sequence[socket.socket], life: Life) -> TransportFactory:
        return lambda client, _server: ScrambledTransport(client)


class _ScrambledSocket:
    """The client's end, as far as Client uses a socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._frames = _Frames()
        self._sent = 0
        self.answered = 0  # questions of ours

    def fileno(self) -> int:
        return self._socket.fileno()

    def sendall(self, data: bytes) -> None:
        for at in range(0, len(data), _LONGEST):
            self._sent += 1
            ask = b"A" if self._sent % _EVERY == 0 else b""
            self._socket.sendall(ask + _framed(data[at : at + _LONGEST]))

    def recv(self, size: int) -> bytes:
        found: list[bytes] = []
        while not found:
            if not (data := self._socket.recv(size)):
                return b""
            self._frames.held += data
            while word := self._frames.take():
                if word == b"Q":
                    self._socket.sendall(b"q")
                elif word == b"a":
                    self.answered += 1
                else:
                    found.append(word[1:])
        return b"".join(found)

    def close(self) -> None:
        self._socket.close()


class ScrambledClient(Client):
    """One connection to a scrambled server."""

    def __init__(self, address: tuple[str, int] | str, receive_buffer: int = 0) -> None:
        super().__init__(address, receive_buffer=receive_buffer)
        self.plain = self.socket
        self.scrambled = _ScrambledSocket(self.socket)
        self.socket = self.scrambled  # type: ignore[assignment]
