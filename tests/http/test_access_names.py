# Formats of the access log by name and in nginx's language, and Caddy's lines.

from __future__ import annotations

import json
import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.errors import ConfigError
from bigtop.http.access_log.access_format import compile_format
from bigtop.http.access_log.access_names import NAMES, formatter_of, translated
from bigtop.http.clients.tls_session import TlsSession
from tests.http.test_access_format import ZONE, access

FIELDS = (
    (b"Referer", b"https://a.example/"),
    (b"User-Agent", b'Mozilla "5"'),
    (b"X-Forwarded-For", b"192.0.2.9"),
    (b"Authorization", b"Basic eDp5"),
)
COMMON = '192.0.2.7 - x [10/Oct/2000:06:55:36 -0700] "GET /a%20b?x=1 HTTP/1.1" 200 1234'
COMBINED = COMMON + r' "https://a.example/" "Mozilla \"5\""'


def line(text: str, **facts: object) -> str:
    return formatter_of(text, ZONE)(access(headers=FIELDS) if not facts else access(**facts))  # type: ignore[arg-type]


def test_names() -> None:
    assert line("common") == COMMON
    assert line("combined") == COMBINED
    assert line("main") == COMBINED + ' "192.0.2.9"'
    assert json.loads(line("json"))["status"] == 200
    assert set(NAMES) == {"common", "combined", "main", "json", "caddy"}


def test_what_nginx_says_of_nothing() -> None:
    nothing = formatter_of("combined", ZONE)(access(sent=0, address=""))
    assert nothing == '- - - [10/Oct/2000:06:55:36 -0700] "GET /a%20b?x=1 HTTP/1.1" 200 0 "-" "-"'


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("$remote_addr", "192.0.2.7"),
        ("${remote_addr}", "192.0.2.7"),
        ("$remote_user", "x"),
        ("$time_local", r"10/Oct/2000:06:55:36 -0700"),
        ("$time_iso8601", "2000-10-10T06:55:36-07:00"),
        ("$msec", "971186136.750"),
        ("$request", "GET /a%20b?x=1 HTTP/1.1"),
        ("$request_uri", "/a%20b?x=1"),
        ("$uri", "/a%20b"),
        ("$args", "x=1"),
        ("$query_string", "x=1"),
        ("$request_method", "GET"),
        ("$server_protocol", "HTTP/1.1"),
        ("$status", "200"),
        ("$body_bytes_sent", "1234"),
        ("$request_time", "1.250"),
        ("$upstream_response_time", "1.249"),
        ("$host", "site"),
        ("$scheme", "https"),
        ("$pid", "99"),
        ("$ssl_protocol", "-"),
        ("$http_x_forwarded_for", "192.0.2.9"),
        ("$http_none", "-"),
        ("$sent_http_content_type", "text/html"),
        ("$sent_http_set_cookie", "a,b"),
    ],
)
def test_variables(variable: str, value: str) -> None:
    assert line(f"100% {variable}!") == f"100% {value}!"


def test_a_host_is_a_name() -> None:
    request = access(headers=FIELDS)
    request.request.headers = [(b"Host", b"Shop.Example:8443")]
    assert formatter_of("$host $scheme", ZONE)(request) == "shop.example https"
    assert formatter_of("$scheme", ZONE)(access(environ=None)) == "http"


@pytest.mark.parametrize("variable", ["bytes_sent", "upstream_addr", "no_such", "http_", "cookie_a"])
def test_what_has_no_equal(variable: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"${variable} has no equal; known are $args ")):
        formatter_of(f"$status ${variable}")


@pytest.mark.parametrize("text", ["%(h)s $status", "costs 5$", "%(s)s", "plain", "json", "caddy", "$1"])
def test_what_is_not_nginxs_stays(text: str) -> None:
    assert translated(text) == text


@given(st.text(alphabet='$%{}()sa_" ', max_size=20))
def test_any_text_is_a_format_or_a_mistake(text: str) -> None:
    with suppress(ConfigError):
        formatter = compile_format(translated(text))
        assert formatter(access()).isprintable()


def test_what_came_from_outside_forges_no_line() -> None:
    forged = access(target=b"/\xff", headers=((b"User-Agent", b'" 200 0 "x'),))
    assert formatter_of('"$http_user_agent"', ZONE)(forged) == r'"\" 200 0 \"x"'
    assert formatter_of("$request_uri|$status", ZONE)(access(target=b"/|200")) == r"/\x7c200|200"


def test_caddy() -> None:
    request = access(headers=(*FIELDS, (b"cookie", b"a=1"), (b"Accept", b"*/*"), (b"accept", b"text/html")))
    assert json.loads(formatter_of("caddy")(request)) == {
        "level": "info",
        "ts": 971186136.75,
        "logger": "http.log.access",
        "msg": "handled request",
        "request": {
            "remote_ip": "192.0.2.7",
            "client_ip": "192.0.2.7",
            "proto": "HTTP/1.1",
            "method": "GET",
            "host": "site",
            "uri": "/a%20b?x=1",
            "headers": {
                "Host": ["site"],
                "Referer": ["https://a.example/"],
                "User-Agent": ['Mozilla "5"'],
                "X-Forwarded-For": ["192.0.2.9"],
                "Authorization": ["REDACTED"],
                "Cookie": ["REDACTED"],
                "Accept": ["*/*", "text/html"],
            },
        },
        "bytes_read": 0,
        "user_id": "x",
        "duration": 1.250004,
        "size": 1234,
        "status": 200,
        "resp_headers": {"Content-Type": ["text/html"], "Set-Cookie": ["REDACTED"]},
    }


def test_caddy_of_an_encrypted_connection() -> None:
    session = TlsSession("TLSv1.3", "TLS_AES_128_GCM_SHA256", 4865, "a.example", resumed=True)
    found = json.loads(formatter_of("caddy")(access(session=session, status=502)))
    assert found["level"] == "error"
    assert found["request"]["tls"] == {
        "resumed": True, "version": 772, "cipher_suite": 4865, "proto": "http/1.1",
        "server_name": "a.example",
    }  # fmt: skip
