# The native servers behind TLS: what they do with a plain socket, and what there is besides.

from __future__ import annotations

import hashlib
import json
import os
import select
import shutil
import socket
import ssl
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from bigtop.backends.native.timeouts import LAST_REQUEST
from bigtop.backends.native.transport import openssl
from bigtop.backends.serve_options import Gates, ServeOptions, TlsPolicy
from bigtop.http.declarations import Mount, Route
from bigtop.http.limits import Limits
from bigtop.ipc.keyring import Keyring
from bigtop.ipc.scoreboard import Word
from bigtop.ipc.seats import Seat, SeatState
from tests.support.backend_server import BackendServer, SharedServers, Steps, eventually, in_time
from tests.support.certificates import issued, made, ring
from tests.support.secure_websocket import SecureWebSocket
from tests.support.tls_client import Relayed, TlsClient, context
from tests.support.wire import UPGRADE, Client, Closed, request

KINDS = {
    "wsgi": "tests.apps.conformance:wsgi",
    "gevent": "tests.apps.conformance:wsgi",
    "asgi": "tests.apps.conformance:asgi",
}
ALL = pytest.mark.parametrize("kind", KINDS)
TOLD = {"wsgi": "tests.apps.tls:wsgi", "gevent": "tests.apps.tls:wsgi", "asgi": "tests.apps.tls:asgi"}
QUICK = ServeOptions(limits=Limits(handshake_timeout=0.5))


def server(
    kind: str,
    options: ServeOptions | None = None,
    *,
    app: str = "",
    keyring: Keyring | None = None,
    siblings: int = 0,
    routes: tuple[tuple[Route, int], ...] = (),
    unix: str | None = None,
) -> BackendServer:
    return BackendServer(
        app or KINDS[kind],
        options,
        backend=kind,
        keyring=keyring or ring(),
        siblings=siblings,
        routes=routes,
        unix=unix,
    )


Shared = Callable[..., AbstractContextManager[BackendServer]]


@pytest.fixture(scope="module")
def servers() -> Iterator[SharedServers]:
    with SharedServers() as servers:
        yield servers


@pytest.fixture
def shared(servers: SharedServers) -> Shared:
    """server() for tests that leave it as it was."""

    def of(kind: str, app: str = "") -> AbstractContextManager[BackendServer]:
        return servers.of(app or KINDS[kind], backend=kind, keyring=ring())

    return of


def tried(attempt: Callable[[Steps], None]) -> Callable[[Steps], None]:
    """Have in_time() know a handshake that was cut off for a connection that was."""

    def ask(step: Steps) -> None:
        try:
            attempt(step)
        except ssl.SSLError as error:
            raise ConnectionError from error

    return ask


# ---- the same as without


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@ALL
def test_one_connection_for_many_requests(kind: str, version: str) -> None:
    with server(kind) as subject, TlsClient(subject.address, by=context(version=version)) as client:
        for _ in range(5):
            assert client.get("/hello").body == b"hello\n"
        client.send(request("/hello") * 5)
        for _ in range(5):
            assert client.answer().body == b"hello\n"
        client.send(b"nonsense\r\n\r\n")
        assert client.answer().status == 400
        assert client.at_end(), "and that was announced"
        eventually(lambda: subject.word(Word.REQUESTS) >= 10)


@ALL
def test_large_bodies(kind: str, shared: Shared) -> None:
    body = os.urandom(3_000_000)
    with shared(kind) as subject, TlsClient(subject.address, 65536) as client:
        for _ in range(2):
            assert client.post("/echo", body).body == body
        assert client.get("/big").body == b"b" * (4 << 20)
        assert client.get("/stream").body == b"x" * 50_000
        assert client.get("/hello").status == 200


@pytest.mark.parametrize("kind", ["wsgi", "gevent"])
def test_a_body_that_is_read_as_it_comes(kind: str) -> None:
    body = os.urandom(3_000_000)
    options = ServeOptions(stream_bodies=("/echo",))
    with server(kind, options) as subject, TlsClient(subject.address) as client:
        assert client.post("/echo", body).body == body


@ALL
def test_files(kind: str, tmp_path: Path) -> None:
    data = os.urandom(3_000_000)
    (tmp_path / "large").write_bytes(data)
    options = ServeOptions(static=(Mount("/s/", str(tmp_path)),))
    with server(kind, options) as subject, TlsClient(subject.address, 65536) as client:
        for _ in range(2):
            assert hashlib.sha256(client.get("/s/large").body).digest() == hashlib.sha256(data).digest()
        assert client.get("/s/large", "Range: bytes=5-9").body == data[5:10]


@ALL
def test_a_client_that_leaves_in_the_middle(kind: str, shared: Shared) -> None:
    with shared(kind) as subject:
        with TlsClient(subject.address, 65536) as client:
            client.send(request("/big"))
            client.socket.recv(1)
        with TlsClient(subject.address) as client:
            client.send(request("/echo", "Content-Length: 100000", method="POST") + b"begun")
        eventually(lambda: subject.word(Word.BUSY) == 0)
        with TlsClient(subject.address) as client:
            assert client.get("/hello").body == b"hello\n"


@ALL
def test_over_a_unix_socket(kind: str, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with server(kind, unix=path) as subject, TlsClient(path) as client:
        assert client.get("/hello").body == b"hello\n"
        assert subject.process.poll() is None


@ALL
def test_who_does_not_read_holds_nobody_up(kind: str) -> None:
    with (
        server(kind) as subject,
        TlsClient(subject.address, 4096) as slow,
        TlsClient(subject.address) as quick,
    ):
        slow.send(request("/big"))
        for _ in range(5):
            assert quick.get("/hello").body == b"hello\n"
        assert slow.answer().body == b"b" * (4 << 20)


def test_who_waits_for_a_busy_worker_is_answered_by_it() -> None:
    """Nobody else can: the connections are open, and stay."""
    with server("wsgi", siblings=1) as subject, ExitStack() as opened:
        busy, *others = [opened.enter_context(TlsClient(subject.address)) for _ in range(5)]
        for one in (busy, *others):
            assert one.get("/hello").status == 200
        subject.play(SeatState.READY)
        gate = subject.hold(busy)
        for one in others:
            one.send(request("/hello"))
        eventually(lambda: subject.word(Word.WAITING) == len(others))
        gate.open()
        assert busy.answer().status == 200
        for one in others:
            assert one.answer().body == b"hello\n"
        assert subject.sibling.take() is None


# ---- what the application is told


@ALL
def test_the_application_knows(kind: str, shared: Shared) -> None:
    with shared(kind, app=TOLD[kind]) as subject, TlsClient(subject.address) as client:
        told = json.loads(client.get("/").body)
        cipher = client.tls.cipher()
    assert cipher is not None
    if kind == "asgi":
        numbers = {"TLS_AES_256_GCM_SHA384": 0x1302, "TLS_AES_128_GCM_SHA256": 0x1301}
        assert told["scheme"] == "https"
        assert told["tls"] == {
            "server_cert": None,
            "client_cert_chain": [],
            "client_cert_name": None,
            "client_cert_error": None,
            "tls_version": 0x0304,
            "cipher_suite": numbers[cipher[0]],
        }
    else:
        assert told == {
            "wsgi.url_scheme": "https",
            "HTTPS": "on",
            "SSL_PROTOCOL": "TLSv1.3",
            "SSL_CIPHER": cipher[0],
            "SSL_TLS_SNI": "localhost",
            "SSL_SESSION_RESUMED": "Initial",
            "SSL_CLIENT_VERIFY": "NONE",
        }


def test_websockets(shared: Shared) -> None:
    with shared("asgi", app=TOLD["asgi"]) as subject, TlsClient(subject.address) as client:
        client.send(request("/", *UPGRADE))
        assert client.answer().status == 101
        frames = client.rest()
        told = json.loads(frames[frames.index(b"{") : frames.rindex(b"}") + 1])
        assert told["scheme"] == "wss"
        assert told["tls"]["tls_version"] == 0x0304


def test_a_drain_tells_websockets_to_come_again() -> None:
    with BackendServer("tests.apps.asgi_basic:app", backend="asgi", keyring=ring()) as subject:
        with SecureWebSocket(subject.address[1], "/echo") as client:
            client.send("hello")
            assert client.recv(30) == "hello"
            subject.drain()
            with pytest.raises(ConnectionClosed):
                client.recv(30)
            assert client.close_code == 1012
        assert subject.wait() == 0


# ---- names


SHOP, WILD = ("shop.example",), ("*.shop.example", "other.example")


def served(subject: BackendServer, name: str, **kwargs: str) -> str:
    """Return which certificate a client gets, by its first name."""
    pairs = [made(*SHOP), made(*WILD), made(*SHOP, kind="RSA")]
    by = context(*pairs, version=kwargs.get("version", "1.3"))
    by.check_hostname = False
    if "ciphers" in kwargs:
        by.set_ciphers(kwargs["ciphers"])
    with TlsClient(subject.address, name=name, by=by) as client:
        assert client.get("/hello").status == 200
        der = client.tls.getpeercert(binary_form=True)
        cipher = client.tls.cipher()
        assert der is not None
        assert cipher is not None
        kinds = {ssl.PEM_cert_to_DER_cert(pair.certificate): pair.origin for pair in pairs}
        return f"{kinds[der]} {'RSA' if 'RSA' in cipher[0] else ''}".strip()


@ALL
def test_certificates_by_name(kind: str) -> None:
    with server(kind, keyring=ring(made(*SHOP), made(*WILD), made(*SHOP, kind="RSA"))) as subject:
        assert served(subject, "shop.example") == "shop.example"
        assert served(subject, "SHOP.example") == "shop.example"
        assert served(subject, "a.shop.example") == "*.shop.example"
        assert served(subject, "other.example") == "*.shop.example"
        assert served(subject, "a.b.shop.example") == "shop.example", "the first one, for want of a better"
        assert served(subject, "elsewhere.example") == "shop.example"
        assert served(subject, "shop.example", version="1.2", ciphers="aRSA") == "shop.example RSA"


@ALL
def test_unknown_names_are_refused(kind: str) -> None:
    options = ServeOptions(tls=TlsPolicy(unknown_name="refuse"))
    with server(kind, options, keyring=ring(made(*SHOP))) as subject:
        with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"):
            served(subject, "elsewhere.example")
        by = context(made(*SHOP))
        by.check_hostname = False
        with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"):
            TlsClient(subject.address, name=None, by=by)
        assert served(subject, "shop.example") == "shop.example"


@ALL
def test_versions_and_ciphers(kind: str) -> None:
    with server(kind, ServeOptions(tls=TlsPolicy(minimum="1.3"))) as subject:
        with pytest.raises(ssl.SSLError, match=r"(?i)protocol.version"):
            TlsClient(subject.address, by=context(version="1.2"))
        with TlsClient(subject.address) as client:
            assert client.get("/hello").status == 200
    old, options = context(version="1.2"), ServeOptions(tls=TlsPolicy(ciphers="ECDHE+CHACHA20"))
    with server(kind, options) as subject, TlsClient(subject.address, by=old) as client:
        cipher = client.tls.cipher()
        assert cipher is not None
        assert "CHACHA20" in cipher[0]


# ---- certificates of clients


def told_of(subject: BackendServer, by: ssl.SSLContext, session: ssl.SSLSession | None = None) -> Any:
    """Return what the application is told, and the session."""
    with TlsClient(subject.address, by=by, session=session) as client:
        told = json.loads(client.get("/", "SSL-Client-Verify: SUCCESS").body)
        return told, client.tls.session, client.tls.session_reused


RESET = struct.pack("ii", 1, 0)
REFUSALS = (ssl.SSLError, ConnectionResetError, BrokenPipeError, Closed)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@ALL
def test_clients_show_certificates(kind: str, version: str) -> None:
    authority, stranger = made("authority.example"), made("stranger.example")
    own = issued(authority, "/O=Shop, Ltd/CN=one")
    good, without = context(own=own, version=version), context(version=version)
    bad = context(own=issued(stranger, "/CN=two"), version=version)
    keyring = ring(client_ca=authority.certificate)
    with server(kind, app=TOLD[kind], keyring=keyring) as subject:
        for refused in (without, bad):
            with pytest.raises(REFUSALS):
                told_of(subject, refused)
        told, session, _ = told_of(subject, good)
        again, _, resumed = told_of(subject, good, session)
        assert resumed
    if kind == "asgi":
        assert told["tls"]["client_cert_name"] == "CN=one,O=Shop\\, Ltd"
        assert told["tls"]["client_cert_chain"] == [own.certificate]
        assert again["tls"]["client_cert_name"] == told["tls"]["client_cert_name"]
    else:
        assert told["SSL_CLIENT_VERIFY"] == again["SSL_CLIENT_VERIFY"] == "SUCCESS"
        assert told["SSL_CLIENT_S_DN"] == "CN=one,O=Shop\\, Ltd"
        assert told["SSL_CLIENT_S_DN_CN"] == "one"
        assert told["SSL_CLIENT_I_DN"] == "CN=authority.example"
        assert told["SSL_CLIENT_CERT"] == own.certificate
    options = ServeOptions(tls=TlsPolicy(client_auth="optional"))
    with server(kind, options, app=TOLD[kind], keyring=keyring) as subject:
        told, _, _ = told_of(subject, without)
        assert "one" not in json.dumps(told)
        told, _, resumed = told_of(subject, good, session)
        assert not resumed, "who was let in by other rules begins anew"
        with pytest.raises(REFUSALS):
            told_of(subject, bad)


# ---- handshakes as they should not be


def is_left(client: Client) -> bool:
    """Wait for the end, which is a reset where something was not read; whether nothing came before it."""
    try:
        return client.at_end()
    except ConnectionResetError:
        return True


@ALL
def test_plain_http_gets_an_answer_that_helps(kind: str, shared: Shared) -> None:
    with shared(kind) as subject, subject.connect() as client:
        client.send(request("/hello"))
        answer = client.answer()
        assert answer.status == 400
        assert b"https://" in answer.body
        assert client.at_end()
        with subject.connect() as other:
            other.send(b"\x80nonsense")
            assert is_left(other)
        with subject.connect() as third:
            third.send(b"\x16\3\1\0\5\1\0\0\1\0")  # a Hello of one byte
            assert b"\x15\3" in third.rest(), "an alert"


@ALL
def test_a_hello_in_pieces(kind: str, shared: Shared) -> None:
    with shared(kind) as subject, subject.connect() as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        relayed = Relayed()
        hello = relayed.hello()
        for at in range(len(hello)):
            client.send(hello[at : at + 1])
        relayed.shake_hands(client)
        relayed.tls.write(request("/hello"))
        client.send(relayed.out())
        answer = b""
        while not answer.endswith(b"hello\n"):
            answer += relayed.read(client)


@ALL
def test_half_a_hello_costs_no_time(kind: str, shared: Shared) -> None:
    """Whoever waits for the rest waits: it does not look again and again."""
    with shared(kind) as subject:
        before = cpu(subject)
        with subject.connect() as client, TlsClient(subject.address) as other:
            client.send(Relayed().hello()[:100])
            deadline = time.monotonic() + 1
            while time.monotonic() < deadline:
                assert other.get("/hello").status == 200
                assert not select.select([client.socket], [], [], 0.1)[0]
        assert cpu(subject) - before < 0.5


def cpu(subject: BackendServer) -> float:
    fields = Path(f"/proc/{subject.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@ALL
def test_a_handshake_has_its_time(kind: str) -> None:
    half = Relayed().hello()[:100]

    def ask(step: Steps) -> None:
        with server(kind, QUICK) as subject, ExitStack() as stack:
            stopped = [stack.enter_context(subject.connect()) for _ in range(20)]
            for number, client in enumerate(stopped):
                client.send((b"", half, Relayed().hello())[number % 3])
            step()
            with TlsClient(subject.address) as client:
                step()
                assert client.get("/hello").status == 200, "they hold nobody up"
                for one in stopped:
                    with suppress(ConnectionResetError):
                        one.rest()
                assert client.get("/hello").status == 200, "with its handshake over, a client may be idle"
            eventually(lambda: subject.word(Seat.CONNECTIONS) == 0)

    in_time(QUICK.limits.handshake_timeout, tried(ask))


@ALL
def test_a_flood_of_handshakes_leaves_nothing_behind(kind: str, shared: Shared) -> None:
    """Clients that make the server compute, and go; some at once, some when it has answered."""
    with shared(kind) as subject:
        with TlsClient(subject.address) as client:
            for number in range(200):
                with subject.connect() as one:
                    one.send(Relayed().hello())
                    if number % 2:
                        assert one.socket.recv(1) == b"\x16"
                    if number % 3:
                        one.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                if number % 20 == 0:
                    assert client.get("/hello").status == 200, "they hold nobody up"
        eventually(lambda: subject.word(Seat.CONNECTIONS) == 0)
        descriptors = len(os.listdir(f"/proc/{subject.process.pid}/fd"))
        with TlsClient(subject.address) as client:
            assert client.get("/hello").status == 200
            assert len(os.listdir(f"/proc/{subject.process.pid}/fd")) <= descriptors + 1


@ALL
def test_a_hello_that_ends_in_the_middle(kind: str, shared: Shared) -> None:
    with shared(kind) as subject:
        for data in (Relayed().hello()[:100], Relayed().hello()):
            with subject.connect() as client:
                client.send(data)
                client.socket.shutdown(socket.SHUT_WR)
                with suppress(ConnectionResetError):
                    client.rest()
        with TlsClient(subject.address) as client:
            assert client.get("/hello").status == 200


@ALL
def test_handshakes_count_as_connections(kind: str) -> None:
    options = ServeOptions(gates=Gates(connections=2), forwarded_allow_ips=())
    with server(kind, options) as subject, subject.connect() as first, subject.connect() as second:
        eventually(lambda: subject.word(Seat.CONNECTIONS) == 2)
        with subject.connect() as third:
            assert third.at_end()
        assert not first.is_answered()
        second.close()
        eventually(lambda: subject.word(Seat.CONNECTIONS) == 1)
        with TlsClient(subject.address) as fourth:
            assert fourth.get("/hello").status == 200


@ALL
def test_records_of_one_byte(kind: str, shared: Shared) -> None:
    with shared(kind) as subject, subject.connect() as client:
        relayed = Relayed()
        client.send(relayed.hello())
        relayed.shake_hands(client)
        body = os.urandom(3000)
        for byte in request("/echo", f"Content-Length: {len(body)}", method="POST") + body:
            relayed.tls.write(bytes([byte]))
        client.send(relayed.out())
        answer = b""
        while not answer.endswith(body):
            answer += relayed.read(client)


def test_records_of_answers(shared: Shared) -> None:
    """The first one of a long answer is small, so that a client can begin with it early."""
    with shared("wsgi") as subject, subject.connect() as client:
        relayed = Relayed()
        client.send(relayed.hello())
        relayed.shake_hands(client)
        relayed.tls.write(request("/big"))
        client.send(relayed.out())
        data = b""
        while len(data) < 100_000:
            data += client.socket.recv(65536)
        sizes = []
        while len(data) > 5:
            size = int.from_bytes(data[3:5], "big")
            sizes.append(size)
            data = data[5 + size :]
        large = [size for size in sizes if size > 1000]  # without tickets
        assert large[0] <= 4096 + 256
        assert 16384 <= large[1] <= 16384 + 256


@pytest.mark.parametrize(
    ("group", "is_taken"),
    [("X25519", True), ("P-256", True), ("P-384", True), ("ffdhe8192", False), ("X448", False)],
)
def test_keys_are_exchanged_by_groups_that_cost_little(group: str, is_taken: bool, shared: Shared) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl (apt install openssl)")
    plain = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if ssl.OPENSSL_VERSION_INFO >= (3, 5) or not openssl.set_groups(plain, "X25519"):
        pytest.skip("OpenSSL chooses groups by itself here")
    with shared("wsgi") as subject:
        host, port = subject.address
        command = ["openssl", "s_client", "-connect", f"{host}:{port}", "-groups", group, "-brief"]
        command += ["-servername", "localhost"]
        done = subprocess.run(command, input=b"", capture_output=True, timeout=30)
        assert (b"CONNECTION ESTABLISHED" in done.stderr) is is_taken, done


def test_renegotiation_is_refused(shared: Shared) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl (apt install openssl)")
    with shared("wsgi") as subject:
        host, port = subject.address
        command = ["openssl", "s_client", "-connect", f"{host}:{port}", "-tls1_2", "-servername", "localhost"]
        client = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        try:
            out, _ = client.communicate(b"R\n" + request("/hello"), timeout=30)
        finally:
            client.kill()
        assert b"no renegotiation" in out
        with TlsClient(subject.address) as other:
            assert other.get("/hello").status == 200


# ---- how it ends


@ALL
def test_an_end_is_announced(kind: str) -> None:
    def ask(step: Steps) -> None:
        with server(kind, ServeOptions(limits=Limits(keep_alive=0.5))) as subject:
            step()
            with TlsClient(subject.address) as client:
                assert client.get("/hello").status == 200
                step()
                assert client.at_end()
            with TlsClient(subject.address) as client:
                assert client.get("/hello", "Connection: close").status == 200
                assert client.at_end()

    in_time(0.5, tried(ask))


@ALL
def test_an_answer_that_breaks_off_does_not_look_whole(kind: str, shared: Shared) -> None:
    with shared(kind) as subject, TlsClient(subject.address) as client:
        client.send(request("/half", version="1.0"))
        with pytest.raises((ssl.SSLEOFError, ConnectionResetError, Closed)):
            client.answer()


# ---- who gets it


@ALL
def test_before_its_hello_it_can_go_elsewhere(kind: str) -> None:
    def ask(step: Steps) -> None:
        with (
            server(kind, siblings=1) as subject,
            subject.connect() as early,
            TlsClient(subject.address) as shaken,
        ):
            assert shaken.get("/hello").status == 200
            eventually(lambda: subject.word(Seat.CONNECTIONS) == 2)
            subject.play(SeatState.READY)
            step()
            subject.drain()
            shaken.send(request("/hello"))
            step()
            answer = shaken.answer()
            assert (answer.body, answer["Connection"]) == (b"hello\n", "close")
            assert shaken.at_end()
            taken: list[socket.socket] = []

            def arrived() -> bool:
                if (client := subject.sibling.take_own() or subject.sibling.take()) is not None:
                    taken.append(client)
                return bool(taken)

            eventually(arrived)
            assert taken[0].getpeername() == early.socket.getsockname()
            taken[0].close()
            assert subject.wait() == 0

    in_time(LAST_REQUEST, tried(ask))


def test_a_busy_worker_gives_it_away() -> None:
    with server("wsgi", siblings=1) as subject, TlsClient(subject.address) as busy:
        subject.play(SeatState.READY)
        early = subject.connect()
        eventually(lambda: subject.word(Seat.CONNECTIONS) == 2)
        gate = subject.hold(busy)
        early.send(Relayed().hello())
        taken: list[socket.socket] = []

        def arrived() -> bool:
            if (client := subject.sibling.take()) is not None:
                taken.append(client)
            return bool(taken)

        eventually(arrived)
        assert taken[0].recv(2, socket.MSG_PEEK) == b"\x16\3", "with its Hello"
        taken[0].close()
        early.close()
        gate.open()
        assert busy.answer().status == 200


@ALL
def test_the_application_that_its_name_is_for_gets_it(kind: str) -> None:
    routes = ((Route("localhost", ""), 0), (Route("other.example", ""), 1))
    with server(kind, routes=routes) as subject, subject.connect() as client:
        subject.serve_neighbour()
        client.send(Relayed(name="other.example").hello())
        taken = []

        def arrived() -> bool:
            if (arrival := subject.neighbour.take()) is not None:
                taken.append(arrival)
            return bool(taken)

        eventually(arrived)
        assert (taken[0].data, taken[0].proxied) == (b"", None)
        assert taken[0].socket.recv(3, socket.MSG_PEEK)[:2] == b"\x16\3"
        taken[0].socket.close()
        with TlsClient(subject.address) as mine:
            mine.send(b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert mine.answer().status == 200


@ALL
def test_once_open_it_is_not_handed_to_another_application(kind: str) -> None:
    routes = ((Route("", ""), 0), (Route("", "/api"), 1))
    with server(kind, routes=routes) as subject, TlsClient(subject.address) as client:
        subject.serve_neighbour()
        assert client.get("/hello").status == 200
        answer = client.get("/api/x")
        assert answer.status == 421
        assert client.at_end()
        assert subject.neighbour.take() is None
