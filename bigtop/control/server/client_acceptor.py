# Acceptor of the control channel: lets clients in and relays bytes between each and a ZeroMQ socket.
#
# libzmq would do that itself, but it aborts the whole process when accept(2) finds no free descriptor, it
# counts neither connections nor what they send (flow_control.py), and it cannot end a single one. So it
# accepts nobody here: for each client it connects to us, over a unix socket of a name that was never used
# before.
#
# Rules: who sends more than may be under way is not read any further; if nothing comes out of ZeroMQ then,
# the message has no end and the client is cut off. Every refusal is one line in the log.

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import struct
from collections.abc import Callable, Iterable
from contextlib import suppress

import zmq

from bigtop.control.server.flow_control import FloodError, FlowControl
from bigtop.log import logger as get_logger
from bigtop.record import Record
from bigtop.system import kernel

log = get_logger("bigtop")

_CHUNK = 65536
_LEAST_DESCRIPTORS = 6  # a client takes three, and one more for a moment
_PAUSE = 1.0  # seconds in which nobody is accepted
_PATIENCE = 5.0  # seconds in which a message has to come out, a client to shake hands, ZeroMQ to come to us
_QUIET = 60  # seconds in which a client says nothing, after which the network is asked whether it is there


class RelayLimits(Record):
    """Of each client, in bytes, and how many there may be."""

    largest: int  # frame
    room: int  # under way
    clients: int = 128


class _Direction:
    """One direction of a relay. `check` is asked before data is passed on; False: read no further."""

    def __init__(
        self,
        source: socket.socket,
        target: socket.socket,
        check: Callable[[bytes], bool],
        on_end: Callable[[], None],
    ) -> None:
        self._source = source
        self._target = target
        self._check = check
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._rest = b""
        self._is_open = True
        self._read_on()

    def _read(self) -> None:
        try:
            data = self._source.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._on_end()
            return
        self._is_open = self._check(data)
        if not self._is_over:
            self._rest = data
            self._write()
        if not self._is_over and (self._rest or not self._is_open):
            self._loop.remove_reader(self._source)

    @property
    def _is_over(self) -> bool:
        """Whether the connection ended meanwhile: what is called here may end it."""
        return self._source.fileno() < 0

    def _write(self) -> None:
        try:
            sent = self._target.send(self._rest, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._on_end()
            return
        self._rest = self._rest[sent:]
        if self._rest:
            self._loop.add_writer(self._target, self._write)
        elif self._loop.remove_writer(self._target):
            self._read_on()

    def resume(self) -> None:
        """Read on after `check` has forbidden it."""
        self._is_open = True
        self._read_on()

    def _read_on(self) -> None:
        if self._is_open and not self._rest:
            self._loop.add_reader(self._source, self._read)


class ClientRelay:
    """The bytes of one client, to ZeroMQ and back; `name` is that of the unix socket between."""

    def __init__(
        self,
        name: str,
        outer: socket.socket,
        inner: socket.socket,
        flow: FlowControl,
        on_end: Callable[[], None],
    ) -> None:
        self.name = name
        self.user = ""  # the public key, once it sent something
        self.topics: set[bytes] = set()  # what it subscribed to
        self._outer = outer
        self._inner = inner
        self._flow = flow
        self._on_end = on_end
        self._waits: asyncio.TimerHandle | None = None
        self._inward = _Direction(outer, inner, self._may_pass, self.close)
        self._outward = _Direction(inner, outer, lambda _data: True, self.close)

    def _may_pass(self, data: bytes) -> bool:
        loop = asyncio.get_running_loop()
        try:
            self._flow.feed(data, loop.time())
        except FloodError as error:
            self.refuse(str(error))
            return False
        if self._flow.is_full:
            self._flow.forgive_heartbeats(loop.time())
        if self._flow.is_full and self._waits is None:
            self._waits = loop.call_later(_PATIENCE, self.refuse, "a message without an end, or too many")
        return self._waits is None

    def took(self, sizes: Iterable[int]) -> None:
        """Frames of this client came out of ZeroMQ."""
        self._flow.took(sizes)
        if self._waits is not None and not self._flow.is_full:
            self._waits.cancel()
            self._waits = None
            self._inward.resume()

    def refuse(self, reason: str) -> None:
        """Cut the client off."""
        log.warning("control channel: a client is cut off: %s", reason)
        self.close()

    def close(self) -> None:
        loop = asyncio.get_running_loop()
        if self._waits is not None:
            self._waits.cancel()
        for end in (self._outer, self._inner):
            if end.fileno() >= 0:
                loop.remove_reader(end)
                loop.remove_writer(end)
                end.close()
        self._on_end()


class ClientAcceptor:
    """Brings the clients of `listener` to `zsocket`, from construction to close(). `on_left` is called with
    each that is gone. Event loop only."""

    def __init__(self, listener: socket.socket, zsocket: zmq.Socket[bytes], limits: RelayLimits) -> None:
        self._listener = listener
        self._zsocket = zsocket
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self.relays: dict[str, ClientRelay] = {}
        self.on_left: Callable[[ClientRelay], None] = lambda _client: None
        self._arriving: dict[str, Callable[[], None]] = {}  # how to give them up
        self._full = False  # that was told
        self._accepting: asyncio.TimerHandle | None = None
        self._ended: asyncio.Event | None = None
        zsocket.setsockopt(zmq.RECONNECT_IVL, -1)  # who is gone is gone
        zsocket.setsockopt(zmq.HANDSHAKE_IVL, int(_PATIENCE * 1000))  # nobody keeps a place by being silent
        listener.setblocking(False)
        self._listen()

    def _listen(self) -> None:
        self._accepting = None
        if self._listener.fileno() >= 0:
            self._loop.add_reader(self._listener, self._accept)

    def _pause(self, reason: str) -> None:
        """Let those who come wait in the kernel's queue for a while."""
        if not self._full:
            log.warning("control channel: no further client is let in for now: %s", reason)
        self._full = True
        self._loop.remove_reader(self._listener)
        self._accepting = self._loop.call_later(_PAUSE, self._listen)

    def _accept(self) -> None:
        if len(self.relays) + len(self._arriving) >= self._limits.clients:
            self._pause(f"there are {self._limits.clients}")
            return
        if (left := kernel.descriptors_left()) < _LEAST_DESCRIPTORS:
            self._pause(f"{left} descriptors are left")
            return
        try:
            outer, _ = self._listener.accept()
        except (BlockingIOError, ConnectionError):
            return
        except OSError as error:
            self._pause(str(error.strerror))
            return
        self._full = False
        self.admit(outer)

    def admit(self, outer: socket.socket) -> None:
        """Let in a client that was accepted."""
        outer.setblocking(False)
        try:
            if outer.family != socket.AF_UNIX:
                outer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                outer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _QUIET)
                outer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            self._bring(outer)
        except (OSError, zmq.ZMQError) as error:
            outer.close()
            self._pause(str(error.strerror))

    def _bring(self, outer: socket.socket) -> None:
        """Have ZeroMQ connect to us for one client."""
        name = f"bigtop/{os.getpid()}/{secrets.token_hex(16)}"
        address = f"ipc://@{name}"
        inner_listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)

        def end() -> None:
            late.cancel()
            self._loop.remove_reader(inner_listener)
            inner_listener.close()
            del self._arriving[name]

        def give_up() -> None:
            end()
            outer.close()
            with suppress(zmq.ZMQError):  # it has failed and been forgotten
                self._zsocket.disconnect(address)

        def come() -> None:
            try:
                inner, _ = inner_listener.accept()
            except OSError:
                return
            if _pid_of(inner) != os.getpid():  # somebody read the name in /proc/net/unix
                inner.close()
                return
            end()
            inner.setblocking(False)
            flow = FlowControl(self._limits.largest, self._limits.room)
            self.relays[name] = ClientRelay(name, outer, inner, flow, lambda: self._left(name))

        try:
            inner_listener.bind(f"\0{name}")
            inner_listener.listen()
            if self._zsocket.getsockopt(zmq.TYPE) == zmq.ROUTER:
                self._zsocket.setsockopt(zmq.CONNECT_ROUTING_ID, name.encode())
            self._zsocket.connect(address)
        except BaseException:  # whatever it was: raised again
            inner_listener.close()
            raise
        late = self._loop.call_later(_PATIENCE, give_up)
        self._loop.add_reader(inner_listener, come)
        self._arriving[name] = give_up

    def _left(self, name: str) -> None:
        if (client := self.relays.pop(name, None)) is not None:
            self.on_left(client)
        if self._accepting is not None:
            self._accepting.cancel()
            self._listen()
        if self._ended is not None and not self.relays:
            self._ended.set()

    def of(self, frame: zmq.Frame) -> ClientRelay | None:
        """Return by which way a frame came that does not say so: by the socket that it was read from."""
        try:
            zend = socket.socket(fileno=int(frame.get("__fd")))
        except (OSError, zmq.ZMQError, ValueError, TypeError):  # that client is gone
            return None
        try:
            return self.relays.get(str(os.fsdecode(zend.getpeername())[1:]))
        except OSError:  # since just now
            return None
        finally:
            zend.detach()  # it is ZeroMQ's; a copy would need a descriptor, and there may be none

    def shut(self) -> None:
        """Let nobody in any more."""
        if self._accepting is not None:
            self._accepting.cancel()
            self._accepting = None
        if self._listener.fileno() >= 0:
            self._loop.remove_reader(self._listener)
            self._listener.close()
        for give_up in list(self._arriving.values()):
            give_up()

    async def close(self) -> None:
        """Pass on what ZeroMQ, whose sockets are closed, has left behind, and end."""
        self.shut()
        if self.relays:
            self._ended = asyncio.Event()
            with suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._ended.wait()
        for relay in list(self.relays.values()):
            relay.close()


def _pid_of(end: socket.socket) -> int:
    size = struct.calcsize("iII")
    pid, _, _ = struct.unpack("iII", end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return int(pid)
