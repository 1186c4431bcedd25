# Questions to a CA over the network: what comes back is whole, or a line that says why not.

from __future__ import annotations

import ssl
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from bigtop.errors import ConfigError
from bigtop.keeper.acme.messages import Answered, Get, Post, Unreachable
from bigtop.keeper.ordering.https import Https
from bigtop.keeper.ordering.session import Session
from tests.support.https_server import HttpsServer, reply


def test_questions_share_a_connection_until_it_is_closed(tmp_path: Path) -> None:
    requests = []

    def answer(request: bytes, _tls: ssl.SSLSocket) -> bytes:
        requests.append(request)
        close = ("Connection: close",) if len(requests) == 2 else ()
        return reply(201, b"text", "X-Some: a", *close)

    with HttpsServer(tmp_path, answer) as server:
        https = Https(server.root_cert)
        for body in (b"one", b"two", None):
            found = https.ask("POST" if body else "GET", f"{server.base}/a?b=c", body, {"X-Our": "b"})
            assert isinstance(found, Answered)
            assert (found.status, found.body, found.fields["x-some"]) == (201, b"text", "a")
        https.close()
        assert server.connections == 2
    assert requests[0].startswith(b"POST /a?b=c HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"\r\nUser-Agent: bigtop/" in requests[0]
    assert requests[1].endswith(b"\r\n\r\ntwo")


def test_a_connection_that_went_while_it_was_idle_costs_nothing(tmp_path: Path) -> None:
    def answer(_request: bytes, tls: ssl.SSLSocket) -> bytes | None:
        if server.connections > 1:
            return reply(200, b"2")
        tls.sendall(reply(200, b"1"))
        return None

    with HttpsServer(tmp_path, answer) as server, closing(Https(server.root_cert)) as https:
        assert https.ask("GET", server.base) == Answered(200, {"content-length": "1"}, b"1")
        assert https.ask("GET", server.base) == Answered(200, {"content-length": "1"}, b"2")


def trickle(_request: bytes, tls: ssl.SSLSocket) -> None:
    """Send so slowly that no single read lasts long."""
    end = time.monotonic() + 30
    tls.sendall(b"HTTP/1.1 200 OK\r\n")
    while time.monotonic() < end:
        tls.sendall(b"X: 1\r\n")
        threading.Event().wait(0.05)


def endless(_request: bytes, tls: ssl.SSLSocket) -> None:
    tls.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    for _ in range(1000):
        tls.sendall(b"x" * 65536)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (trickle, "no answer in time"),
        (endless, "the answer is longer than 1048576 bytes"),
        (lambda *_: None, "it closed the connection without an answer"),
        (lambda *_: b"SSH-2.0\r\n\r\n", "SSH-2.0"),
    ],
)
def test_what_never_ends_or_is_no_http(answer: object, text: str, tmp_path: Path) -> None:
    patience = 1.0 if answer is trickle else 60.0
    with (
        HttpsServer(tmp_path, answer) as server,  # type: ignore[arg-type]
        closing(Https(server.root_cert, patience)) as https,
    ):
        found = https.ask("GET", server.base)
    assert isinstance(found, Unreachable), found
    assert text in found.text or (answer is trickle and "headers" in found.text)
    assert found.text.startswith("127.0.0.1:")


def told(url: str, root_cert: str = "") -> str:
    with closing(Https(root_cert)) as https:
        found = https.ask("GET", url)
    assert isinstance(found, Unreachable)
    return found.text


def test_who_is_not_trusted_or_not_there_is_told(tmp_path: Path) -> None:
    with HttpsServer(tmp_path, lambda *_: reply(200)) as server:
        assert "its certificate is not trusted: " in told(server.base)
        other = server.base.replace("127.0.0.1", "localhost")
        assert "its certificate is not trusted: Hostname mismatch" in told(other, server.root_cert)
        place = server.base
    assert told(place) == f"{place[8:]}: Connection refused"
    assert told("https://nobody.invalid/").startswith("nobody.invalid:443: its name cannot be found")
    (tmp_path / "empty").touch()
    for name in ("missing", "empty"):
        with pytest.raises(ConfigError, match=f"{name}: "):
            Https(str(tmp_path / name))


def test_nonces_are_used_once_and_a_refused_one_is_no_failure(tmp_path: Path) -> None:
    bad = b'{"type": "urn:ietf:params:acme:error:badNonce"}'
    asked: list[bytes] = []

    def answer(request: bytes, _tls: ssl.SSLSocket) -> bytes:
        asked.append(request)
        nonce = f"Replay-Nonce: n{len(asked)}"
        if request.startswith(b"HEAD"):
            return reply(200, b"", nonce)
        return reply(400, bad, nonce) if len(asked) < 5 else reply(200, b"{}", nonce)

    with HttpsServer(tmp_path, answer) as server:
        https = Https(server.root_cert)
        session = Session(https, ec.generate_private_key(ec.SECP256R1()))
        question = Post(f"{server.base}/x", {}, "", f"{server.base}/nonce")
        found = session.ask(question)
        assert isinstance(found, Answered)
        assert found.status == 200
        assert [request.split()[0] for request in asked] == [b"HEAD"] + [b"POST"] * 4
        session.ask(question)
        assert len(asked) == 6
        https.close()


def test_a_ca_that_refuses_each_nonce_or_gives_none(tmp_path: Path) -> None:
    bad = b'{"type": "urn:ietf:params:acme:error:badNonce"}'
    with HttpsServer(tmp_path, lambda *_: reply(400, bad, "Replay-Nonce: x", "Connection: close")) as server:
        https = Https(server.root_cert)
        session = Session(https, ec.generate_private_key(ec.SECP256R1()))
        found = session.ask(Post(f"{server.base}/x", {}, "", f"{server.base}/nonce"))
        assert isinstance(found, Answered)
        assert found.status == 400
        https.close()
    with HttpsServer(tmp_path, lambda *_: reply(200)) as server:
        https = Https(server.root_cert)
        session = Session(https, ec.generate_private_key(ec.SECP256R1()))
        assert isinstance(session.ask(Get(server.base)), Answered)
        found = session.ask(Post(f"{server.base}/x", {}, "", f"{server.base}/nonce"))
        assert found == Unreachable(f"{server.base}/nonce gives no nonce")
        https.close()
