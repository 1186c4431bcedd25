# Who is let in, by numbers and texts alone: networks, rates, credentials and files of these.

from __future__ import annotations

import ipaddress
import re
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.errors import ProtocolError
from bigtop.http.answers.static import is_place
from bigtop.http.clients.forwarded import Forwarding, Trust
from bigtop.http.clients.peer import BasePeer
from bigtop.http.declarations import Rate
from bigtop.http.engine import Engine
from bigtop.http.gates.canonical import CanonicalHost
from bigtop.http.gates.credentials import Credentials, challenge, credentials_of, users_of
from bigtop.http.gates.networks import Networks, listed
from bigtop.http.gates.rates import SECOND, depth_of, price_of, retry_after, told
from bigtop.http.limits import Limits
from bigtop.http.messages import Request
from bigtop.http.paths.body_limits import body_limit

BCRYPT = "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"
SHA256 = "$5$rounds=1000$salt$CCvcOM6b7TEJDPb37Aec/9UpOg4QhPNAxPpL9ZzjTB7"
SHA512 = "$6$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRstiNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiOQSpT0Y77vwPZN.Pq.H91p5hVO1"

# ---- networks


@pytest.mark.parametrize(
    ("address", "texts", "is_in"),
    [
        ("10.1.2.3", ("10.0.0.0/8",), True),
        ("11.1.2.3", ("10.0.0.0/8",), False),
        ("10.1.2.3", ("10.1.2.3",), True),
        ("::ffff:10.1.2.3", ("10.0.0.0/8",), True),
        ("2001:db8::1", ("2001:db8::/32",), True),
        ("2001:db9::1", ("2001:db8::/32", "10.0.0.0/8"), False),
        ("fe80::1%eth0", ("fe80::/10",), True),
        ("1.2.3.4", ("0.0.0.0/0",), True),
        ("::1", ("0.0.0.0/0",), False),
        ("", ("0.0.0.0/0", "::/0"), False),
        ("_hidden", ("0.0.0.0/0",), False),
        ("_hidden", ("*",), True),
        ("1.2.3.4", (), False),
    ],
)
def test_an_address_is_in_networks(address: str, texts: tuple[str, ...], is_in: bool) -> None:
    networks = Networks(texts)
    assert [address in networks for _ in range(2)] == [is_in] * 2


ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))


@given(st.lists(st.tuples(ADDRESSES, st.integers(0, 128))), ADDRESSES)
def test_networks_are_those_of_the_standard_library(
    pairs: list[tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]],
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    texts = [f"{one}/{min(bits, one.max_prefixlen)}" for one, bits in pairs]
    plain = getattr(address, "ipv4_mapped", None) or address
    expected = any(plain in ipaddress.ip_network(text, strict=False) for text in texts)
    assert (str(address) in Networks(texts)) == expected


def test_a_file_of_networks() -> None:
    assert listed("# all\n10.0.0.0/8 # near\n\n::1\r\n*\n") == ("10.0.0.0/8", "::1", "*")
    with pytest.raises(ValueError, match=r"^3: must be an IP address.*got '10.0.0.0/33'$"):
        listed("::1\n\n10.0.0.0/33\n")


# ---- rates


@pytest.mark.parametrize(
    ("rate", "used", "left", "seconds", "retry"),
    [
        (Rate(10, 1), 0, 10, 0, "1"),
        (Rate(10, 1), 10, 0, 1, "1"),
        (Rate(60, 60), 1, 59, 1, "1"),
        (Rate(60, 60), 60, 0, 60, "1"),
        (Rate(5, 60), 5, 0, 60, "12"),
        (Rate(1, 3600), 1, 0, 3600, "3600"),
        (Rate(3, 1), 3, 0, 1, "1"),
    ],
)
def test_a_client_is_told_what_it_has_left(
    rate: Rate, used: int, left: int, seconds: int, retry: str
) -> None:
    until_full = used * price_of(rate)
    assert told(rate, until_full) == [
        ("RateLimit-Policy", f'"address";q={rate.requests};w={rate.seconds}'),
        ("RateLimit", f'"address";r={left};t={seconds}'),
    ]
    assert retry_after(rate, until_full) == retry


@given(st.integers(1, 1_000_000), st.sampled_from([1, 60, 3600, 86400]), st.integers(0, 10**15))
def test_who_comes_again_when_he_is_told_to_is_let_in(requests: int, seconds: int, until_full: int) -> None:
    rate = Rate(requests, seconds)
    until_full = min(until_full, depth_of(rate))
    later = until_full - int(retry_after(rate, until_full)) * SECOND
    assert max(later, 0) + price_of(rate) <= depth_of(rate)


# ---- credentials


def field(text: bytes, scheme: bytes = b"Basic") -> list[tuple[bytes, bytes]]:
    return [(b"Authorization", scheme + b" " + b64encode(text))]


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        (field(b"anna:secret"), Credentials("anna", b"secret")),
        (field(b"anna:", b"bASIC"), Credentials("anna", b"")),
        (field("änna:ß:x".encode()), Credentials("änna", "ß:x".encode())),
        ([(b"AUTHORIZATION", b"basic  YTpi ")], Credentials("a", b"b")),
        (field(b"anna"), None),
        (field(b":secret"), None),
        (field(b"an\nna:secret"), None),
        (field(b"anna:se\0cret"), None),
        (field(b"\xff:secret"), None),
        (field(b"anna:secret", b"Bearer"), None),
        (field(b"a:" + b"x" * 2000), None),
        (field(b"anna:secret") * 2, None),
        ([(b"Authorization", b"Basic YTpi!")], None),
        ([(b"Authorization", b"Basic")], None),
        ([], None),
    ],
)
def test_what_a_request_says(headers: list[tuple[bytes, bytes]], found: Credentials | None) -> None:
    assert credentials_of(headers) == found


@given(st.binary(max_size=60))
def test_no_field_breaks_the_reader(value: bytes) -> None:
    for text in (value, b"Basic " + value, b"Basic " + b64encode(value)):
        found = credentials_of([(b"authorization", text)])
        assert found is None or b64encode(found.user.encode() + b":" + found.password) in text


def test_a_file_of_users() -> None:
    text = f"# who\nanna:{BCRYPT}\n\n  bert:{SHA256}\r\ncarl:{SHA512}\n"
    assert users_of(text) == {"anna": BCRYPT, "bert": SHA256, "carl": SHA512}
    assert users_of("") == {}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("anna", "must be NAME:HASH"),
        (":x", "must be NAME:HASH"),
        (
            "x:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=",
            "is hashed with SHA-1 without salt, which is",
        ),
        ("x:$apr1$2vVb4t7y$abc", "is hashed with MD5, as Apache has it, which is quickly guessed"),
        ("x:$1$2vVb4t7y$abc", "is hashed with MD5, which"),
        ("x:secret", "is of no kind that is taken"),
        ("x:", "is of no kind that is taken"),
        (f"x:{BCRYPT[:-1]}", "is of no kind that is taken"),
        (f"x:{BCRYPT.replace('$04', '$31')}", "has a cost of 31: from 04 to 16"),
        (f"x:{SHA512[:-43]}", "is cut off"),
        (f"x:{SHA256.replace('1000', '999999999')}", "has more than 5000000 rounds"),
        (f"a:{BCRYPT}", "a is there twice"),
    ],
)
def test_what_is_wrong_in_such_a_file(line: str, problem: str) -> None:
    with pytest.raises(ValueError, match=f"^2: .*{re.escape(problem)}"):
        users_of(f"a:{BCRYPT}\n{line}\n")


def test_browsers_are_asked_for_a_password() -> None:
    assert challenge("the shop") == ("WWW-Authenticate", 'Basic realm="the shop", charset="UTF-8"')


# ---- canonical hosts


def redirected(
    host: str, rules: tuple[str, ...], target: bytes = b"/a?b", scheme: str = "http"
) -> str | None:
    request = Request("GET", target)
    request.headers = [(b"Host", host.encode())] if host else []
    peer = BasePeer(("192.0.2.1", 1), Forwarding(Trust(()), ("for",)), scheme)
    reply = CanonicalHost(rules).handle(request, peer, 0)
    if reply is None:
        return None
    assert reply.head.code == 308
    return dict(reply.headers)["Location"]


@pytest.mark.parametrize(
    ("host", "rules", "location"),
    [
        ("example.com", ("www.example.com",), "http://www.example.com/a?b"),
        ("EXAMPLE.com.:8000", ("www.example.com",), "http://www.example.com/a?b"),
        ("www.example.com", ("www.example.com",), None),
        ("WWW.example.com.:8000", ("www.example.com",), None),
        ("10.0.0.1", ("www.example.com:8443",), "http://www.example.com:8443/a?b"),
        ("www.example.com:1", ("www.example.com:8443",), None),
        ("", ("www.example.com",), None),
        ("a.example", ("a.example=b.example",), "http://b.example/a?b"),
        ("c.example", ("a.example=b.example",), None),
        ("c.example", ("a.example=b.example", "d.example"), "http://d.example/a?b"),
        ("b.example", ("a.example=b.example", "d.example"), None),
    ],
)
def test_other_names_lead_to_the_one_of_the_site(
    host: str, rules: tuple[str, ...], location: str | None
) -> None:
    assert redirected(host, rules) == location


def test_the_way_and_the_place_stay_as_they_are() -> None:
    assert redirected("x", ("y",), b"http://x/a/b?c=//d", "https") == "https://y/a/b?c=//d"
    assert redirected("x", ("y",), b"//evil.example/") == "http://y//evil.example/"


# ---- limits of bodies, places of one page


def test_a_body_may_be_as_large_as_its_path_allows() -> None:
    limits = Limits(body=10, body_for=(("/upload/", 0), ("/upload/small", 5)))
    assert [body_limit(limits, target) for target in (b"/", b"/uploads", b"/upload", b"/upload/x")] == [
        *(10, 10, 0, 0)
    ]
    assert body_limit(limits, b"/%75pload/small/") == 5
    assert body_limit(Limits(body=7), b"/../") == 7
    with pytest.raises(ProtocolError):
        body_limit(limits, b"/upload/../")


def feed(data: bytes, limits: Limits) -> int:
    engine = Engine(limits)
    engine.feed(data)
    return 0 if engine.error is None else engine.error.status


@pytest.mark.parametrize(
    ("path", "size", "status"), [("/", 11, 413), ("/", 10, 0), ("/x", 11, 0), ("/x", 21, 413)]
)
def test_an_engine_heeds_that(path: str, size: int, status: int) -> None:
    limits = Limits(body=10, body_for=(("/x", 20),))
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\n"
    body = b"b" * size
    assert feed(f"{head}Content-Length: {size}\r\n\r\n".encode() + body, limits) == status
    chunks = f"{head}Transfer-Encoding: chunked\r\n\r\n{size:x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
    assert feed(chunks, limits) == status


@pytest.mark.parametrize(
    ("target", "is_one"),
    [
        (b"/", True),
        (b"/orders/7", True),
        (b"/orders/7?x=a.b", True),
        (b"/v1.2/orders", True),
        (b"/assets/old-1234.js", False),
        (b"/a%2Ejs", False),
        (b"/a%2ejs", False),
        (b"/.env", False),
    ],
)
def test_a_place_of_an_application_of_one_page_has_no_dot(target: bytes, is_one: bool) -> None:
    assert is_place(target) == is_one
