# Fields by which an application speaks to nginx: heeded here, and seen by no client.

from __future__ import annotations

import logging

import pytest

from bigtop.backends.native.handlers.accel_headers import AccelHeaders
from bigtop.http.handlers import Draft
from bigtop.http.messages import Request

HTML = ("Content-Type", "text/html; charset=utf-8")


def filtered(*headers: tuple[str, str], by: AccelHeaders | None = None) -> list[tuple[str, str]]:
    draft = Draft("200 OK", list(headers), 5)
    (by or AccelHeaders()).filter(Request(), draft)
    return draft.headers


def test_clients_see_none_of_them() -> None:
    fields = [("X-Accel-Buffering", "no"), ("x-accel-expires", "60"), ("X-Accel-Charset", "off")]
    assert filtered(HTML, *fields, ("X-Accel", "1")) == [("Content-Type", "text/html"), ("X-Accel", "1")]
    assert filtered(HTML) == [HTML]


@pytest.mark.parametrize(
    ("kind", "charset", "made"),
    [
        ("text/html", "koi8-r", "text/html; charset=koi8-r"),
        ("text/html; charset=utf-8", "koi8-r", "text/html; charset=koi8-r"),
        ('text/html ;Charset="utf-8"; level=1', "koi8-r", "text/html; level=1; charset=koi8-r"),
        ("text/html; charset=utf-8", "off", "text/html"),
        ("text/html", "a b", "text/html"),
        ("text/html", 'x"; y', "text/html"),
        ("text/html", "", "text/html"),
    ],
)
def test_a_charset(kind: str, charset: str, made: str) -> None:
    assert filtered(("Content-Type", kind), ("X-Accel-Charset", charset)) == [("Content-Type", made)]


def test_what_cannot_be_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """On the wire: test_limit_rate.py."""
    one = AccelHeaders()
    with caplog.at_level(logging.WARNING):
        assert filtered(HTML, ("X-Accel-Limit-Rate", "off"), by=one) == [HTML]
        assert caplog.messages == []
        for _ in range(2):
            assert filtered(HTML, ("X-Accel-Limit-Rate", "fast"), by=one) == [HTML]
    assert caplog.messages == ["GET /: X-Accel-Limit-Rate: 'fast' is no number of bytes a second"]
