# The native WSGI backend: puts its parts together.
#
# A request: loop (who can go on) -> service (how) -> connection (bytes in) -> call (application, bytes out).
# Beside them: crew (who runs calls: threads or greenlets), gate (accepting), clients (epoll, closing), body,
# outbox (slow readers), deadlines, ledger (scoreboard, access log).

from __future__ import annotations

import os
import select
import socket
import sys
import time
from collections.abc import Callable, Collection, Sequence
from typing import ClassVar, Final

from bigtop.backends.base import OURS, App, Features, Life, ServeOptions
from bigtop.backends.deadlines import Deadlines, Wait
from bigtop.backends.files import StaticFiles
from bigtop.backends.gate import Gate, Newcomer, room
from bigtop.backends.outbox import Pause, patient
from bigtop.backends.transfer import Said
from bigtop.backends.wsgi.call import Call
from bigtop.backends.wsgi.clients import Clients
from bigtop.backends.wsgi.connection import Connection, ProxiedConnection
from bigtop.backends.wsgi.crew import Crew
from bigtop.backends.wsgi.entrance import Entrance
from bigtop.backends.wsgi.ledger import Ledger
from bigtop.backends.wsgi.loop import Loop
from bigtop.backends.wsgi.relay import Relay
from bigtop.backends.wsgi.service import Service
from bigtop.backends.wsgi.site import Site
from bigtop.backends.wsgi.stream import Streaming
from bigtop.backends.wsgi.threads import Threads
from bigtop.backends.wsgi.visitors import Visitors
from bigtop.http.accesslog import Access, compile_format, compile_json
from bigtop.http.engine import Engine
from bigtop.http.forwarded import Forwarding, Origin, Trust
from bigtop.http.proxyprotocol import Address, ProxiedEngine
from bigtop.http.routes import RoutedEngine, Routes
from bigtop.http.wsgi import Address as AnyAddress
from bigtop.http.wsgi import Environ, Peer, worker_environ

EPOLL: Final = select.epoll  # kept here: gevent takes it out of its module

# Whatever runs the calls.
HEEDS: Final = OURS | {
    "limits.header_rate",
    "limits.body_rate",
    "limits.send_rate",
    "limits.send_file",
    "stream_bodies",
    "address_connections",
    "address_rate",
    "temp_dir",
}


class WsgiBackend:
    """Serves a WSGI application with one event loop and `options.threads` calls at once."""

    name: ClassVar[str] = "wsgi"
    features: ClassVar[Features] = Features(
        interface="wsgi",
        threads=True,
        static=True,
        sendfile=True,
        balancers=True,
        routes=True,
        heeds=HEEDS | {"main_thread", "switch_interval"},
    )

    def __init__(self, options: ServeOptions) -> None:
        self._options = options

    def prepare(self) -> None:
        """Nothing has to be done before the application is imported."""

    def serve(self, listeners: Sequence[socket.socket], app: App, life: Life) -> None:
        """Answer requests until the drain is over; main thread only. Threads left over are inside calls."""
        options = self._options
        sys.setswitchinterval(options.switch_interval)
        crew = Threads(options.threads, life.slot.buckets, relief=not options.main_thread)
        wait = patient(options.limits.send_timeout) if options.main_thread else None
        await_input = patient(options.limits.body_timeout, select.POLLIN)
        site = Site(app, options, life.slot, crew, wait, streaming(options, await_input))
        environ = worker_environ(sys.stderr, multithread=options.threads > 1, multiprocess=True, hints=True)
        serve(listeners, life, options, crew, Welcome(options, site, environ, routes(life)))


def serve(
    listeners: Sequence[socket.socket], life: Life, options: ServeOptions, crew: Crew, welcome: Welcome
) -> None:
    """Answer requests with `crew` until the drain is over."""
    epoll = EPOLL()
    gate = Gate(listeners, epoll, room(options.worker_connections))
    ledger = Ledger(life, _describer(options))
    visitors = Visitors(options.address_connections, options.address_rate)
    clients = Clients(epoll, Deadlines(options.limits), ledger, visitors)
    relay = Relay(life, clients, epoll, time.monotonic_ns())
    files = StaticFiles(options.static) if options.static else None
    service = Service(clients, crew, ledger, relay, visitors, files)
    entrance = Entrance(gate, relay, welcome, clients, service, crew, life)
    loop = Loop(epoll, entrance, clients, service, crew, life)
    entrance.regulate()
    life.ready()
    crew.work(loop.lead)


def streaming(options: ServeOptions, await_input: Pause) -> Streaming | None:
    """Return which bodies are wanted as they come; `await_input` waits for them."""
    if not options.stream_bodies:
        return None
    pace = Wait(options.limits.body_timeout, options.limits.body_rate)
    return Streaming(options.stream_bodies, await_input, pace)


def routes(life: Life) -> Routes | None:
    return None if life.transfer is None else life.transfer.routes


class Welcome:
    """Makes connections of newcomers. `upgrades` are protocols that the application may go over to; `routes`
    tell whose a request is."""

    def __init__(
        self,
        options: ServeOptions,
        site: Site,
        environ: Environ,
        routes: Routes | None,
        upgrades: Collection[bytes] = (),
    ) -> None:
        self._site = site
        self._routes = routes
        self._upgrades = upgrades
        self._environ = environ
        self._limits = options.limits
        self._forwarding = Forwarding(Trust(options.forwarded_allow_ips), options.forwarded_headers)
        self._balancers = Trust(options.proxy_allow_ips) if options.proxy_protocol != "off" else None
        self._version = options.proxy_protocol

    def __call__(self, newcomer: Newcomer) -> Connection:
        peer = self._peer(newcomer.server, newcomer.client)
        said = newcomer.said
        if said is None and (self._balancers is None or peer.address not in self._balancers):
            return Connection(newcomer.socket, peer, self._engine(), self._site)

        def learn(source: Address, destination: Address) -> None:
            connection.learn(self._peer(destination, source), Said(source, destination))

        engine = self._engine()
        if said is None:
            engine = ProxiedEngine(self._limits, self._version, learn, self._routes)
        connection = ProxiedConnection(newcomer.socket, peer, engine, self._site)
        if said is not None and said.source is not None and said.destination is not None:
            learn(said.source, said.destination)
        return connection

    def _engine(self) -> Engine:
        if self._routes is None:
            return Engine(self._limits, self._upgrades)
        return RoutedEngine(self._limits, self._upgrades, self._routes)

    def _peer(self, server: AnyAddress, client: AnyAddress) -> Peer:
        return Peer(self._environ, server, client, self._forwarding, "http")


def _describer(options: ServeOptions) -> Callable[[Call, int], str] | None:
    """Return what writes the access line of a call that ended at a monotonic time; None: no access log."""
    if options.access_json:
        line = compile_json()
    elif options.access_format:
        line = compile_format(options.access_format)
    else:
        return None

    def describe(call: Call, ended: int) -> str:
        exchange = call.exchange
        return line(
            Access(
                request=call.request,
                status=exchange.status,
                headers=exchange.headers,
                sent=exchange.framing.sent if exchange.framing is not None else 0,
                address=_client(call),
                received=call.readable,
                called=call.called,
                ended=ended,
                when=time.time(),
                pid=os.getpid(),
                environ=call.environ,
            )
        )

    return describe


def _client(call: Call) -> str:
    """Return the address of the client behind the proxies."""
    if call.environ is not None:
        return str(call.environ.get("REMOTE_ADDR", ""))
    peer = call.connection.peer
    if not peer.claims:
        return peer.address
    return peer.forwarding.origin(call.request.headers, Origin(peer.address, "", "")).address
