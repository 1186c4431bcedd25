# Undecided requests: whether another server or the application answers takes long to find out (Postponed, as
# where a password is tried). Neither of them has the request meanwhile, nor does anything read its body.
#
# Rule 1: leader only. Each question has a thread of its own; answers are told by the event loop.
# Rule 2: no slot of the application is taken. Others, that nobody else may answer, are found out in one.

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from bigtop.backends.native.handlers.postponed import decided
from bigtop.backends.native.timeouts import Wait
from bigtop.backends.wsgi.call import Call
from bigtop.backends.wsgi.connections.connection import (
    ANSWERING,
    NO_BODY,
    PASSED_ON,
    QUEUED,
    READING,
    Connection,
)
from bigtop.backends.wsgi.connections.connections import Connections
from bigtop.backends.wsgi.request_flow import RequestFlow
from bigtop.http.handlers import Postponed, Reply
from bigtop.http.messages import Request

EPOLLIN: Final[int] = select.EPOLLIN

# Goes on with a request, and what was found: the answer, None for the application's.
GoOn = Callable[[Connection, Request, Reply | None, int], None]


class UndecidedRequests:
    """All of a worker; `fd` is readable when there are answers, -1 as long as nobody has asked."""

    def __init__(self, epoll: select.epoll, connections: Connections, go_on: GoOn) -> None:
        self._epoll = epoll
        self.connections = connections
        self.go_on = go_on
        self._found: deque[tuple[UndecidedRequest, Reply | None]] = deque()
        self.fd = -1

    def ask(self, connection: Connection, request: Request, reply: Postponed) -> None:
        """Find out, and go on then."""
        if self.fd < 0:
            self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            self._epoll.register(self.fd, EPOLLIN)
        self.connections.timeouts.stop(connection)
        self.connections.watch(connection, 0)
        connection.hide()
        connection.stage = PASSED_ON
        one = connection.passed_on = UndecidedRequest(self, connection, request)
        threading.Thread(target=self._find, args=(one, reply), name="postponed", daemon=True).start()

    def hear(self, now: int) -> None:
        """Go on with those of which something was found."""
        os.eventfd_read(self.fd)
        while self._found:
            one, reply = self._found.popleft()
            one.decided(reply, now)

    def _find(self, one: UndecidedRequest, reply: Postponed) -> None:
        self._found.append((one, decided(reply.decide)))
        os.eventfd_write(self.fd, 1)


class UndecidedRequest:
    """One, and its connection."""

    def __init__(self, requests: UndecidedRequests, connection: Connection, request: Request) -> None:
        self._requests = requests
        self._connection = connection
        self._request = request
        self._is_over = False

    def decided(self, reply: Reply | None, now: int) -> None:
        if not self._is_over:
            self._is_over = True
            self._connection.passed_on = None
            self._connection.stage = READING
            self._requests.go_on(self._connection, self._request, reply, now)

    def on_event(self, now: int) -> None:
        """Of a connection that is not watched."""

    def late(self, wait: Wait, now: int) -> None:
        """Of a connection that has no clock."""

    def give_up(self, now: int) -> None:
        self._is_over = True
        self._connection.passed_on = None
        self._requests.connections.close(self._connection)


def take_up(
    flow: RequestFlow, connection: Connection, request: Request, reply: Reply | None, now: int
) -> None:
    """Answer with what was found, or have the application do it."""
    if reply is None and request is connection.asked:
        connection.stage = QUEUED  # its body is next
        flow.ready.append(connection.stream)
        return
    if reply is not None:
        connection.decline_rest(request)
    flow.limit(connection, request)
    connection.stage = ANSWERING
    connection.call = call = Call(connection.context, connection.stream, request, NO_BODY(), now)
    if reply is not None:
        flow.run(call, reply)
    else:
        flow.ready.append(connection.stream)
