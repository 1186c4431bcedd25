# No WebSocket outlives its client by more than a moment, however the client leaves, and none lasts whose
# client does not take what it is sent.

from __future__ import annotations

from contextlib import ExitStack, suppress
from itertools import product

import pytest

from bigtop.backends.serve_options import ServeOptions
from bigtop.http.limits import Limits, WebSocketLimits
from bigtop.ipc.scoreboard import Word
from bigtop.ipc.seats import Seat
from tests.support import wire
from tests.support.backend_server import BackendServer, Steps, eventually, in_time, stopped
from tests.support.wire import UPGRADE, Client, request

LIMITS = Limits(send_timeout=0.5)
# How long a client may be silent is the library's affair with WSGI, and that of pings with ASGI.
PINGS = WebSocketLimits(ping_interval=0.5, ping_timeout=0.5)
WSGI = ("send", "receive", "beside", "impatient", "copy", "library")
KINDS = {
    "threads": ("wsgi", "wsgi", ServeOptions(limits=LIMITS, threads=64), WSGI),
    "gevent": ("gevent", "wsgi", ServeOptions(limits=LIMITS), WSGI),
    "asgi": (
        *("asgi", "asgi", ServeOptions(limits=LIMITS, websocket=PINGS)),
        ("send", "receive", "asked", "denied"),
    ),
}
WORD = b"\x81\x81\0\0\0\0a"  # "a", under a mask of zeros
PING = b"\x89\xfd\0\0\0\0" + b"a" * 125
CLOSE = b"\x88\x82\0\0\0\0\x03\xe8"


def serve(kind: str) -> BackendServer:
    backend, app, options, _ways = KINDS[kind]
    app = f"tests.apps.endless_websockets:{app}"
    return BackendServer(app, options, backend=backend, send_buffer=16384)


def ask(server: BackendServer, way: str) -> Client:
    client = Client(server.address, receive_buffer=4096)
    client.send(request(f"/ws/{way}", *UPGRADE))
    return client


def leave(client: Client, how: str) -> None:
    if how == "close":
        client.send(CLOSE)
        how = "fin"
    wire.leave(client, how)


def send_until_it_fails(client: Client, data: bytes) -> None:
    with suppress(OSError):
        while True:
            client.send(data)


def notes(server: BackendServer) -> tuple[int, int]:
    with server.connect() as client:
        begun, closed = map(int, client.get("/").body.split())
        return begun, closed


@pytest.mark.case("A2")
@pytest.mark.parametrize("kind", KINDS)
def test_no_websocket_outlives_its_client(kind: str) -> None:
    _backend, _app, _options, ways = KINDS[kind]
    with serve(kind) as server, ExitStack() as stack:
        cases = [
            *product(ways, ("fin", "reset", "half", "close"), (b"", WORD * 500)),
            *(("send", "deaf", said) for said in (b"", WORD)),
        ]
        if kind != "asgi":
            cases += [(way, "deaf", b"") for way in ("beside", "impatient", "copy")]
        for number, (way, how, said) in enumerate(cases):
            client = stack.enter_context(ask(server, way))
            eventually(lambda number=number: notes(server)[0] > number, what="it is there")  # type: ignore[misc]
            with suppress(OSError):  # it was given up where this took half a second
                client.send(said)
                leave(client, how)
        eventually(lambda: server.word(Seat.CONNECTIONS) == 0, 60, "all connections are over")
        eventually(lambda: server.word(Word.BUSY) == 0, 60, "all calls are over")
        stack.close()
        assert notes(server) == (len(cases), len(cases))
        if kind != "asgi":
            assert "the client has taken nothing for 0.5 s" in server.log()
        assert " failed" not in server.log()
        assert "ERROR" not in server.log()


@pytest.mark.case("F1")
@pytest.mark.parametrize("kind", ["threads", "gevent"])
def test_who_only_asks_for_signs_of_life_is_given_up_and_that_is_told(kind: str) -> None:
    """They are answered in a thread of the library's, while the call waits for a message."""
    with serve(kind) as server, ask(server, "library") as client:
        eventually(client.is_answered)
        client.socket.settimeout(0.2)
        send_until_it_fails(client, PING * 100)
        eventually(lambda: server.word(Word.BUSY) == 0 and server.word(Word.REQUESTS) == 1)
        assert server.log().count("GET /ws/library: the client has taken nothing for 0.5 s") == 1
        assert "Traceback" not in server.log()


@pytest.mark.case("F1")
def test_who_has_ended_its_side_is_given_up_at_once() -> None:
    """A WebSocket cannot be closed by half; for how long answers wait does not matter."""
    options = ServeOptions(threads=4)
    with BackendServer("tests.apps.endless_websockets:wsgi", options, send_buffer=16384) as server:
        with ask(server, "send") as client:
            eventually(client.is_answered)
            leave(client, "half")
            eventually(lambda: server.word(Word.BUSY) == 0)
        assert "GET /ws/send: the client has ended its side, and takes nothing" in server.log()


@pytest.mark.case("F1")
def test_greenlets_that_send_to_one_client_leave_others_their_turn() -> None:
    """Also where the standard library is not cooperative."""
    options = ServeOptions(limits=LIMITS, monkey=False)
    app = "tests.apps.endless_websockets:wsgi"
    with BackendServer(app, options, backend="gevent", send_buffer=16384) as server:

        def send(step: Steps) -> None:
            step()
            with ask(server, "greenlets") as client:
                eventually(client.is_answered)
                begun, closed = notes(server)
                step()
                assert closed == begun - 1
                eventually(lambda: server.word(Word.BUSY) == 0)

        in_time(0.5, send)
        begun, closed = notes(server)
        assert begun == closed


@pytest.mark.case("A2")
def test_who_sends_on_and_on_before_it_is_accepted_is_closed() -> None:
    """Its end would come behind more than anybody reads."""
    with BackendServer("tests.apps.endless_websockets:asgi", ServeOptions(), backend="asgi") as server:
        with ask(server, "asked") as client:
            send_until_it_fails(client, WORD * 1000)
            eventually(lambda: server.word(Word.BUSY) == 0)
        assert notes(server) == (1, 1)
        assert "its client sends on and on before it was accepted" in server.log()


@pytest.mark.case("A2")
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("way", ["asked", "receive"])
def test_a_reset_together_with_what_was_said_before(loop: str, way: str) -> None:
    """Both are there when the worker looks."""
    options = ServeOptions(loop=loop)
    with BackendServer("tests.apps.endless_websockets:asgi", options, backend="asgi") as server:
        client = ask(server, way)
        eventually(lambda: server.word(Word.BUSY) == 1 and (way == "asked" or client.is_answered()))
        with stopped(server):
            client.send(WORD)
            leave(client, "reset")
        eventually(lambda: server.word(Word.BUSY) == 0)
        assert notes(server) == (1, 1)
