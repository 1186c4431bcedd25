# ClientHello: what real clients say, at every cut and in any records; what is no TLS; what makes no sense.

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.http.clients.clienthello import ALIEN, MOST, SHORT, Hello, hello_of


def said(name: str | None, alpn: list[str], version: ssl.TLSVersion) -> bytes:
    """Return what Python's ssl says first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = version
    if alpn:
        context.set_alpn_protocols(alpn)
    sent = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return sent.read()


PLAIN = said("www.example.com", ["h2", "http/1.1"], ssl.TLSVersion.TLSv1_3)
EXPECTED = Hello("www.example.com", (b"h2", b"http/1.1"))


def block(size: int, data: bytes) -> bytes:
    return len(data).to_bytes(size, "big") + data


def extension(kind: int, data: bytes) -> bytes:
    return kind.to_bytes(2, "big") + block(2, data)


def made(*extensions: bytes, session: bytes = b"") -> bytes:
    body = b"\3\3" + bytes(32) + block(1, session) + block(2, b"\x13\x01") + block(1, b"\0")
    body += block(2, b"".join(extensions))
    return b"\1" + block(3, body)


def names(*of: tuple[int, bytes]) -> bytes:
    return extension(0, block(2, b"".join(bytes([kind]) + block(2, name) for kind, name in of)))


def records(message: bytes, size: int = 16384) -> bytes:
    pieces = [message[at : at + size] for at in range(0, len(message), size)]
    return b"".join(b"\x16\3\1" + block(2, piece) for piece in pieces)


def message_of(hello: bytes) -> bytes:
    assert len(hello) == 5 + int.from_bytes(hello[3:5], "big"), "one record"
    return hello[5:]


# ---- what real clients say


def test_python() -> None:
    assert hello_of(PLAIN) == EXPECTED
    old = said("a.example", [], ssl.TLSVersion.TLSv1_2)
    assert hello_of(old) == Hello("a.example", ())
    assert hello_of(said(None, ["acme-tls/1"], ssl.TLSVersion.TLSv1_3)) == Hello("", (b"acme-tls/1",))
    # An address is no name: it is not sent, and would not count.
    assert hello_of(said("192.0.2.1", [], ssl.TLSVersion.TLSv1_3)) == Hello("", ())


@cache
def first_words(program: str) -> bytes:
    """Return what a program says to a server that says nothing."""
    if shutil.which(program) is None:
        pytest.skip(f"needs {program} (apt install {program})")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        host, port = listener.getsockname()
        command = {
            "openssl": f"openssl s_client -connect {host}:{port} -servername Shop.Example -alpn http/1.1",
            "curl": f"curl -sk --http1.1 --connect-to shop.example:443:{host}:{port} https://shop.example/",
        }[program]
        client = subprocess.Popen(command.split(), stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(30)
                data = b""
                while hello_of(data) is SHORT:
                    piece = connection.recv(65536)
                    assert piece
                    data += piece
        finally:
            client.kill()
            client.communicate()
    return data


@pytest.mark.parametrize("program", ["openssl", "curl"])
def test_programs(program: str) -> None:
    hello = hello_of(first_words(program))
    assert isinstance(hello, Hello)
    assert (hello.name, hello.alpn) == ("shop.example", (b"http/1.1",))


# ---- how it comes


def test_every_cut() -> None:
    for end in range(len(PLAIN)):
        assert hello_of(PLAIN[:end]) is SHORT, end
    assert hello_of(PLAIN + b"what follows") == EXPECTED


@given(st.integers(9, 600))
def test_any_records(size: int) -> None:
    divided = records(message_of(PLAIN), size)
    assert hello_of(divided) == EXPECTED
    for end in range(len(divided)):
        assert hello_of(divided[:end]) is SHORT


@pytest.mark.parametrize("size", [1700, 9000, 16200])
def test_large_ones(size: int) -> None:
    """A key share for X25519MLKEM768 alone has 1216 bytes."""
    large = records(made(extension(51, bytes(size)), names((0, b"shop.example"))), 1500)
    assert hello_of(large[: MOST - 1]) == Hello("shop.example", ())
    assert hello_of(large[:1600]) is SHORT


def test_what_is_too_long_says_nothing() -> None:
    endless = records(made(extension(51, bytes(30_000)), names((0, b"shop.example"))))
    assert hello_of(endless[: MOST - 1]) is SHORT
    assert hello_of(endless[:MOST]) == Hello()
    assert hello_of(records(message_of(PLAIN), 1)) == Hello(), "hundreds of records"


# ---- what else it may be


NO_TLS = (
    *(b"GET / HTTP/1.1\r\n\r\n", b"\x80\x2e\1", b"\0", b"\x15\3"),
    *(b"\x16\4", b"\x16\3\1\0\0", b"\x16\3\1\0\4\2"),
)


@pytest.mark.parametrize("data", NO_TLS)
def test_no_tls(data: bytes) -> None:
    assert hello_of(data) is ALIEN
    assert hello_of(b"") is SHORT


def test_names() -> None:
    for name, expected in (
        (b"Shop.Example.", "shop.example"),
        (b"xn--bcher-kva.example", "xn--bcher-kva.example"),
        (b"a_b.example", "a_b.example"),
        (b"a b", ""),
        (b"a\r\nb", ""),
        (b"..", ""),
        (b"\xff.example", ""),
        (b"a." * 127 + b"aa", ""),
    ):
        hello = hello_of(records(made(names((0, name)))))
        assert isinstance(hello, Hello)
        assert hello.name == expected
    assert hello_of(records(made(names((7, b"what"), (0, b"b.example"))))) == Hello("b.example", ())


def test_before_extensions() -> None:
    body = b"\3\2" + bytes(32) + block(1, b"") + block(2, b"\0\x2f") + block(1, b"\0")
    assert hello_of(records(b"\1" + block(3, body))) == Hello("", ())


def test_what_is_said_again_is_what_was_said() -> None:
    """Extensions whose bytes, one behind the other, are those of others."""
    shop, h2 = names((0, b"shop.example")), extension(16, block(2, block(1, b"h2")))
    inside = names((0, b"a"), (7, h2))
    for _ in range(2):
        assert hello_of(records(made(shop, h2))) == Hello("shop.example", (b"h2",))
        assert hello_of(records(made(h2, shop))) == Hello("shop.example", (b"h2",))
        assert hello_of(records(made(shop))) == Hello("shop.example")
        assert hello_of(records(made(h2))) == Hello("", (b"h2",))
        assert hello_of(records(made(inside))) == Hello("a")
        assert hello_of(records(made(inside, h2))) == Hello("a", (b"h2",))
    for number in range(2000):
        assert hello_of(records(made(names((0, b"%d.example" % number))))) == Hello(f"{number}.example")


@given(st.data())
def test_nonsense_is_left_to_others(data: st.DataObject) -> None:
    """Whatever is changed inside a Hello, something is said about it, and all of the length counts."""
    message = bytearray(message_of(PLAIN))
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(4, len(message) - 1))
        message[at] = data.draw(st.integers(0, 255))
    assert isinstance(hello_of(records(bytes(message))), Hello)
    end = data.draw(st.integers(4, len(message) - 1))
    cut = b"\1" + block(3, bytes(message[4:end]))
    assert isinstance(hello_of(records(cut)), Hello)


@given(st.binary(max_size=200))
def test_anything(data: bytes) -> None:
    found = hello_of(data)
    assert found is SHORT or found is ALIEN or isinstance(found, Hello)
    if found is ALIEN:
        assert hello_of(data + b"more") is ALIEN
