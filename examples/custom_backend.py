# A backend of one's own, over the standard library's wsgiref. docs/howto/custom-backend.md tells how it is
# announced and what it owes.

import selectors
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from bigtop.backends.adapters.wsgi_meter import WsgiMeter
from bigtop.backends.base import BackendDefaults, Features


class Quiet(WSGIRequestHandler):
    def log_message(self, *args):
        pass


class Server(WSGIServer):
    timeout = 0  # another worker may have taken the connection: do not wait for the next

    def __init__(self, listener, app):
        super().__init__(listener.getsockname(), Quiet, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.server_name, self.server_port = listener.getsockname()[:2]
        self.setup_environ()
        self.set_app(app)


class PlainBackend(BackendDefaults):
    """wsgiref with nothing around it."""

    name = "plain"
    features = Features(
        interface="wsgi", unix=False, keep_alive=False,
        patient=False, pipelines=False, interruptible=False, chunked=False,
    )  # fmt: skip

    def serve(self, listeners, app, life):
        counted = WsgiMeter(app, life, self._options)
        with selectors.DefaultSelector() as selector:
            selector.register(life.fileno(), selectors.EVENT_READ)
            for listener in listeners:
                selector.register(listener, selectors.EVENT_READ, Server(listener, counted))
            life.ready()
            while not life.draining:
                ready = [key.data for key, _ in selector.select()]
                if None in ready:  # first: who drains takes nobody any more
                    life.on_lifeline()
                for server in ready:
                    if server and not life.draining:
                        server.handle_request()
