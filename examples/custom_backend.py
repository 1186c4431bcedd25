# A backend of one's own, over the standard library's wsgiref. docs/howto/custom-backend.md tells how it is
# announced and what it owes.

import selectors
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from bigtop.backends.base import Features
from bigtop.backends.books import Books
from bigtop.backends.meter import WsgiMeter


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


class PlainBackend:
    name = "plain"
    features = Features(interface="wsgi", unix=False, keep_alive=False, chunked=False)

    def __init__(self, options):
        self._options = options

    def prepare(self):
        pass

    def serve(self, listeners, app, life):
        counted = WsgiMeter(app, Books(life, self._options))
        with selectors.DefaultSelector() as selector:
            selector.register(life.fileno(), selectors.EVENT_READ)
            for listener in listeners:
                selector.register(listener, selectors.EVENT_READ, Server(listener, counted))
            life.ready()
            while not life.draining:
                for key, _ in selector.select():
                    if key.data:
                        key.data.handle_request()
                    else:
                        life.on_lifeline()
