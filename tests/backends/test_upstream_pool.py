# Connections to other servers (--proxy) without a worker: the test is the event loop and the client, so that
# it chooses the time.

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from bigtop.backends.native.timeouts import SECOND
from bigtop.backends.native.upstream.clocks import IDLE
from bigtop.backends.native.upstream.upstream_request import UpstreamRequest
from bigtop.backends.native.upstream.upstreams import Upstreams
from bigtop.backends.serve_options import ProxyOptions
from bigtop.errors import ProtocolError
from bigtop.http.clients.forwarded import Forwarding, Trust
from bigtop.http.clients.peer import BasePeer
from bigtop.http.declarations import ProxyRoute
from bigtop.http.head import parse
from bigtop.http.messages import END
from bigtop.http.upstream.response_reader import ResponseEvent, ResponseHead
from bigtop.system.clock import monotonic_ns
from tests.support.played_server import PATIENCE, PlayedServer

PEER = BasePeer(("192.0.2.9", 5), Forwarding(Trust([]), ("for", "proto")), "http")


class Loop:
    """An event loop for one set of upstreams."""

    def __init__(self, *routes: ProxyRoute, connections: int = 1) -> None:
        self._epoll = select.epoll()
        self.watched: set[int] = set()
        self.upstreams = Upstreams(ProxyOptions(routes, connections=connections), self)
        self.route = routes[0]

    def watch(self, fd: int, interest: int, before: int) -> None:
        if not before:
            self._epoll.register(fd, interest)
            self.watched.add(fd)
        elif interest:
            self._epoll.modify(fd, interest)
        else:
            self._epoll.unregister(fd)
            self.watched.remove(fd)

    def wake(self, at: int) -> None:
        pass  # the test says when

    def until(self, is_reached: Callable[[], object]) -> None:
        last = time.monotonic() + PATIENCE
        while not is_reached():
            left = last - time.monotonic()
            assert left > 0, "it never came to that"
            for fd, _ in self._epoll.poll(left):
                self.upstreams.on_event(fd, monotonic_ns())

    def ask(self, method: str = "GET", length: int = 0) -> PlayedClient:
        line = f"{method} /a HTTP/1.1".encode()
        request = parse([line, b"Host: test", *([b"Content-Length: %d" % length] if length else [])])
        client = PlayedClient()
        client.request = self.upstreams.request(request, PEER, self.route, client, b"id")
        client.request.start(monotonic_ns())
        return client


class PlayedClient:
    """Who asks. `leaves_when_asked`: its body turns out to be broken when more of it is wanted."""

    request: UpstreamRequest

    def __init__(self) -> None:
        self.events: list[ResponseEvent] = []
        self.ends: list[object] = []
        self.leaves_when_asked = False
        self.opened = False  # its request has a connection

    @property
    def is_answered(self) -> bool:
        return bool(self.events) and self.events[-1] is END

    def take(self, events: list[ResponseEvent]) -> None:
        self.events += events

    def fail(self, error: ProtocolError) -> None:
        self.ends.append(error.status)

    def break_off(self) -> None:
        self.ends.append("broken off")

    def switch(self, head: ResponseHead) -> None:
        self.ends.append("switched")

    def raw(self, data: bytes) -> None:
        self.ends.append(data)

    def raw_end(self) -> None:
        self.ends.append("over")

    def is_full(self) -> bool:
        return False

    def wants_body(self) -> None:
        self.opened = True
        if self.leaves_when_asked:
            self.request.abandon(monotonic_ns())


@pytest.fixture
def other() -> Iterator[PlayedServer]:
    with PlayedServer() as played:
        yield played


def test_a_connection_that_made_room_for_another_has_no_clock(other: PlayedServer) -> None:
    loop = Loop(ProxyRoute("/a", "127.0.0.1", other.port, "", ""))
    first = loop.ask()
    with other.accept() as asked:
        asked.answer()
        loop.until(lambda: first.is_answered)
        second = loop.ask("POST")  # which wants a new connection, and there may be but one
        with other.accept() as again:
            asked.head()
            assert asked.at_end()
            again.answer()
            loop.until(lambda: second.is_answered)
            loop.upstreams.expire(monotonic_ns() + int((IDLE + 1) * SECOND))
            third = loop.ask()
            with other.accept() as last:
                last.answer()
                loop.until(lambda: third.is_answered)
    loop.until(lambda: not loop.watched)  # ended by the other side, they are closed


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_the_next_address_gets_all_of_a_body(
    other: PlayedServer, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = Loop(ProxyRoute("/a", "some.name", 80, "", ""))
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and nobody listens there
        places = [("127.0.0.1", closed.getsockname()[1]), ("127.0.0.1", other.port)]
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", place) for place in places]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        client = loop.ask(method, 8)
        loop.until(lambda: len(loop.watched) == 2)  # the resolver, and the connection to the first address
        client.request.body(b"0123", monotonic_ns())
        loop.until(lambda: client.opened)
    with other.accept() as asked:
        client.request.body(b"4567", monotonic_ns())
        client.request.end_body(monotonic_ns())
        asked.head()
        assert asked.exactly(8) == b"01234567"
        asked.answer()
        loop.until(lambda: client.is_answered)
    loop.until(lambda: len(loop.watched) == 1)
    assert not client.ends


def test_who_leaves_when_more_is_wanted_is_answered_nothing(other: PlayedServer) -> None:
    loop = Loop(ProxyRoute("/a", "127.0.0.1", other.port, "", ""))
    client = loop.ask("POST", 1 << 30)
    with other.accept() as asked:
        loop.until(lambda: client.opened)
        while client.request.wants_more:
            client.request.body(bytes(65536), monotonic_ns())
        client.leaves_when_asked = True
        reader = threading.Thread(target=asked.at_last)
        reader.start()
        loop.until(lambda: client.request.is_over)
        reader.join(PATIENCE)
    assert (client.ends, client.events) == ([], [])
