# FastPySGI: C around libuv and llhttp, one thread.
#
# It binds addresses itself and takes no socket. What it bound is therefore exchanged behind its back: each of
# its own listeners, on loopback ports that nobody knows, is replaced under the same descriptor by one of ours
# (dup2(2)), before its event loop looks at it for the first time.
#
# It keeps the GIL while it waits, which would silence all of Python. So we wait, for its epoll set and for
# the supervisor, and let it turn without waiting. libuv tells the kernel of a new
# interest at the start of a turn: two turns in a row therefore, and short waits while there is work.

from __future__ import annotations

import os
import select
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, ClassVar

import _fastpysgi
import fastpysgi

from bigtop.backends.adapters.drain import DrainClock
from bigtop.backends.adapters.listeners import epolls_with, put_in_place, unclaimed, withdraw
from bigtop.backends.adapters.wsgi_meter import WsgiMeter
from bigtop.backends.base import App, BackendDefaults, Features, Life

_SOON, _LATE = 1, 1000  # milliseconds between turns without news: the shortest, and the longest


class FastpysgiBackend(BackendDefaults):
    """Serves a WSGI application with FastPySGI."""

    name: ClassVar[str] = "fastpysgi"
    features: ClassVar[Features] = Features(
        interface="wsgi",
        unix=False,
        interruptible=False,
        streams=False,
        heeds=frozenset(
            {
                "server_header",
                "limits.keep_alive",
                "limits.body_timeout",
                "limits.fields",
                "limits.body",
            }
        ),
    )

    def serve(self, listeners: Sequence[socket.socket], app: App, life: Life) -> None:
        meter = WsgiMeter(app, life, self._options, lists=False)
        server = fastpysgi.server
        self._configure(server)
        before = set(_listening())
        server.nowait = 1
        server.bindlist = [("127.0.0.1", 0)] * len(listeners)
        server.init(_as_pep_3333(meter))
        for fd, listener in zip(sorted(set(_listening()) - before), listeners, strict=True):
            put_in_place(listener, fd)
        _fastpysgi.run_nowait(server)
        life.ready()
        self._run(listeners, life, meter)

    def _run(self, listeners: Sequence[socket.socket], life: Life, meter: WsgiMeter) -> None:
        """Run the server's event loop until the drain is over."""
        server = fastpysgi.server
        poll, line = select.poll(), select.poll()
        line.register(life.fileno(), select.POLLIN)
        poll.register(life.fileno(), select.POLLIN)
        for epoll in epolls_with(listeners):
            poll.register(epoll, select.POLLIN)
        wait = _SOON
        while not life.draining:
            wait = _SOON if poll.poll(wait) else min(2 * wait, _LATE)
            for _ in range(2):
                if line.poll(0):  # it may have come during a call
                    life.on_lifeline()
                if not life.draining:
                    _fastpysgi.run_nowait(server)
        for _ in unclaimed(listeners, life):
            poll.poll(_SOON)
            _fastpysgi.run_nowait(server)
        withdraw(listeners)
        server.set_allow_keepalive(False)
        clock = DrainClock(life)
        while not clock.is_over(meter.is_busy):
            poll.poll(_SOON)
            _fastpysgi.run_nowait(server)

    def _configure(self, server: fastpysgi._Server) -> None:
        limits = self._options.limits
        server.hook_sigint = 0
        server.loglevel = fastpysgi.LL_ERROR
        server.add_header_server = self._options.server_header
        server.allow_keepalive = limits.keep_alive > 0
        server.next_req_timeout = round(limits.keep_alive * 1000)
        server.curr_req_timeout = 0
        server.read_req_timeout = round(limits.body_timeout * 1000)
        server.max_headers_num = limits.fields
        server.max_content_length = limits.body or _UNLIMITED


_UNLIMITED = (1 << 31) - 1


def _as_pep_3333(app: App) -> App:
    """Return an application that sees addresses without a port and bytes as Latin-1 (PEP 3333)."""

    def call(environ: dict[str, Any], start_response: Any) -> Any:
        address, colon, port = environ.get("REMOTE_ADDR", "").rpartition(":")
        if colon:
            environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = address, port
        path = environ["PATH_INFO"]
        if not path.isascii():
            environ["PATH_INFO"] = path.encode("utf-8", "surrogateescape").decode("latin-1")
        return app(environ, start_response)

    return call


def _listening() -> Iterator[int]:
    """Yield the descriptors of this process that are listening sockets."""
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            looked_at = socket.socket(fileno=int(name))
            if looked_at.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                yield int(name)
            looked_at.detach()
