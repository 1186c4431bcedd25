# Access log lines: every atom as gunicorn documents it, mistakes in formats, and attempts to forge lines.

from __future__ import annotations

import base64
import json
from datetime import timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.errors import ConfigError
from bigtop.http.access_log.access_format import AccessRecord, compile_format, compile_json
from bigtop.http.clients.tls_session import ClientCertificate, TlsSession
from bigtop.http.messages import Request

COMBINED = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"'
ZONE = timezone(timedelta(hours=-7))


def access(
    target: bytes = b"/a%20b?x=1", headers: tuple[tuple[bytes, bytes], ...] = (), **facts: Any
) -> AccessRecord:
    request = Request()
    request.target = target
    request.headers = [(b"Host", b"site"), *headers]
    known: dict[str, Any] = {
        "request": request,
        "status": 200,
        "headers": [("Content-Type", "text/html"), ("Set-Cookie", "a"), ("set-cookie", "b")],
        "sent": 1234,
        "address": "192.0.2.7",
        "received": 5_000_000_000,
        "called": 5_000_250_999,
        "ended": 6_250_004_999,
        "when": 971186136.75,
        "pid": 99,
        "environ": {"REMOTE_PORT": "50123", "wsgi.url_scheme": "https", "bigtop.x": 5},
    }
    return AccessRecord(**{**known, **facts})


def line(text: str, of: AccessRecord | None = None) -> str:
    return compile_format(text, ZONE)(of or access())


@pytest.mark.parametrize(
    ("atom", "value"),
    [
        ("h", "192.0.2.7"),
        ("l", "-"),
        ("u", "-"),
        ("t", "[10/Oct/2000:06:55:36 -0700]"),
        ("r", "GET /a%20b?x=1 HTTP/1.1"),
        ("m", "GET"),
        ("U", "/a%20b"),
        ("q", "x=1"),
        ("H", "HTTP/1.1"),
        ("s", "200"),
        ("B", "1234"),
        ("b", "1234"),
        ("f", "-"),
        ("a", "-"),
        ("T", "1"),
        ("M", "1250"),
        ("D", "1250004"),
        ("L", "1.250004"),
        ("Q", "0.000250"),
        ("QM", "0"),
        ("QD", "250"),
        ("p", "<99>"),
        ("{host}i", "site"),
        ("{HOST}i", "site"),
        ("{x-none}i", "-"),
        ("{content-type}o", "text/html"),
        ("{Set-Cookie}o", "a,b"),
        ("{x-none}o", "-"),
        ("{REMOTE_PORT}e", "50123"),
        ("{remote_port}e", "50123"),
        ("{wsgi.url_scheme}e", "https"),
        ("{bigtop.x}e", "5"),
        ("{none}e", "-"),
    ],
)
def test_atoms(atom: str, value: str) -> None:
    assert line(f"%({atom})s") == value


def test_the_combined_format() -> None:
    of = access(
        headers=(
            (b"Referer", b"http://a/"),
            (b"User-Agent", b"curl/8"),
            (b"Authorization", b"Basic am9lOnB3"),
        )
    )
    assert line(COMBINED, of) == (
        '192.0.2.7 - joe [10/Oct/2000:06:55:36 -0700] "GET /a%20b?x=1 HTTP/1.1" 200 1234 "http://a/" "curl/8"'
    )


def test_what_is_missing() -> None:
    of = access(b"/", sent=0, address="", environ=None)
    assert line("%(h)s %(b)s %(B)s [%(q)s] %({x}e)s", of) == "- - 0 [-] -"


@pytest.mark.parametrize(
    ("value", "user"),
    [
        (b"Basic am9lOnB3", "joe"),
        (b"basic am9lOg==", "joe"),
        (b"Basic am9l", "joe"),
        (b"Basic OnB3", "-"),
        (b"Basic", "-"),
        (b"Basic !!!", "-"),
        (b"Basic am9lO", "-"),
        (b"Bearer am9lOnB3", "-"),
        (b"Basic w7w6", "\\xfc"),
        (b"Basic Igo6", '\\"\\x0a'),
    ],
)
def test_users(value: bytes, user: str) -> None:
    assert line("%(u)s", access(headers=((b"authorization", value),))) == user


def test_the_time_follows_the_access() -> None:
    format_line = compile_format("%(t)s", ZONE)
    times = [format_line(access(when=when)) for when in (971186136.1, 971186136.9, 971186137.0, 971186136.5)]
    assert [time[-9:-7] for time in times] == ["36", "36", "37", "36"]


def test_the_time_zone_of_the_system() -> None:
    assert compile_format("%(t)s")(access()).startswith("[")


def test_text_around_atoms() -> None:
    assert line("100%% %(m)s {x}i %%(m)s") == "100% GET {x}i %(m)s"
    assert line("") == ""


@pytest.mark.parametrize("atom", ["x", "", "H ", "{}i", "{host}", "{host}x", "ss"])
def test_unknown_atoms_are_named(atom: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compile_format(f"%(h)s %({atom})s")
    assert f"there is no %({atom})s" in str(caught.value)
    assert (
        "known are a B b D f H h host id L l M m msec p pid Q q QD QM r request_time request_uri s scheme "
        "ssl_cipher ssl_client_s_dn ssl_protocol ssl_server_name ssl_session_reused T t time_iso8601 "
        "time_local U u upstream_cache_status upstream_response_time and {name}i"
    ) in str(caught.value)


@pytest.mark.parametrize("text", ["a %h", "a %(h", "a %", "a %(h)d", "a %(h)-5s"])
def test_a_percent_sign_that_means_nothing(text: str) -> None:
    with pytest.raises(ConfigError, match="the % after 'a ' begins no"):
        compile_format(text)


# ---- forging

EVIL = '"\\\n\r\t\0\x7f\x85\xff" 200 - "'


@pytest.mark.parametrize("atom", ["a", "f", "{x}i", "{x}o", "{x}e", "r", "U", "q"])
def test_nothing_from_outside_forges_a_line(atom: str) -> None:
    evil = EVIL.encode("latin-1")
    of = access(
        b"/" + evil + b"?" + evil,
        headers=((b"User-Agent", evil), (b"Referer", evil), (b"X", evil)),
        environ={"x": EVIL + "\u2028"},
    )
    of.headers = [("x", EVIL)]
    shown = line(f'"%({atom})s"', of)
    assert '\\"\\\\\\x0a\\x0d\\x09\\x00\\x7f\\x85\\xff\\" 200 - \\"' in shown
    assert shown.isascii()
    assert shown.isprintable()


@given(st.binary(max_size=40))
def test_escaped_text_has_one_meaning(value: bytes) -> None:
    shown = line('"%(a)s"', access(headers=((b"user-agent", value),)))
    assert shown[1:-1].encode().decode("unicode_escape") == value.decode("latin-1")


# ---- JSON


def test_the_id_of_a_request() -> None:
    assert line("%(id)s", access(environ={"HTTP_X_REQUEST_ID": "4f"})) == "4f"
    assert line("%(id)s") == "-"
    assert json.loads(compile_json()(access(environ={"HTTP_X_REQUEST_ID": "4f"})))["request_id"] == "4f"
    assert "request_id" not in json.loads(compile_json()(access()))


def test_json() -> None:
    of = access(headers=((b"User-Agent", b"curl"),))
    assert json.loads(compile_json()(of)) == {
        "time": "2000-10-10T13:55:36.750000Z",
        "remote_addr": "192.0.2.7",
        "method": "GET",
        "path": "/a%20b",
        "query": "x=1",
        "protocol": "HTTP/1.1",
        "host": "site",
        "status": 200,
        "bytes": 1234,
        "duration_us": 1250004,
        "queue_us": 250,
        "user_agent": "curl",
        "pid": 99,
    }


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_json_is_one_line_whatever_comes(target: bytes, agent: bytes) -> None:
    written = compile_json()(access(b"/" + target, headers=((b"user-agent", agent),)))
    assert written.isascii()
    assert written.isprintable()
    assert json.loads(written)["user_agent"] == agent.decode("latin-1")


@pytest.mark.case("E20")
@pytest.mark.parametrize("divider", [" ", "|", ";", ", ", "\t "])
@pytest.mark.parametrize("atom", ["u", "a", "f", "{x}i", "{x}o", "{x}e", "id", "m"])
def test_nothing_from_outside_forges_a_field(atom: str, divider: str) -> None:
    evil = "a 200| 17 ;18, \"19'\t20"
    headers = ((b"authorization", b"Basic " + base64.b64encode(evil.encode())),)
    headers += tuple((name, evil.encode()) for name in (b"user-agent", b"referer", b"x"))
    of = access(headers=headers, environ={"x": evil, "HTTP_X_REQUEST_ID": evil})
    of.headers = [("x", evil)]
    of.request.method = "A|B"
    format_line = compile_format(f"%(h)s{divider}%({atom})s{divider}%(s)s", ZONE)
    fields = format_line(of).split(divider)
    assert (len(fields), fields[0], fields[2]) == (3, "192.0.2.7", "200")
    empty = access(headers=((b"x", b""),), environ={"x": ""})
    assert len(compile_format("%(h)s %({x}i)s %({x}e)s %(s)s", ZONE)(empty).split()) == 4


@pytest.mark.case("E20")
def test_a_user_name_with_blanks_in_the_combined_format() -> None:
    token = base64.b64encode(b'bob [10/Oct/2000] "GET / HTTP/1.1" 200 5:x')
    shown = line(COMBINED, access(headers=((b"authorization", b"Basic " + token),)))
    assert shown.split(" ")[2].startswith("bob\\x20[10/Oct/2000]\\x20")
    assert shown.count(' "GET /') == 1


def test_what_tls_agreed_on() -> None:
    text = "%(ssl_protocol)s %(ssl_cipher)s %(ssl_server_name)s %(ssl_session_reused)s"
    assert line(text) == "- - - -"
    session = TlsSession("TLSv1.3", "TLS_AES_256_GCM_SHA384", 0x1302, "shop.example", True)
    assert line(text, access(session=session)) == "TLSv1.3 TLS_AES_256_GCM_SHA384 shop.example r"
    session = session._replace(name="", resumed=False)
    assert line(text, access(session=session)) == "TLSv1.3 TLS_AES_256_GCM_SHA384 - ."
    told = json.loads(compile_json()(access(session=session)))
    assert told["ssl_protocol"] == "TLSv1.3"
    assert "ssl_server_name" not in told
    session = session._replace(client=ClientCertificate("CN=a b,O=c", "a b", "", "", ""))
    assert (
        line('%(ssl_client_s_dn)s "%(ssl_client_s_dn)s"', access(session=session))
        == 'CN=a\\x20b,O=c "CN=a b,O=c"'
    )
    assert "ssl_protocol" not in json.loads(compile_json()(access()))
