# TLS transport: a client's socket on which all is encrypted, by OpenSSL as Python has it.
#
# Before the handshake the client's Hello is looked at and left where it is (http/clients/clienthello.py).
# Until then the descriptor is all there is of the connection, and another worker, or the application that the
# name in the Hello is for, can go on with it. The certificate is chosen before the handshake begins, so that
# whether a session is resumed is decided by the context that the name is for (CVE-2025-23419).
#
# Rule 1: OpenSSL reads and writes the socket itself: that takes half the time of passing bytes through it.
# Rule 2: a read takes a whole record, so nothing decrypted lies in OpenSSL and epoll tells the truth.
# Rule 3: what OpenSSL could not write is given to it again unchanged, whatever its owner gives then.
# Rule 4: one thread at a time. OpenSSL's objects have no locks, with the GIL either.

from __future__ import annotations

import logging
import os
import socket
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import Enum
from ssl import DER_cert_to_PEM_cert, SSLWantReadError, SSLWantWriteError, SSLZeroReturnError
from typing import Any, Final

from bigtop.backends.native.transport.bare_socket import AnySocket, bare
from bigtop.backends.native.transport.encryption import HTTP2, ServerContexts
from bigtop.backends.native.transport.transport import READABLE, WRITABLE, Bytes, Opening, silence_of
from bigtop.errors import ProtocolError
from bigtop.http.clients.clienthello import ALIEN, MOST, SHORT, Hello, hello_of
from bigtop.http.clients.tls_session import TlsSession, client_of
from bigtop.http.memo import remember
from bigtop.log import logger as get_logger

log = get_logger("bigtop.backend")

RECORD: Final = 16384  # the most bytes of a record
# An answer that fits into what TCP sends at first (10 segments) is one record; of a longer one the first
# record is small, since a client can do nothing with a part of one.
FLIGHT: Final = 13_000
FIRST: Final = 4096
USUAL: Final = 2048  # bytes that a Hello has at most, nearly always
JOINED: Final = 65536  # bytes that are copied so that they fill records
_CHALLENGE: Final = "acme-tls/1"
_RESET: Final = struct.pack("ii", 1, 0)
_ALERT: Final = b"\x15\3\1\0\2\2\x70"  # fatal, unrecognized_name (RFC 6066, 3)
_PLAIN: Final = "This port speaks HTTPS: ask for https:// instead of http://."


class TlsStage(Enum):
    PEEKING = 1  # nothing was read
    SHAKING = 2
    OPEN = 3
    BARE = 4  # what is read or sent now is not encrypted: there is nothing more to say, or it never was


PEEKING: Final[TlsStage] = TlsStage.PEEKING
SHAKING: Final[TlsStage] = TlsStage.SHAKING
OPEN: Final[TlsStage] = TlsStage.OPEN
BARE: Final[TlsStage] = TlsStage.BARE


class TlsTransport:
    """A socket, connected and not blocking, whose client begins with a handshake. It takes `sock` over.

    `owner_of` tells which application, by its number, a name is for, -1 where that may be this one; None:
    there is one application.
    """

    __slots__ = (
        *("_ahead", "_contexts", "_is_first", "_is_reset", "_kept", "_name", "_owner", "_owner_of"),
        *("_seen", "_socket", "_stage", "_tls"),
        *("is_movable", "is_plain", "opening", "read_event", "scheme", "write_event"),
    )

    def __init__(
        self, sock: AnySocket, contexts: ServerContexts, owner_of: Callable[[str], int] | None
    ) -> None:
        # OpenSSL wants a socket of C, and gevent's has one. That is for gevent to close: it knows who waits.
        self._owner = sock
        self._socket = bare(sock)
        if self._socket.gettimeout() != 0:
            self._socket.setblocking(False)
        self._contexts = contexts
        self._owner_of = owner_of
        self._stage: TlsStage = PEEKING
        self._tls: Any = None
        self._name = ""
        self._seen = 0  # bytes of a Hello that is not whole
        self._kept = b""  # a piece that OpenSSL could not write, the first bytes of what comes next
        self._ahead = 0  # how many bytes of what comes next are written already
        self._is_first = True  # what is sent next is the beginning of an answer
        self._is_reset = False
        self.read_event: int = READABLE
        self.write_event: int = WRITABLE
        self.is_movable: bool = True
        self.is_plain: bool = False
        self.scheme: str = "https"
        self.opening: Opening | None = Opening()

    def fileno(self) -> int:
        return self._socket.fileno()

    # ---- in

    def recv(self, size: int, /) -> bytes:
        if self._stage is not OPEN:
            if self._stage is BARE:
                return self._socket.recv(size)
            if not self.open():
                raise BlockingIOError
        data = self._read()
        self._is_first = True
        if len(data) < RECORD:
            return data
        pieces, came = [data], len(data)
        with suppress(BlockingIOError):
            while came < size and len(data) == RECORD:
                data = self._read()
                pieces.append(data)
                came += len(data)
        return b"".join(pieces)

    def _read(self) -> bytes:
        try:
            data: bytes = self._tls.read(RECORD)
        except SSLWantReadError:
            self.read_event = READABLE
            raise BlockingIOError from None
        except SSLWantWriteError:
            self.read_event = WRITABLE
            raise BlockingIOError from None
        except SSLZeroReturnError:
            return b""
        self.read_event = READABLE
        return data

    # ---- the handshake

    def open(self) -> bool:
        if self._stage is PEEKING and not self._begin():
            return False
        try:
            self._tls.do_handshake()
        except (SSLWantReadError, SSLWantWriteError) as waits:
            self.read_event = READABLE if isinstance(waits, SSLWantReadError) else WRITABLE
            return False
        except OSError as error:
            _tell(self._socket, str(error))
            raise
        self.read_event = READABLE
        self._stage = OPEN
        protocol = self._tls.selected_alpn_protocol()
        if protocol == _CHALLENGE:
            raise ConnectionAbortedError  # the CA has seen what it came for
        opening, self.opening = self.opening, None
        if opening is not None and opening.opened is not None:
            opening.is_http2 = protocol == HTTP2
            opening.opened(_session(self._tls, self._contexts, self._name))
        return True

    def _begin(self) -> bool:
        """Look at the Hello, and make of it the beginning of a handshake, unless more has to come or somebody
        else is to do that."""
        hello = self._hello()
        if hello is None:
            return False
        owner = -1 if self._owner_of is None else self._owner_of(hello.name)
        if owner >= 0 and self.opening is not None:
            self.opening.owner = owner
            return False
        self.is_movable = False
        context: Any = self._contexts.choose(hello.name, hello.alpn)
        if context is None:
            self._socket.recv(MOST)  # what is not read would make the end a reset
            self._socket.send(_ALERT)
            _tell(self._socket, f"the name {hello.name!r} is unknown")
            raise ConnectionAbortedError
        self._name = hello.name
        self._tls = context._wrap_socket(self._socket, True, None)  # what wrap_socket() calls
        self._stage = SHAKING
        return True

    def _hello(self) -> Hello | None:
        """Return what the client has said; None: it goes on."""
        data = self._socket.recv(USUAL, socket.MSG_PEEK)
        if len(data) == USUAL:
            data = self._socket.recv(MOST, socket.MSG_PEEK)
        hello = hello_of(data)
        if hello is SHORT and self._socket.family == socket.AF_UNIX:
            hello = Hello()  # of these epoll cannot be made to wait for more
        if hello is SHORT:
            if len(data) == self._seen:
                raise ConnectionAbortedError  # it has ended in the middle
            self._seen = len(data)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, self._seen + 1)
            return None
        if self._seen:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        if hello is ALIEN:
            self._turn_away(data)
        assert isinstance(hello, Hello)
        return hello

    def _turn_away(self, data: bytes) -> None:
        """Answer what is no TLS, if that is HTTP."""
        self._stage = BARE
        self.is_movable = False
        self.opening = None
        _tell(self._socket, "it speaks something else")
        raise ProtocolError(400, _PLAIN) if data[:1].isupper() else ConnectionAbortedError

    # ---- out

    def send(self, data: Bytes, /) -> int:
        if self._stage is not OPEN:
            if self._stage is BARE:
                return self._socket.send(data)
            raise BlockingIOError
        size, done, limit = len(data), 0, RECORD
        if self._ahead:
            done = min(self._ahead, size)
            self._ahead -= done
        elif self._kept:
            self._write(self._kept)
            done, self._kept = len(self._kept), b""
            if done > size:
                self._ahead, done = done - size, size
        elif self._is_first and size > FLIGHT:
            limit = FIRST
        self._is_first = False
        view = memoryview(data)
        while done < size:
            piece = view[done : done + limit]
            try:
                self._write(piece)
            except BlockingIOError:
                self._kept = bytes(piece)
                if done:
                    break
                raise
            done += len(piece)
            limit = RECORD
        return done

    def _write(self, piece: Bytes) -> None:
        try:
            self._tls.write(piece)
        except SSLWantWriteError:
            self.write_event = WRITABLE
            raise BlockingIOError from None
        except SSLWantReadError:
            self.write_event = READABLE
            raise BlockingIOError from None
        self.write_event = WRITABLE

    def sendmsg(self, pieces: Sequence[Bytes], more: bool) -> int:
        some: list[Bytes] = []
        room = JOINED
        for piece in pieces:
            some.append(piece[:room])
            room -= len(some[-1])
            if not room:
                break
        return self.send(b"".join(some))

    def sendfile(self, fd: int, offset: int, count: int) -> int:
        data = os.pread(fd, min(count, JOINED), offset)
        return self.send(data) if data else 0

    # ---- the rest

    def peek(self, size: int) -> bytes:
        raise BlockingIOError  # what lies in the kernel says nothing to anybody

    def is_broken(self) -> bool:
        return self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0

    def silence(self) -> int:
        return silence_of(self._socket)

    def shutdown(self, how: int) -> None:
        if how != socket.SHUT_RD:
            self._say_end()
            self._stage = BARE
            self.opening = None
        self._socket.shutdown(how)

    def _say_end(self) -> None:
        """Send close_notify, if that can be; nobody waits for that of the client."""
        if self._stage is OPEN and not self._kept and not self._is_reset:
            try:  # noqa: SIM105 - suppress() is not compiled
                self._tls.shutdown()
            except OSError:
                pass

    def reset(self) -> None:
        self._is_reset = True
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)

    def close(self) -> None:
        self._say_end()
        self._owner.close()

    def lend(self) -> int:
        raise NotImplementedError("the descriptor is not all there is of it")

    def send_beside(self, data: Bytes) -> int:
        raise NotImplementedError("the descriptor is not all there is of it")

    def take_back(self) -> None:
        raise NotImplementedError("the descriptor is not all there is of it")


def _tell(client: AnySocket, reason: str) -> None:
    if log.isEnabledFor(logging.DEBUG):
        with suppress(OSError):
            log.debug("no TLS with %s: %s", client.getpeername(), reason)


_sessions: Final[dict[tuple[str, str, str, bool], TlsSession]] = {}  # of clients without a certificate


def _session(tls: Any, contexts: ServerContexts, name: str) -> TlsSession:
    cipher, _, _ = tls.cipher()
    version, resumed = tls.version(), tls.session_reused
    if contexts.asks_clients and (found := tls.getpeercert()):
        client = client_of(found, DER_cert_to_PEM_cert(tls.getpeercert(True)))
        return TlsSession(version, cipher, contexts.cipher_id(cipher), name, resumed, client)
    session = _sessions.get((version, cipher, name, resumed))
    if session is None:
        session = TlsSession(version, cipher, contexts.cipher_id(cipher), name, resumed)
        remember(_sessions, (version, cipher, name, resumed), session)
    return session
