# Who the client is, on the wire: behind proxies that send fields, behind balancers that send a PROXY header.

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from bigtop.backends.base import ServeOptions
from bigtop.http.limits import Limits
from bigtop.http.proxyprotocol import SIGNATURE
from bigtop.http.static import Mount
from tests.support.backend_server import BackendServer
from tests.support.wire import Client, request

APP = "tests.apps.wsgi_basic:app"
V1 = b"PROXY TCP4 203.0.113.9 198.51.100.2 56324 443\r\n"
V2 = (
    SIGNATURE + struct.pack("!BBH", 0x21, 0x11, 12) + bytes([203, 0, 113, 9, 198, 51, 100, 2, 220, 4, 1, 187])
)
LOCAL = SIGNATURE + struct.pack("!BBH", 0x20, 0, 0)


def environ_of(client: Client, *headers: str) -> dict[str, str]:
    made: dict[str, str] = json.loads(client.get("/environ", *headers).body)
    return made


def test_a_trusted_proxy_is_believed_and_logged() -> None:
    options = ServeOptions(access_format="%(h)s %(id)s")
    with BackendServer(APP, options) as server, server.connect() as client:
        lines = ["X-Forwarded-For: 1.1.1.1, 203.0.113.9", "X-Forwarded-Proto: https", "X-Request-ID: 4f"]
        env = environ_of(client, *lines)
        assert (env["REMOTE_ADDR"], env["wsgi.url_scheme"], env["HTTP_X_REQUEST_ID"]) == (
            "203.0.113.9",
            "https",
            "4f",
        )
        assert environ_of(client)["REMOTE_ADDR"] == "127.0.0.1"
        client.get("/")
        assert server.access_lines()[0] == "203.0.113.9 4f"


def test_the_client_of_a_static_file_is_logged(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    options = ServeOptions(access_format="%(h)s", static=(Mount("/s/", str(tmp_path)),))
    with BackendServer(APP, options) as server, server.connect() as client:
        client.get("/s/a.txt", "X-Forwarded-For: 203.0.113.9")
        client.get("/s/a.txt")
        client.get("/")
        assert server.access_lines()[:2] == ["203.0.113.9", "127.0.0.1"]


def test_a_stranger_is_not() -> None:
    options = ServeOptions(forwarded_allow_ips=("10.0.0.0/8",))
    with BackendServer(APP, options) as server, server.connect() as client:
        env = environ_of(
            client, "X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https", "X-Request-ID: 4f"
        )
        assert (env["REMOTE_ADDR"], env["wsgi.url_scheme"]) == ("127.0.0.1", "http")
        assert "HTTP_X_FORWARDED_FOR" not in env
        assert env["HTTP_X_REQUEST_ID"] != "4f"


def test_a_unix_socket_is_trusted(tmp_path: Path) -> None:
    options = ServeOptions(forwarded_allow_ips=())
    with BackendServer(APP, options, unix=str(tmp_path / "x.sock")) as server, server.connect() as client:
        assert environ_of(client, "X-Forwarded-For: 203.0.113.9")["REMOTE_ADDR"] == "203.0.113.9"


def test_every_request_has_an_id_of_its_own() -> None:
    options = ServeOptions(access_json=True)
    with BackendServer(APP, options) as server, server.connect() as client:
        ids = [environ_of(client)["HTTP_X_REQUEST_ID"] for _ in range(5)]
        client.get("/")
        assert len(set(ids)) == 5
        assert [json.loads(line)["request_id"] for line in server.access_lines()[:5]] == ids


@pytest.mark.parametrize(("version", "header"), [("v1", V1), ("v2", V2), ("auto", V1), ("auto", V2)])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_balancer(version: str, header: bytes, size: int) -> None:
    options = ServeOptions(proxy_protocol=version, access_format="%(h)s")
    with BackendServer(APP, options) as server, server.connect() as client:
        data = header + request("/environ")
        for at in range(0, len(data), size):
            client.send(data[at : at + size])
        env = json.loads(client.answer().body)
        assert (env["REMOTE_ADDR"], env["REMOTE_PORT"], env["SERVER_PORT"]) == ("203.0.113.9", "56324", "443")
        assert environ_of(client)["REMOTE_ADDR"] == "203.0.113.9"
        client.get("/")
        assert server.access_lines()[:2] == ["203.0.113.9"] * 2


def test_a_balancers_own_health_check() -> None:
    with BackendServer(APP, ServeOptions(proxy_protocol="v2")) as server, server.connect() as client:
        client.send(LOCAL)
        assert environ_of(client)["REMOTE_ADDR"] == "127.0.0.1"


def test_a_balancers_client_is_no_proxy() -> None:
    with BackendServer(APP, ServeOptions(proxy_protocol="v1")) as server, server.connect() as client:
        client.send(V1)
        assert environ_of(client, "X-Forwarded-For: 1.1.1.1")["REMOTE_ADDR"] == "203.0.113.9"


def test_a_balancer_that_says_nothing_is_refused() -> None:
    with BackendServer(APP, ServeOptions(proxy_protocol="auto")) as server, server.connect() as client:
        client.send(request("/"))
        assert client.answer().status == 400
        assert client.at_end()


def test_a_header_that_does_not_end_runs_out_of_time() -> None:
    options = ServeOptions(proxy_protocol="v1", limits=Limits(header_timeout=0.2))
    with BackendServer(APP, options) as server, server.connect() as client:
        client.send(V1[:10])
        assert client.answer().status == 408


def test_others_than_balancers_speak_http_at_once() -> None:
    options = ServeOptions(proxy_protocol="auto", proxy_allow_ips=("10.0.0.0/8",))
    with BackendServer(APP, options) as server:
        with server.connect() as client:
            assert client.get("/").status == 200
        with server.connect() as client:
            client.send(V1 + request("/"))
            assert client.answer().status == 501


def test_off_is_the_default() -> None:
    with BackendServer(APP) as server, server.connect() as client:
        client.send(V1 + request("/"))
        assert client.answer().status == 501
