# Who the client is, on the wire: behind proxies that send fields, behind balancers that send a PROXY header.
# It is the same with both native servers.

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from bigtop.backends.native.timeouts import LAST_REQUEST
from bigtop.backends.serve_options import BalancerPolicy, Gates, ServeOptions
from bigtop.http.clients.proxyprotocol import SIGNATURE
from bigtop.http.declarations import Mount, Rate
from bigtop.http.limits import Limits
from bigtop.ipc.seats import Seat, SeatState
from tests.support.backend_server import BackendServer, Steps, eventually, in_time
from tests.support.wire import UPGRADE, Client, request

KINDS = {
    "wsgi": "tests.apps.shown:wsgi",
    "gevent": "tests.apps.shown:wsgi",
    "asgi": "tests.apps.shown:asgi",
}
V1 = b"PROXY TCP4 203.0.113.9 198.51.100.2 56324 443\r\n"
V2 = (
    SIGNATURE + struct.pack("!BBH", 0x21, 0x11, 12) + bytes([203, 0, 113, 9, 198, 51, 100, 2, 220, 4, 1, 187])
)
LOCAL = SIGNATURE + struct.pack("!BBH", 0x20, 0, 0)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def server(kind: str, *, unix: str | None = None, siblings: int = 0, **options: Any) -> BackendServer:
    made = ServeOptions(**options)
    return BackendServer(KINDS[kind], made, backend=kind, unix=unix, siblings=siblings)


def environ_of(client: Client, *headers: str) -> dict[str, str]:
    made: dict[str, str] = json.loads(client.get("/environ", *headers).body)
    return made


def test_a_trusted_proxy_is_believed_and_logged(kind: str) -> None:
    with server(kind, access_format="%(h)s %(id)s") as one, one.connect() as client:
        lines = ["X-Forwarded-For: 1.1.1.1, 203.0.113.9", "X-Forwarded-Proto: https", "X-Request-ID: 4f"]
        env = environ_of(client, *lines)
        assert (env["REMOTE_ADDR"], env["wsgi.url_scheme"], env["HTTP_X_REQUEST_ID"]) == (
            "203.0.113.9",
            "https",
            "4f",
        )
        assert environ_of(client)["REMOTE_ADDR"] == "127.0.0.1"
        client.get("/")
        assert one.access_lines()[0] == "203.0.113.9 4f"


def test_the_client_of_a_static_file_is_logged(kind: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    with (
        server(kind, access_format="%(h)s", static=(Mount("/s/", str(tmp_path)),)) as one,
        one.connect() as client,
    ):
        client.get("/s/a.txt", "X-Forwarded-For: 203.0.113.9")
        client.get("/s/a.txt")
        client.get("/")
        assert one.access_lines()[:2] == ["203.0.113.9", "127.0.0.1"]


def test_a_stranger_is_not(kind: str) -> None:
    with server(kind, forwarded_allow_ips=("10.0.0.0/8",)) as one, one.connect() as client:
        env = environ_of(
            client, "X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https", "X-Request-ID: 4f"
        )
        assert (env["REMOTE_ADDR"], env["wsgi.url_scheme"]) == ("127.0.0.1", "http")
        assert "HTTP_X_FORWARDED_FOR" not in env
        assert env["HTTP_X_REQUEST_ID"] != "4f"


def test_a_unix_socket_is_trusted(kind: str, tmp_path: Path) -> None:
    with server(kind, forwarded_allow_ips=(), unix=str(tmp_path / "x.sock")) as one, one.connect() as client:
        assert environ_of(client, "X-Forwarded-For: 203.0.113.9")["REMOTE_ADDR"] == "203.0.113.9"


def test_every_request_has_an_id_of_its_own(kind: str) -> None:
    with server(kind, access_format="json") as one, one.connect() as client:
        ids = [environ_of(client)["HTTP_X_REQUEST_ID"] for _ in range(5)]
        client.get("/")
        assert len(set(ids)) == 5
        assert [json.loads(line)["request_id"] for line in one.access_lines()[:5]] == ids


@pytest.mark.parametrize(("version", "header"), [("v1", V1), ("v2", V2), ("auto", V1), ("auto", V2)])
def test_a_balancer(kind: str, version: str, header: bytes) -> None:
    with server(kind, balancers=BalancerPolicy(version), access_format="%(h)s") as one:
        for size in (1, 7, 1000):
            with one.connect() as client:
                data = header + request("/environ")
                for at in range(0, len(data), size):
                    client.send(data[at : at + size])
                env = json.loads(client.answer().body)
                told = env["REMOTE_ADDR"], env["REMOTE_PORT"], env["SERVER_PORT"]
                assert told == ("203.0.113.9", "56324", "443")
                assert environ_of(client)["REMOTE_ADDR"] == "203.0.113.9"
                client.get("/")
        assert one.access_lines()[:8] == ["203.0.113.9"] * 8


def test_a_balancers_own_health_check(kind: str) -> None:
    with server(kind, balancers=BalancerPolicy("v2")) as one, one.connect() as client:
        client.send(LOCAL)
        assert environ_of(client)["REMOTE_ADDR"] == "127.0.0.1"


def test_a_balancers_client_is_no_proxy(kind: str) -> None:
    with server(kind, balancers=BalancerPolicy("v1")) as one, one.connect() as client:
        client.send(V1)
        assert environ_of(client, "X-Forwarded-For: 1.1.1.1")["REMOTE_ADDR"] == "203.0.113.9"


def test_a_balancer_that_says_nothing_is_refused(kind: str) -> None:
    with server(kind, balancers=BalancerPolicy("auto")) as one, one.connect() as client:
        client.send(request("/"))
        assert client.answer().status == 400
        assert client.at_end()


def test_a_header_that_does_not_end_runs_out_of_time(kind: str) -> None:
    with (
        server(kind, balancers=BalancerPolicy("v1"), limits=Limits(header_timeout=0.2)) as one,
        one.connect() as client,
    ):
        client.send(V1[:10])
        assert client.answer().status == 408


def test_others_than_balancers_speak_http_at_once(kind: str) -> None:
    with server(kind, balancers=BalancerPolicy("auto", ("10.0.0.0/8",))) as one:
        with one.connect() as client:
            assert client.get("/").status == 200
        with one.connect() as client:
            client.send(V1 + request("/"))
            assert client.answer().status == 400


def test_off_is_the_default(kind: str) -> None:
    with server(kind) as one, one.connect() as client:
        client.send(V1 + request("/"))
        assert client.answer().status == 400


def test_a_connection_of_a_balancer_stays_where_its_client_is_known(kind: str) -> None:
    """A worker that drains hands its idle connections over: not those whose header is read."""

    def ask(step: Steps) -> None:
        with server(kind, balancers=BalancerPolicy("v1"), siblings=1) as one, one.connect() as client:
            one.play(SeatState.READY)
            client.send(V1)
            assert environ_of(client)["REMOTE_ADDR"] == "203.0.113.9"
            step()
            one.drain()
            eventually(lambda: one.word(Seat.OPEN) == 0)
            client.send(request("/"))
            step()
            answer = client.answer()
            assert (answer.status, answer["Connection"]) == (200, "close")
            assert one.sibling.take_own() is None
            assert one.sibling.take() is None
            assert one.wait() == 0

    in_time(LAST_REQUEST, ask)


def test_limits_are_those_of_the_client_that_a_balancer_names(kind: str) -> None:
    options: dict[str, Any] = {
        "balancers": BalancerPolicy("v1"),
        "gates": Gates(rate=Rate(1, 1)),
        "forwarded_allow_ips": (),
    }
    with server(kind, **options) as one, one.connect() as client, one.connect() as other:
        client.send(V1 + request("/") * 2)  # within a second
        assert [client.answer().status for _ in range(2)] == [200, 429]
        other.send(V1.replace(b"203.0.113.9", b"203.0.113.8") + request("/"))
        assert other.answer().status == 200


@pytest.mark.parametrize("backend", [("wsgi", 2), ("gevent", 1), ("asgi", 1)])
def test_a_websocket_behind_a_balancer(backend: tuple[str, int]) -> None:
    name, threads = backend
    app = "tests.apps.asgi_basic:app" if name == "asgi" else "tests.apps.sock_site:app"
    options = ServeOptions(balancers=BalancerPolicy("v2"), threads=threads)
    with BackendServer(app, options, backend=name) as one, one.connect() as client:
        client.send(V2 + request("/echo", *UPGRADE))
        assert client.answer().status == 101
