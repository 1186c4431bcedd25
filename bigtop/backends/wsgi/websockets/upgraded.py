# Upgraded requests under WSGI: WebSockets whose application speaks to the client by itself.
#
# It does so through the socket that it finds in its environ by the names which gunicorn and Werkzeug gave it
# (flask-sock, Flask-SocketIO).
#
# Rule 1: while such a call runs the loop leaves the connection alone, as with every call. When it is over the
# connection ends.
# Rule 2: a worker that drains says so to the client, 1012, "service restart", and shows the application the
# client's end. A WebSocket has no end of its own that one could wait for. It does so to one after the other:
# clients connect again at once.
# Rule 3: whatever of an HTTP answer the application gives after it has spoken is not sent.
# Rule 4: a client that is not there any more, or takes too little, is an error to whoever sends, and the
# client's end to whoever reads (conversation.py).

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, NamedTuple

from bigtop.backends.native.farewells import Farewells
from bigtop.backends.native.timeouts import LINGER, Wait
from bigtop.backends.native.transport.transport import Transport
from bigtop.backends.native.transport.write_buffer import Pause
from bigtop.backends.wsgi.call import Call
from bigtop.backends.wsgi.websockets.conversation import Conversation
from bigtop.backends.wsgi.websockets.relay import Relay, Task
from bigtop.errors import ProtocolError
from bigtop.http.limits import Limits

SOCKETS: Final = ("gunicorn.socket", "werkzeug.socket")  # where applications look for it
ENDED: Final[int] = getattr(select, "POLLRDHUP", 0)  # Linux, FreeBSD


class Spoken:
    """Mixed into a socket's class: all that is sent goes through a conversation, which copies share."""

    conversation: Conversation

    @property
    def spoken(self) -> bool:
        """Whether something was sent."""
        return self.conversation.spoken

    def explains(self, error: BaseException) -> bool:
        """Whether `error` is how the application was told that its client has left."""
        return self.conversation.explains(error)

    def send(self, data: Any, flags: int = 0) -> int:
        """Send all of it, unless it may not wait for so long: libraries count on that."""
        timeout = 0.0 if flags & socket.MSG_DONTWAIT else self.gettimeout()  # type: ignore[attr-defined]
        return self.conversation.send(memoryview(data).cast("B"), timeout, self._check)

    def sendall(self, data: Any, flags: int = 0) -> None:
        if self.send(data, flags) < memoryview(data).nbytes:
            raise TimeoutError("timed out")

    def sendmsg(self, buffers: Any, ancillary: Any = (), flags: int = 0, address: Any = None) -> int:
        """Send all of it, without what goes beside the bytes: clients cannot receive that."""
        return self.send(b"".join(buffers), flags)

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        sent: int = self._sendfile_use_send(file, offset, count)  # type: ignore[attr-defined]
        return sent

    def recv(self, *args: Any) -> bytes:
        with self.conversation:
            data: bytes = super().recv(*args)  # type: ignore[misc]
        self.conversation.has_ended |= not data
        return data

    def recv_into(self, *args: Any) -> int:
        with self.conversation:
            count: int = super().recv_into(*args)  # type: ignore[misc]
        self.conversation.has_ended |= not count
        return count

    def dup(self) -> Any:
        copy: Any = super().dup()  # type: ignore[misc]
        copy.conversation = self.conversation
        return copy

    def _check(self) -> None:
        if self.fileno() < 0:  # type: ignore[attr-defined]
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))


class SpokenSocket(Spoken, socket.socket):
    """One for threads: it blocks."""


class Means(NamedTuple):
    """How calls wait: `kind` is the class of their sockets, `lock` makes locks, `patient` is as in
    write_buffer.py, `start` runs something beside a call."""

    kind: Any
    lock: Callable[[], Any]
    patient: Callable[[float], Pause]
    start: Callable[[Callable[[], None]], Task]


class Upgrades:
    """The WebSockets of an executor."""

    def __init__(self, means: Means, limits: Limits) -> None:
        self._means = means
        self._pace = Wait(limits.send_timeout, limits.send_rate)
        self._open: set[Conversation] = set()
        self._parting = False
        self._farewells: Farewells[Conversation] = Farewells()

    @staticmethod
    def wants(call: Call) -> bool:
        """Whether `call` begins as one of them."""
        return bool(call.request.upgrade) and call.unclosed is None

    def run(self, call: Call) -> None:
        """Run `call` with its socket in the environ."""
        call.request.keep_alive = False
        if self._parting:
            call.fail(ProtocolError(503, "this worker takes no WebSockets any more"))
            return
        # The application may close it whenever it likes; who is connected is our affair.
        transport, means = call.stream.transport, self._means
        client: Transport | Relay = transport
        if not transport.is_plain:
            client = Relay(transport, means.lock(), means.patient(0), means.start)
        taken: Any = means.kind(fileno=client.lend())
        taken.setblocking(True)  # the loop's as well, for threads: it is the same open file
        conversation = Conversation(call, client, means.lock(), means.patient, self._pace)
        taken.conversation = conversation
        call.environ = dict.fromkeys(SOCKETS, taken)
        self._open.add(conversation)
        try:
            call.run()
        finally:
            self._open.remove(conversation)
            if call.exchange.framing is None and conversation.lost is None:
                self._end(client)  # the application spoke to the client by itself
            conversation.forget()
            taken.close()
            client.take_back()

    def _end(self, client: Transport | Relay) -> None:
        with suppress(OSError):  # it may be gone
            client.shutdown(socket.SHUT_WR)
            if self._means.kind is SpokenSocket:
                # A thread of the application's library may be reading still. It ends with the client's side.
                poll = select.poll()
                poll.register(client.fileno(), ENDED)
                poll.poll(LINGER * 1000)
                client.shutdown(socket.SHUT_RD)

    @property
    def due(self) -> int:
        """When the next one is to be asked to come to an end."""
        return self._farewells.due

    def part(self, now: int, grace: float | None) -> None:
        """Ask all to come to an end, one after the other within `grace` seconds; None: go on. Leader only."""
        if grace is not None and self._parting:
            self._farewells.hurry(now, grace)
        elif grace is not None:
            self._parting = True
            self._farewells.begin(list(self._open), now, grace)
        for conversation in self._farewells.take(now):
            if conversation in self._open:
                conversation.part()
