# What is different where calls run in greenlets: they give way while they wait, and nobody waits for them.

from __future__ import annotations

from contextlib import ExitStack

import pytest

from bigtop.backends.serve_options import ServeOptions
from bigtop.http.limits import Limits
from bigtop.ipc.scoreboard import RequestPhase, Word
from tests.support.backend_server import BackendServer, eventually
from tests.support.wire import Client, request

pytest.importorskip("gevent")

APP = "tests.apps.gevent_site:app"
FLOOD = 32 << 20


def gevent_server(**options: object) -> BackendServer:
    limits = Limits(send_file=0)
    return BackendServer(
        APP,
        ServeOptions(limits=limits, **options),  # type: ignore[arg-type]
        backend="gevent",
        send_buffer=65536,
    )


def get(server: BackendServer, path: str) -> int:
    with server.connect() as client:
        return client.get(path).status


def test_many_calls_wait_at_once_in_one_thread() -> None:
    with gevent_server() as server, ExitStack() as opened:
        clients = [opened.enter_context(server.connect()) for _ in range(40)]
        gate = server.hold(*clients)
        assert server.word(Word.BUSY) == 40
        gate.open()
        assert [client.answer().status for client in clients] == [200] * 40
        eventually(lambda: server.word(Word.BUSY) == 0)


def test_requests_of_one_connection_are_answered_one_after_the_other() -> None:
    with gevent_server() as server, server.connect() as client:
        client.send(request("/nap") + request("/quick") + request("/nap"))
        assert [client.answer().status for _ in range(3)] == [200] * 3
        eventually(lambda: server.word(Word.REQUESTS) == 3)


@pytest.mark.parametrize("monkey", [True, False])
def test_who_reads_slowly_holds_nobody_up_and_loses_nothing(monkey: bool) -> None:
    with gevent_server(monkey=monkey) as server, Client(server.address, receive_buffer=65536) as reader:
        reader.send(request(f"/flood/{FLOOD}"))
        eventually(lambda: any(one.phase is RequestPhase.WRITING for one in server.scoreboard.running()))
        assert server.word(Word.BUSY) == 1, "the application waits for the client"
        assert get(server, "/quick") == 200
        assert reader.answer().body == b"f" * FLOOD
        eventually(lambda: server.word(Word.BUSY) == 0)


def test_a_timeout_of_gevents_costs_one_request() -> None:
    with gevent_server() as server, server.connect() as other:
        other.send(request("/nap"))
        assert get(server, "/late") == 500
        assert other.answer().status == 200
        assert "Timeout" in server.log()


def test_an_upgrade_that_the_application_knows_nothing_of_is_answered() -> None:
    with gevent_server() as server, server.connect() as client:
        client.send(request("/quick", "Upgrade: websocket", "Connection: Upgrade"))
        answer = client.answer()
        assert (answer.status, answer.body) == (200, b"True")
        assert client.at_end()
        eventually(lambda: server.word(Word.BUSY) == 0)


def test_who_drains_finishes_calls_that_wait() -> None:
    with gevent_server() as server, server.connect() as client:
        gate = server.hold(client)
        server.drain()
        gate.open()
        assert client.answer().status == 200
        assert server.wait() == 0
