# Handlers that move clients to HTTPS: nobody is sent where nobody has configured.

from __future__ import annotations

import pytest

from bigtop.http.answers.secure import Hsts, HttpsRedirect
from bigtop.http.clients.forwarded import Forwarding, Trust
from bigtop.http.clients.peer import BasePeer
from bigtop.http.handlers import Draft, Reply
from bigtop.http.messages import Request

REDIRECT = HttpsRedirect(("example.com", "*.Example.com", "other.example:8443"))


def peer(scheme: str = "http", trusted: tuple[str, ...] = ()) -> BasePeer:
    return BasePeer(("192.0.2.1", 1), Forwarding(Trust(trusted), ("proto",)), scheme)


def request(host: str = "example.com", target: bytes = b"/a?b=1", *fields: tuple[bytes, bytes]) -> Request:
    made = Request("POST", target)
    made.headers = [(b"Host", host.encode("latin-1")), *fields]
    return made


def location(reply: Reply | None) -> str:
    assert reply is not None
    assert reply.head.status == "308 Permanent Redirect"
    return dict(reply.headers)["Location"]


@pytest.mark.parametrize(
    ("host", "to"),
    [
        ("example.com", "https://example.com/a?b=1"),
        ("EXAMPLE.com:80", "https://example.com/a?b=1"),
        ("example.com.", "https://example.com/a?b=1"),
        ("www.example.com", "https://www.example.com/a?b=1"),
        ("other.example", "https://other.example:8443/a?b=1"),
    ],
)
def test_known_hosts(host: str, to: str) -> None:
    assert location(REDIRECT.handle(request(host), peer(), 0)) == to


@pytest.mark.parametrize(
    "host", ["evil.example", "a.b.example.com", "", "192.0.2.9", "example.com@evil.example"]
)
def test_nobody_is_sent_elsewhere(host: str) -> None:
    reply = REDIRECT.handle(request(host), peer(), 0)
    assert reply is not None
    assert reply.head.status.startswith("421")


def test_targets() -> None:
    for target, path in (
        (b"/", "/"),
        (b"//evil.example/", "//evil.example/"),
        (b"http://evil.example/x?y", "/x?y"),
        (b"http://evil.example", "/"),
        (b"*", "/"),
    ):
        assert location(REDIRECT.handle(request(target=target), peer(), 0)) == f"https://example.com{path}"


def test_who_came_by_https_already() -> None:
    assert REDIRECT.handle(request(), peer("https"), 0) is None
    forwarded = request("example.com", b"/", (b"X-Forwarded-Proto", b"https"))
    assert REDIRECT.handle(forwarded, peer(trusted=("192.0.2.1",)), 0) is None
    assert REDIRECT.handle(forwarded, peer(), 0) is not None, "who is not trusted may say anything"


def test_hsts() -> None:
    hsts = Hsts("max-age=300")

    def header(asked: Request, by: BasePeer, *given: tuple[str, str]) -> list[str]:
        assert hsts.handle(asked, by, 0) is None
        draft = Draft("200 OK", [*given], 0)
        hsts.filter(asked, draft)
        return [value for name, value in draft.headers if name.lower() == "strict-transport-security"]

    assert header(request(), peer("https")) == ["max-age=300"]
    assert header(request(), peer()) == []
    assert header(request(), peer("https"), ("strict-Transport-security", "max-age=1")) == ["max-age=1"]
