# The native WSGI backend: puts its parts together.
#
# A request: loop (who can go on) -> service (how) -> connection (bytes in) -> call (application, bytes out).
# Beside them: crew (which thread leads), gate (accepting), clients (epoll, closing), body, outbox (slow
# readers), deadlines, ledger (scoreboard, access log).

from __future__ import annotations

import os
import select
import socket
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar

from bigtop.backends.base import App, Features, Life, ServeOptions
from bigtop.backends.wsgi.call import Call
from bigtop.backends.wsgi.clients import Clients
from bigtop.backends.wsgi.connection import Connection
from bigtop.backends.wsgi.crew import Crew
from bigtop.backends.wsgi.deadlines import Deadlines
from bigtop.backends.wsgi.gate import Gate, Newcomer
from bigtop.backends.wsgi.ledger import Ledger
from bigtop.backends.wsgi.loop import Loop
from bigtop.backends.wsgi.service import Service
from bigtop.backends.wsgi.site import Site
from bigtop.http.accesslog import Access, compile_format, compile_json
from bigtop.http.engine import Engine
from bigtop.http.limits import Limits
from bigtop.http.wsgi import Environ, Peer, Trust, worker_environ


class WsgiBackend:
    """Serves a WSGI application with one event loop and `options.threads` calls at once."""

    name: ClassVar[str] = "wsgi"
    features: ClassVar[Features] = Features(interface="wsgi", threads=True)

    def __init__(self, options: ServeOptions) -> None:
        self._options = options
        self._describe = _describer(options)

    def prepare(self) -> None:
        """Nothing has to be done before the application is imported."""

    def serve(self, listeners: Sequence[socket.socket], app: App, life: Life) -> None:
        """Answer requests until the drain is over; main thread only. Threads left over are inside calls."""
        options, limits = self._options, self._options.limits
        crew = Crew(options.threads)
        site = Site(app, options, life.slot, crew.block)
        environ = worker_environ(sys.stderr, multithread=options.threads > 1, multiprocess=True)
        trust = Trust(options.forwarded_allow_ips)
        welcome = partial(_welcome, site, limits, environ, trust)
        epoll = select.epoll()
        gate = Gate(listeners, epoll)
        ledger = Ledger(life, self._describe)
        clients = Clients(epoll, Deadlines(limits), ledger)
        service = Service(clients, crew, life, ledger, keeps=limits.keep_alive > 0)
        loop = Loop(gate, welcome, clients, service, crew, life, ledger)
        gate.set(True)
        life.ready()
        crew.work(loop.lead)


def _welcome(site: Site, limits: Limits, environ: Environ, trust: Trust, newcomer: Newcomer) -> Connection:
    peer = Peer(environ, newcomer.server, newcomer.client, trust, "http")
    return Connection(newcomer.socket, peer, Engine(limits), site)


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
                address=call.connection.peer.address,
                received=call.readable,
                called=call.called,
                ended=ended,
                when=time.time(),
                pid=os.getpid(),
                environ=call.environ,
            )
        )

    return describe
