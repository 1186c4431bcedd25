# What a request leaves behind is freed when it is over, not when the garbage collector comes by: it holds all
# that the application hung on it, and collections take time from requests.

from __future__ import annotations

import pytest

from bigtop.backends.serve_options import ServeOptions
from tests.support.backend_server import BackendServer
from tests.support.wire import Client, request

REQUESTS = 100


@pytest.mark.parametrize("backend", ["wsgi", "gevent", "asgi"])
def test_a_request_leaves_no_cycles(backend: str) -> None:
    app = f"tests.apps.garbage:{'asgi' if backend == 'asgi' else 'app'}"
    with BackendServer(app, ServeOptions(), backend=backend) as server, Client(server.address) as client:

        def garbage(after: int) -> list[str]:
            for _ in range(after):
                client.send(request("/", "Content-Length: 10", method="POST") + b"0123456789")
                assert client.answer().body == b"0123456789"
            return client.get("/collect").body.decode().split()

        garbage(after=1)  # what was left by imports, some of which the first requests bring
        assert garbage(after=REQUESTS) == []
