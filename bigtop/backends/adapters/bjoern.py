# bjoern: one thread of C around libev. Fast and small; HTTP/1.1 without chunked request bodies.
#
# It cannot be told to end connections, so a draining worker answers and then leaves its idle clients: who
# keeps connections open sees one close in between. It serves one address, from one thread.

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import ClassVar

import bjoern

from bigtop.backends.adapters.listeners import share, the_only
from bigtop.backends.adapters.threaded_server import serve_in_thread
from bigtop.backends.adapters.wsgi_meter import WsgiMeter
from bigtop.backends.base import App, BackendDefaults, Features, Life


class BjoernBackend(BackendDefaults):
    """Serves a WSGI application with bjoern."""

    name: ClassVar[str] = "bjoern"
    features: ClassVar[Features] = Features(
        interface="wsgi", fragments=False, pipelines=False, says_goodbye=False, chunked=False
    )

    def serve(self, listeners: Sequence[socket.socket], app: App, life: Life) -> None:
        listener = the_only(listeners, self.name)
        mine, meter = share(listener), WsgiMeter(app, life, self._options, lists=False)
        serve_in_thread(lambda: bjoern.server_run(mine, meter), [listener], life, meter)
