# Delegation: requests on streams of HTTP/2 that wait here are run by other workers of the application, and
# such requests of theirs are run here.
#
# A connection of HTTP/2 cannot move, as one of HTTP/1.1 can: its keys, tables and windows are in the memory
# of its worker. So the request goes, and the answer comes back, over a pair of sockets. One end travels
# through the queues between workers (ipc/handoff.py), with the request in it.
#
# Rule 1: leader only. Rule 2: a request leaves where it would wait: no application slot is free here (into
# the common queue, for whoever is idle first); or a call goes on, calls usually last, and a sibling is idle
# (to that one). In the queue are no more at a time than there are siblings: they have more to do as well.
# Rule 3: what comes back without having been begun is run here. What was begun is never begun again.

from __future__ import annotations

import _socket
import os
import select
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Final, NamedTuple, Protocol

from bigtop.backends.native.app_queues import READ
from bigtop.backends.native.transport.bare_socket import AnySocket, BareSocket
from bigtop.backends.wsgi.call import Call
from bigtop.backends.wsgi.connections.connection import Connection
from bigtop.backends.wsgi.connections.connections import Connections
from bigtop.backends.wsgi.connections.multiplexing import Delegating
from bigtop.backends.wsgi.executors.executor import Executor
from bigtop.backends.wsgi.http2.arrivals import Arrivals
from bigtop.backends.wsgi.http2.client_link import Http2Link
from bigtop.backends.wsgi.http2.connection import MultiplexedConnection, Progress
from bigtop.backends.wsgi.http2.delegation.delegated_stream import DelegatedStream
from bigtop.backends.wsgi.http2.delegation.sibling_link import SiblingLink
from bigtop.backends.wsgi.http2.stream import Http2Stream
from bigtop.backends.wsgi.stream import Stream
from bigtop.errors import ProtocolError
from bigtop.http.clients.peer import host_and_port
from bigtop.http.delegation.request_message import (
    MOST_BODY,
    DelegatedRequest,
    is_whole,
    message_of,
    request_of,
)
from bigtop.http.h2.error_codes import INTERNAL_ERROR
from bigtop.ipc.handoff import Handoff, RequestPair
from bigtop.log import logger as get_logger

log = get_logger("bigtop.wsgi")

EPOLLIN: Final[int] = select.EPOLLIN  # see clock.py


class StreamOwner(Protocol):
    """The flow of the streams here (flow.py)."""

    def go_on(self, connection: MultiplexedConnection, now: int) -> None:
        """Send what can be sent, and wait for what comes next."""

    def next_turn(self, progress: Progress) -> None:
        """A stream has left the line of those that are ready."""

    def forget(self, stream: Http2Stream) -> None:
        """The answer is complete, or never will be."""


class Epoll(Protocol):
    """An epoll set. (Compiled code looks up the types of a tuple, and gevent takes that one away.)"""

    def register(self, fd: int, eventmask: int, /) -> None: ...

    def unregister(self, fd: int, /) -> None: ...


class DelegationQueues(NamedTuple):
    """`handoff` leads to other workers, None: there are none. `lent` makes a connection of what came from
    one of them."""

    handoff: Handoff | None
    epoll: Epoll
    lent: Callable[[AnySocket, DelegatedRequest], Connection]


class StreamCalls(NamedTuple):
    """Calls of streams that are run here; `ready` are those that wait."""

    ready: deque[Stream]
    executor: Executor
    connections: Connections
    arrivals: Arrivals


class Delegation(Delegating):
    """That of one worker."""

    def __init__(self, queues: DelegationQueues, calls: StreamCalls, owner: StreamOwner) -> None:
        self._handoff, self._epoll, self._lent = queues
        self._ready, self._executor, self._connections, self._arrivals = calls
        self._owner = owner
        self._table: dict[int, DelegatedStream] = {}  # by descriptor
        self._sent: dict[int, DelegatedStream] = {}  # not begun: by the inode of the other end

    # ---- leaving

    def relieve(self) -> None:
        handoff, executor, ready = self._handoff, self._executor, self._ready
        if not executor.detached or not ready or handoff is None:
            return
        is_full = not executor.has_slot
        if not is_full and not (executor.holds_up and executor.bell.is_seldom):
            return
        room = handoff.company() - len(self._sent)
        if room <= 0:
            return
        for stream in list(islice(filter(_may_leave, ready), room)):
            assert isinstance(stream, Http2Stream), "see _may_leave()"
            seat = None if is_full else handoff.idle()
            if not is_full and seat is None:
                return
            if self._delegate(handoff, stream, seat):
                ready.remove(stream)
                self._owner.next_turn(_of(stream).progress)

    def _delegate(self, handoff: Handoff, stream: Http2Stream, seat: int | None) -> bool:
        call, link = stream.call, stream.link
        assert call is not None, "see _may_leave()"
        assert isinstance(link, Http2Link), "its client is here"
        delegates = _of(stream).progress.delegates
        message = message_of(_described(stream, call))
        if not message:
            delegates[stream.number] = None
            return False
        try:
            ours, theirs = _socket.socketpair()
        except OSError:  # no descriptor is left
            return False
        try:
            ours.setblocking(False)
            if ours.send(message) != len(message):  # sockets hold less than usual
                delegates[stream.number] = None
                ours.close()
                return False
            if not handoff.delegate(seat, theirs):
                ours.close()
                return False
            inode = os.fstat(theirs.fileno()).st_ino
        except OSError:
            ours.close()
            return False
        finally:
            theirs.close()
        delegates[stream.number] = delegated = DelegatedStream(stream, link, ours, inode, self)
        self._table[delegated.fd] = self._sent[inode] = delegated
        self._epoll.register(delegated.fd, EPOLLIN)
        return True

    # ---- coming back

    def on_pair(self, fd: int, now: int) -> bool:
        delegated = self._table.get(fd)
        if delegated is None:
            return False
        is_good = delegated.receive()
        if delegated.has_begun:
            self._sent.pop(delegated.inode, None)
        stream = delegated.stream
        connection = _of(stream)
        if delegated.is_over:
            self.close(delegated)
            self._owner.forget(stream)
        elif not is_good:
            self._lose(delegated)
        elif delegated.is_ahead():
            connection.progress.paused[stream.number] = delegated
            delegated.pause()
        self._owner.go_on(connection, now)
        return True

    def _lose(self, delegated: DelegatedStream) -> None:
        """Nothing more comes, and the answer is not complete."""
        stream = delegated.stream
        self.close(delegated)
        if not delegated.has_begun:
            self._run_here(stream)
        elif not delegated.has_answer:
            log.error("a worker has ended without an answer to a request that it ran for this one")
            stream.ended = True
            self._arrivals.refuse(
                stream, ProtocolError(502, "The application failed to answer this request.")
            )
        else:
            log.error("a worker has ended in the middle of an answer to a request that it ran for this one")
            stream.ended = True
            stream.link.flush()  # what came may still go out
            stream.link.reset(stream.number, INTERNAL_ERROR)
            self._owner.forget(stream)

    def _run_here(self, stream: Http2Stream) -> None:
        """Run a call that no other worker has begun."""
        progress = _of(stream).progress
        progress.delegates[stream.number] = None
        progress.ready += 1
        self._ready.appendleft(stream)

    def pause(self, delegated: DelegatedStream) -> None:
        self._epoll.unregister(delegated.fd)

    def go_on(self, delegated: DelegatedStream) -> None:
        self._epoll.register(delegated.fd, EPOLLIN)

    def close(self, delegated: DelegatedStream) -> None:
        if self._table.pop(delegated.fd, None) is None:
            return
        self._sent.pop(delegated.inode, None)
        if not delegated.is_paused:
            self._epoll.unregister(delegated.fd)
        delegated.sock.close()

    # ---- requests of others

    def adopt(self, pair: RequestPair, now: int) -> None:
        """Run the call of a request that came through the queues. One of our own that nobody took is run as
        if it had never left."""
        delegated = self._sent.get(os.fstat(pair.fileno()).st_ino)
        if delegated is not None:
            pair.close()
            self.close(delegated)
            self._run_here(delegated.stream)
            return
        sock = BareSocket(fileno=pair.detach())
        try:
            delegated_request = request_of(_read(sock), now)
            is_wanted = _is_open(sock)
        except (OSError, ValueError) as error:
            assert self._handoff is not None, "it came through that"
            self._handoff.complain(error)
            is_wanted = False
        if not is_wanted:
            sock.close()
            return
        before = self._lent(sock, delegated_request)
        connection = MultiplexedConnection(before, SiblingLink(before.transport))
        connection.progress.lent_at = delegated_request.readable or now
        connection.progress.is_draining = True  # it ends behind that request
        self._connections.lend(connection)
        self._arrivals.adopt(connection, delegated_request.request, delegated_request.body, now)
        self._owner.go_on(connection, now)


def _may_leave(stream: Stream) -> bool:
    """Whether another worker can run the call of a stream that waits: the request is all here, fits into a
    message, and nothing that hangs on it is this worker's own."""
    if not isinstance(stream, Http2Stream) or stream.incoming is not None or stream.is_lost:
        return False
    progress = _of(stream).progress
    if progress.lent_at or stream.number in progress.delegates:
        return False
    call, request = stream.call, stream.request
    if call is None or call.called or request.decide is not None or request.fill is not None:
        return False
    return request.upgrade is None and (request.content_length or 0) <= MOST_BODY


def _described(stream: Http2Stream, call: Call) -> DelegatedRequest:
    peer = stream.peer
    return DelegatedRequest(
        stream.request,
        call.whole_body(),
        host_and_port(peer.server),
        (peer.address, peer.port),
        peer.scheme,
        peer.session,
        call.readable,
    )


def _read(sock: AnySocket) -> bytes:
    """Return a message, which was there before its socket; OSError or ValueError if it was not."""
    data = sock.recv(READ)
    while not is_whole(data):
        more = sock.recv(READ)
        if not more:
            raise ValueError("a request is not whole")
        data += more
    return data


def _is_open(sock: AnySocket) -> bool:
    """Whether somebody waits for the answer."""
    try:
        return bool(sock.recv(1))
    except BlockingIOError:
        return True


def begin(connection: MultiplexedConnection) -> None:
    """The call of a request that another worker has is run next."""
    link = connection.link
    assert isinstance(link, SiblingLink), "it is lent"
    link.begin()


def resume(progress: Progress) -> None:
    """The client has taken something, perhaps."""
    for number, delegate in list(progress.paused.items()):
        if delegate.resume():
            progress.paused.pop(number)


def abandon(progress: Progress, stream: Http2Stream) -> bool:
    """Nobody waits for an answer any more; return whether another worker has begun the call, and tells."""
    delegate = progress.delegates.get(stream.number)
    if delegate is None:
        return False
    delegate.abandon()
    if delegate.has_begun:
        stream.is_reset = True
        return True
    return False


def _of(stream: Http2Stream) -> MultiplexedConnection:
    connection = stream.connection
    assert isinstance(connection, MultiplexedConnection)
    return connection
