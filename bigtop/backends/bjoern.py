# bjoern: one thread of C around libev. Fast and small; HTTP/1.1 without chunked request bodies.
#
# It cannot be told to end connections, so a draining worker answers and then leaves its idle clients: who
# keeps connections open sees one close in between. It serves one address, from one thread.

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import ClassVar

import bjoern

from bigtop.backends.base import App, Features, Life, ServeOptions
from bigtop.backends.beside import serve_beside
from bigtop.backends.books import Books
from bigtop.backends.listeners import share, the_only
from bigtop.backends.meter import WsgiMeter


class BjoernBackend:
    """Serves a WSGI application with bjoern."""

    name: ClassVar[str] = "bjoern"
    features: ClassVar[Features] = Features(
        interface="wsgi", fragments=False, pipelines=False, says_goodbye=False, chunked=False
    )

    def __init__(self, options: ServeOptions) -> None:
        self._options = options

    def prepare(self) -> None:
        """Nothing has to be done before the application is imported."""

    def serve(self, listeners: Sequence[socket.socket], app: App, life: Life) -> None:
        listener = the_only(listeners, self.name)
        books = Books(life, self._options)
        mine, meter = share(listener), WsgiMeter(app, books, lists=False)
        serve_beside(lambda: bjoern.server_run(mine, meter), [listener], life, books)
