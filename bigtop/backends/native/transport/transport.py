# A client's socket, and all that is done to it.
#
# The servers know the contract, Transport. Nobody but a transport calls a method of a socket that leads to a
# client.
#
# Rule 1: nothing here waits. What cannot be done yet raises BlockingIOError, and `read_event` or
# `write_event` tells what to wait for at the descriptor then: a transport that encrypts may have to write
# before it can go on reading, and the other way round. After an operation that could be done, each is the
# usual one again. Any other OSError is the end of the connection.
# Rule 2: recv() returns all that it took from the kernel and could make out. So nothing that is to be read
# lies in a transport, and epoll tells the truth. It may return more bytes than it was asked for.
# Rule 3: send() returns how many bytes it took over. What it did not take comes again, as the first bytes of
# the next send, however they are cut; none are left out before the connection ends.

from __future__ import annotations

import _socket
import os
import select
import socket
import struct
import sys
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from bigtop.backends.native.transport.bare_socket import AnySocket
from bigtop.http.clients.peer import Address
from bigtop.http.clients.tls_session import TlsSession

READABLE: Final[int] = select.EPOLLIN  # the same number for poll(2)
WRITABLE: Final[int] = select.EPOLLOUT
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER with no time makes close(2) send a reset
# Of struct tcp_info: tcpi_last_data_recv, milliseconds. The struct grows at its end only.
_LAST_DATA_RECV: Final = 52
_ITS_END: Final = 56  # numbers by themselves: mypyc takes bytes by no slice in a variable

Bytes = bytes | memoryview


class Opening:
    """What has to be done before a transport carries anything: a handshake.

    `opened` is told how it came out; `owner` is the application, by its number, that the client has named,
    -1 while that may be this one; `is_http2` is whether HTTP/2 was agreed on (ALPN).
    """

    __slots__ = ("is_http2", "opened", "owner")

    def __init__(self) -> None:
        self.opened: Callable[[TlsSession], None] | None = None
        self.owner = -1
        self.is_http2 = False


class Transport(Protocol):
    """The way to one client.

    `recv` and `send` may be attributes, so that those of a socket are called without one more call of ours.
    `is_movable` tells whether the descriptor is all there is of it at present: then another worker can go on
    with a copy. `is_plain` tells that it is so for ever: then the application can. `scheme` is that of URLs.
    """

    read_event: int  # READABLE or WRITABLE
    write_event: int
    is_movable: bool
    is_plain: bool
    scheme: str
    opening: Opening | None  # None: it is open

    def open(self) -> bool:
        """Go on with what `opening` stands for; return whether it is over. Asked for it often waits once or
        twice, so it says that without an exception. ProtocolError: the client speaks something else."""

    def recv(self, size: int, /) -> bytes:
        """Return what came; b"" at the end."""

    def send(self, data: Bytes, /) -> int:
        """Send what can be sent now; return how many bytes that was."""

    def fileno(self) -> int:
        """Return the descriptor, to wait for events at and to copy it; -1 when it is closed."""

    def sendmsg(self, pieces: Sequence[Bytes], more: bool) -> int:
        """Send `pieces` in one go; `more` follows at once."""

    def sendfile(self, fd: int, offset: int, count: int) -> int:
        """Send a part of a file; 0 at its end."""

    def peek(self, size: int) -> bytes:
        """Return what lies in the kernel, at most `size` bytes, as it came; b"" at the end."""

    def is_broken(self) -> bool:
        """Whether the client has reset the connection; tells it once."""

    def silence(self) -> int:
        """Return for how many milliseconds nothing has come; 0 where the kernel does not know."""

    def shutdown(self, how: int) -> None:
        """Say that nothing more comes (SHUT_WR), or listen no more (SHUT_RD)."""

    def reset(self) -> None:
        """Have close() tell the client that this was no proper end."""

    def close(self) -> None:
        """Close; there may be copies elsewhere."""

    # For an application that speaks to the client by itself; only where the transport `is_plain`.

    def lend(self) -> int:
        """Return a copy of the descriptor."""

    def send_beside(self, data: Bytes) -> int:
        """Send what can be sent now, as send() does, although a copy may be in use that waits."""

    def take_back(self) -> None:
        """Go on without waiting: a copy that waits made this one wait as well."""


def silence_of(client: _socket.socket) -> int:
    """Return for how many milliseconds nothing has come; 0 where the kernel does not know."""
    if sys.platform != "linux" or client.family == socket.AF_UNIX:
        return 0
    try:
        told = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ITS_END)
    except OSError:  # it is over
        return 0
    return int.from_bytes(told[_LAST_DATA_RECV:_ITS_END], sys.byteorder)


# Makes one of a client's socket and of the address, as the socket module gives it, that the client came to.
TransportFactory = Callable[[AnySocket, Address], Transport]


class PlainTransport:
    """A socket as it is: connected, not blocking."""

    __slots__ = (
        "_socket",
        "is_movable",
        "is_plain",
        "opening",
        "read_event",
        "recv",
        "scheme",
        "send",
        "write_event",
    )

    def __init__(self, sock: AnySocket) -> None:
        self._socket = sock
        self.recv: Callable[[int], bytes] = sock.recv
        self.send: Callable[[Bytes], int] = sock.send
        self.read_event: int = READABLE
        self.write_event: int = WRITABLE
        self.is_movable: bool = True
        self.is_plain: bool = True
        self.scheme: str = "http"
        self.opening: Opening | None = None

    def open(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._socket.fileno()

    def sendmsg(self, pieces: Sequence[Bytes], more: bool) -> int:
        return self._socket.sendmsg(pieces, (), socket.MSG_MORE if more else 0)

    def sendfile(self, fd: int, offset: int, count: int) -> int:
        return os.sendfile(self._socket.fileno(), fd, offset, count)

    def peek(self, size: int) -> bytes:
        return self._socket.recv(size, socket.MSG_PEEK)

    def is_broken(self) -> bool:
        return self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0

    def silence(self) -> int:
        return silence_of(self._socket)

    def shutdown(self, how: int) -> None:
        self._socket.shutdown(how)

    def reset(self) -> None:
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)

    def close(self) -> None:
        self._socket.close()

    def lend(self) -> int:
        return os.dup(self._socket.fileno())

    def send_beside(self, data: Bytes) -> int:
        return self._socket.send(data, socket.MSG_DONTWAIT)

    def take_back(self) -> None:
        self._socket.setblocking(False)
