# `bigtop serve` with an ASGI application: found by itself, reloaded and scaled under load, stopped in order.

from __future__ import annotations

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.support.load import Load
from tests.support.site import Site, until
from tests.support.wire import Client

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
        for _ in range(40):  # warm up, and then let the burst be one
            site.get("/pid")
        best = 99.0
        for _ in range(5):
            time.sleep(0.3)
            best = min(best, _imbalance(site))
            if best <= 1.3:
                break
        assert best <= 1.3


def _imbalance(site: Site) -> float:
    clients = [Client(("127.0.0.1", site.port)) for _ in range(32)]
    try:
        with ThreadPoolExecutor(32) as pool:
            pids = [answer.body for answer in pool.map(lambda client: client.get("/pid"), clients)]
    finally:
        for client in clients:
            client.close()
    shares = [pids.count(pid) for pid in set(pids)]
    print("shares", shares)
    return max(shares) / min(shares) if len(shares) == 4 else 99.0


def test_uvicorns_flags_work() -> None:
    words = "--root-path /api --timeout-keep-alive 5 --lifespan on --loop asyncio --no-access-log"
    with Site(APP, *words.split()) as site:
        assert '"root_path": "/api"' in site.get("/scope")
