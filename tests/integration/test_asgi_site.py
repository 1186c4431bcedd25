# `bigtop serve` with an ASGI application: found by itself, reloaded and scaled under load, stopped in order.

from __future__ import annotations

import json
import signal
import threading
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from bigtop.ipc.seats import Seat
from tests.support.load import Load
from tests.support.site import Site, until
from tests.support.wire import Client, request

APP = "tests.apps.asgi_basic:app"
SERVICE_RESTART = 1012


@dataclass
class Talkers:
    """`clients` WebSockets that wait for the echo of what they send, and connect again when told 1012."""

    port: int
    clients: int
    answered: int = 0
    restarts: int = 0
    failures: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Talkers:
        self._threads = [threading.Thread(target=self._talk, daemon=True) for _ in range(self.clients)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive(), "a client hangs"

    def _talk(self) -> None:
        while not self.over.is_set():
            try:
                with connect(f"ws://127.0.0.1:{self.port}/echo", proxy=None, open_timeout=20) as socket:
                    self._converse(socket)
            except ConnectionClosed as error:
                if error.rcvd is None or error.rcvd.code != SERVICE_RESTART:
                    self.failures.append(repr(error))
                self.restarts += 1
            except (OSError, TimeoutError) as error:
                if not self.over.is_set():
                    self.failures.append(repr(error))
                return

    def _converse(self, socket: object) -> None:
        while not self.over.is_set():
            socket.send("hello")  # type: ignore[attr-defined]
            assert socket.recv(timeout=20) == "hello"  # type: ignore[attr-defined]
            self.answered += 1
            self.over.wait(0.002)


def test_nothing_is_lost_over_reloads_scaling_and_a_stop() -> None:
    with Site(APP, "--workers", "2") as site:
        with Talkers(site.port, 4) as talkers, Load(site.port, 8) as load:
            until(lambda: load.answered > 100 and talkers.answered > 100, "load")
            for count in range(1, 4):
                site.send(signal.SIGHUP)
                site.wait_for(f"every worker is of generation {count + 1} now")
            until(lambda: len(site.workers()) == 2, "the old workers' end")
            site.send(signal.SIGTTIN)
            until(lambda: len(site.workers()) == 3, "a third worker")
            site.send(signal.SIGTTOU)
            until(lambda: len(site.workers()) == 2, "two workers again")
            before = load.answered, talkers.answered
            until(lambda: load.answered > before[0] + 100 and talkers.answered > before[1] + 20, "more load")
        assert load.failures == []
        assert talkers.failures == []
        assert talkers.restarts >= 4
        assert site.stop() == 0
        assert "shut down" in site.log()
        assert site.is_gone()


def test_a_burst_is_shared_evenly() -> None:
    """32 connections at once over 4 idle workers: nobody takes more than 1.3 times what another does."""
    with Site(APP, "--workers", "4") as site:
        until(lambda: len(site.workers()) == 4, "four workers")
        ratios = []
        for _ in range(
            41
        ):  # each is milliseconds; of a few, half may fall into a moment in which others compute
            with ExitStack() as opened:
                clients = [opened.enter_context(Client(("127.0.0.1", site.port))) for _ in range(32)]
                for client in clients:
                    client.send(request("/pid"))
                counts = Counter(client.answer().body for client in clients)
            assert len(counts) == 4, counts
            ratios.append(max(counts.values()) / min(counts.values()))
            until(lambda: site.total(Seat.CONNECTIONS) == 0, "the connections are closed")
        assert median(ratios) <= 1.3, ratios


def test_idle_connections_move_when_their_worker_leaves() -> None:
    with Site(APP, "--workers", "2") as site, ExitStack() as opened:
        until(lambda: len(site.workers()) == 2, "two workers")
        clients = [opened.enter_context(Client(("127.0.0.1", site.port))) for _ in range(12)]
        before = {client.get("/pid").body for client in clients}
        site.send(signal.SIGHUP)
        until(lambda: not site.workers().keys() & {int(pid) for pid in before}, "new workers")
        answers = [client.get("/pid") for client in clients]
        assert not before & {answer.body for answer in answers}
        assert {answer["Connection"] for answer in answers} == {None}


def test_the_server_is_where_the_client_called() -> None:
    """Also of a connection that another worker accepted, and a wildcard is no address."""
    with Site(APP, "--workers", "3", bind="0.0.0.0:0") as site, ExitStack() as opened:
        until(lambda: len(site.workers()) == 3, "three workers")
        clients = [opened.enter_context(Client(("127.0.0.1", site.port))) for _ in range(12)]
        seen = [json.loads(client.get("/scope").body)["server"] for client in clients]
        assert seen == [["127.0.0.1", site.port]] * 12


def test_an_application_of_asgi_2_is_served() -> None:
    with Site("tests.apps.asgi_plain:Older", "--lifespan", "auto") as site:
        assert [site.get("/"), site.get("/")] == ["plain", "plain"]


def test_uvicorns_flags_work() -> None:
    words = (
        "--proxy-headers --forwarded-allow-ips * --workers 2 --log-level info --no-access-log "
        "--root-path /api --timeout-keep-alive 5 --timeout-graceful-shutdown 10 --reload-dir . --lifespan on "
        "--loop asyncio"
    )
    with Site(APP, *words.split()) as site:
        until(lambda: len(site.workers()) == 2, "two workers")
        with Client(("127.0.0.1", site.port)) as client:
            scope = json.loads(client.get("/scope", "X-Forwarded-For: 192.0.2.7").body)
        assert (scope["root_path"], scope["client"]) == ("/api", ["192.0.2.7", 0])
