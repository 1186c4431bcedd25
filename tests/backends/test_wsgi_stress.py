# Everything at once, with a seed: each answer is checked, and afterwards nothing is left over.

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from bigtop.backends.serve_options import ServeOptions
from bigtop.http.limits import Limits
from bigtop.ipc.scoreboard import Word
from bigtop.ipc.seats import Seat
from tests.support.backend_server import BackendServer, eventually
from tests.support.wire import Client, request

CLIENTS = 24
ROUNDS = 30


@pytest.mark.parametrize("threads", [1, 3])
def test_every_answer_is_right(threads: int) -> None:
    options = ServeOptions(threads=threads, limits=Limits(body_memory=5000, send_memory=100_000))
    with BackendServer("tests.apps.wsgi_basic:app", options, send_buffer=65536) as server:
        with ThreadPoolExecutor(CLIENTS) as pool:
            list(
                pool.map(
                    lambda seed: converse(lambda: server.connect(timeout=60), random.Random(seed)),
                    range(CLIENTS),
                )
            )
        eventually(lambda: server.word(Seat.CONNECTIONS) == 0)
        eventually(lambda: server.word(Word.BUSY) == 0)
        eventually(lambda: server.word(Word.WAITING) == 0)
        eventually(lambda: not server.scoreboard.running())
        if threads == 1:
            with server.connect() as client:
                assert client.get("/overlap").body == b"1"
        assert "Traceback" not in server.log()
        server.drain()
        assert server.wait() == 0


def converse(connect: Callable[[], Client], dice: random.Random) -> None:
    client = connect()
    try:
        for _ in range(ROUNDS):
            if not dice.choice(ACTIONS)(client, dice):
                client.close()
                client = connect()
    finally:
        client.close()


def _pipelined_echoes(client: Client, dice: random.Random) -> bool:
    bodies = [
        bytes([dice.randrange(256)]) * dice.choice([0, 1, 4999, 5001, 70_000])
        for _ in range(dice.randint(1, 5))
    ]
    client.send(
        b"".join(request("/echo", f"Content-Length: {len(body)}", method="POST") + body for body in bodies)
    )
    assert [client.answer().body for _ in bodies] == bodies
    return True


def _split_request(client: Client, dice: random.Random) -> bool:
    data = request("/echo", "Transfer-Encoding: chunked", method="POST") + b"4\r\nabcd\r\n0\r\n\r\n"
    at = sorted(dice.sample(range(1, len(data)), 3))
    for begin, end in zip([0, *at], [*at, len(data)], strict=True):
        client.send(data[begin:end])
    assert client.answer().body == b"abcd"
    return True


def _slow_call(client: Client, dice: random.Random) -> bool:
    assert client.get(f"/sleep/{dice.choice([0, 0.001, 0.01, 0.02])}").body == b"slept"
    return True


def _stream(client: Client, dice: random.Random) -> bool:
    count, size = dice.randint(1, 9), dice.choice([1, 1000, 90_000])
    assert client.get(f"/stream?n={count}&size={size}").body == b"x" * count * size
    return True


def _file(client: Client, dice: random.Random) -> bool:
    size = dice.choice([0, 10, 500_000])
    assert client.get(f"/file?size={size}").body == b"f" * size
    return True


def _leave_in_the_middle(client: Client, dice: random.Random) -> bool:
    client.send(request(dice.choice(["/stream?n=50&size=90000", "/file?size=5000000", "/sleep/0.01"])))
    client.socket.recv(dice.choice([1, 1000]))
    return False


def _leave_before_the_end_of_a_request(client: Client, dice: random.Random) -> bool:
    client.send(request("/echo", "Content-Length: 100", method="POST")[: dice.randint(1, 60)])
    return False


def _last_request(client: Client, dice: random.Random) -> bool:
    assert client.get("/", "Connection: close").body == b"Hello World\n"
    assert client.at_end()
    return False


ACTIONS = [
    _pipelined_echoes,
    _split_request,
    _slow_call,
    _stream,
    _file,
    _leave_in_the_middle,
    _leave_before_the_end_of_a_request,
    _last_request,
]
