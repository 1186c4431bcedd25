# Django's StreamingHttpResponse: beside other requests, to its end, and ended with its client.

from __future__ import annotations

import pytest

from bigtop.backends.serve_options import ServeOptions
from tests.support.backend_server import BackendServer, eventually
from tests.support.wire import request

pytestmark = pytest.mark.case("A2")
pytest.importorskip("django")


@pytest.mark.parametrize(
    ("backend", "stream", "threads"),
    [("wsgi", "sync", 1), ("wsgi", "sync", 2), ("gevent", "sync", 1), ("asgi", "async", 1)],
)
def test_a_stream_ends_with_its_client(backend: str, stream: str, threads: int) -> None:
    app = f"tests.apps.django_streams:{'asgi' if backend == 'asgi' else 'wsgi'}"
    with BackendServer(app, ServeOptions(threads=threads), backend=backend) as server:
        with server.connect() as other:
            with server.connect() as client:
                client.send(request(f"/{stream}"))
                assert client.answer(head_only=True).status == 200
                assert client.socket.recv(65536)
                if threads > 1 or backend != "wsgi":
                    assert other.get("/").body == b"plain"
                    assert other.get("/short").body == b"ab"
            eventually(lambda: f"the {stream} stream is over" in server.log(), what="the end of the stream")
            assert other.get("/").body == b"plain"
        assert "Traceback" not in server.log()
        assert "[ERROR]" not in server.log()
