# `bigtop run`: several applications on one socket, told apart by path and host, each with workers of its own.

from __future__ import annotations

import json
import os
import random
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psutil
import pytest
from websockets.sync.client import connect

from bigtop.backends.native.app_queues import PATIENCE
from bigtop.backends.native.timeouts import SECOND
from tests.support.site import until
from tests.support.stack import Stack
from tests.support.wire import Client, Closed, request

SOCKET = """
[socket.web]
host = "127.0.0.1"
port = 0
"""
WEB = """
[app.web]
app = "tests.apps.routed:web"
sockets = ["web"]
workers = 2
"""
API = """
[app.api]
app = "tests.apps.routed:api"
sockets = ["web"]
routes = ["/api", "api.example.org"]
workers = 2
"""
ADMIN = """
[app.admin]
app = "tests.apps.routed:admin"
backend = "gevent"
sockets = ["web"]
routes = ["/admin"]
"""
OWNERS = {
    "/": "web",
    "/apiary": "web",
    "/api": "api",
    "/api/x": "api",
    "/admin/x": "admin",
    "/%61dmin": "admin",
}


@contextmanager
def running(text: str) -> Iterator[tuple[Stack, int]]:
    with Stack(text) as stack:
        for name in ("web", "api", "admin"):
            if f"[app.{name}]" in text:
                stack.wait_for(f"{name}: started")
        yield stack, stack.asked("listsockets")["sockets"][0]["port"]


def told(client: Client) -> dict[str, Any]:
    answer = client.answer()
    assert answer.status == 200, answer
    found: dict[str, Any] = json.loads(answer.body)
    return found


def clients_of(pids: list[int]) -> list[Any]:
    """Return the connections that these processes hold."""
    return [
        one
        for pid in pids
        for one in psutil.Process(pid).net_connections("tcp")
        if one.status == psutil.CONN_ESTABLISHED
    ]


def present(stack: Stack, name: str) -> list[int]:
    """Return the workers of an application, once there are some: a successor may have to wait."""
    found: list[int] = []
    until(lambda: found.extend(stack.pids(name)) or found, f"a worker of {name}")
    return found


class Wanderers:
    """Clients that ask one application after the other, over connections that they keep; in a with statement.

    `forgiving` counts connections that end without an answer, instead of failing.
    """

    def __init__(self, port: int, paths: list[str], forgiving: bool = False) -> None:
        self._port, self._paths, self._forgiving = port, paths, forgiving
        self._threads = [threading.Thread(target=self._wander, args=(seed,)) for seed in range(6)]
        self._over = threading.Event()
        self.answered = 0
        self.lost = 0
        self.failures: list[object] = []

    def __enter__(self) -> Wanderers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)
        assert self.failures == []

    def more(self, count: int = 60) -> None:
        wanted = self.answered + count
        until(lambda: self.answered > wanted or self.failures, "more answers")

    def _wander(self, seed: int) -> None:
        chance = random.Random(seed)
        try:
            while not self._over.is_set():
                with Client(("127.0.0.1", self._port), 30) as client:
                    while self._ask(client, chance):
                        self.answered += 1
                        if self._over.wait(0.01):
                            return
        except Exception as error:
            # Whatever it is, the test is told: a thread that ends keeps it to itself.
            self.failures.append(error)

    def _ask(self, client: Client, chance: random.Random) -> bool:
        path = chance.choice(self._paths)
        body = chance.choice([b"", b"x" * chance.choice([5, 5000, 100_000])])
        try:
            answer = client.post(path, body)
        except (Closed, ConnectionError):
            if not self._forgiving:
                raise
            self.lost += 1
            return False
        owner = json.loads(answer.body)["app"] if answer.status == 200 else answer
        assert owner == OWNERS[path], (path, owner)
        return answer["Connection"] != "close"


def test_one_connection_reaches_all_of_them() -> None:
    with running(SOCKET + WEB + API + ADMIN) as (stack, port):
        workers = {name: stack.pids(name) for name in ("web", "api", "admin")}
        for _ in range(5):
            with Client(("127.0.0.1", port)) as client:
                ends = client.socket.getsockname()
                for path, owner in OWNERS.items():
                    client.send(request(f"{path}?q"))
                    found = told(client)
                    assert (found["app"], found["root"]) == (owner, "")
                    assert found["path"] == path.replace("%61", "a")
                    assert found["pid"] in workers[owner]
                    assert found["client"] == f"{ends[0]}:{ends[1]}"
                client.send(request("/").replace(b"Host: test", b"Host: API.example.org:80"))
                assert told(client)["app"] == "api"
        assert stack.stop() == 0


def test_where_they_are_mounted() -> None:
    # One that is not told sees what the client sent; so the same application may have two pools of workers.
    text = (
        SOCKET
        + WEB
        + "mounted = true\nroutes = ['/web', 'web.example.org', '/']\n"
        + API
        + "mounted = true\n"
    )
    with running(text + ADMIN) as (_, port), Client(("127.0.0.1", port)) as client:
        seen = []
        for path in ("/web/x", "/web", "/webs", "/api/x", "/api", "/admin/x"):
            client.send(request(path))
            found = told(client)
            seen.append((found["root"], found["path"]))
        # A path is told whole in ASGI, and without the place in WSGI.
        assert seen == [
            ("/web", "/x"),
            ("/web", ""),
            ("", "/webs"),
            ("/api", "/api/x"),
            ("/api", "/api"),
            ("", "/admin/x"),
        ]


def test_pipelined_requests_are_answered_in_order() -> None:
    chance = random.Random(4)
    with running(SOCKET + WEB + API + ADMIN) as (_, port):
        for _ in range(10):
            with Client(("127.0.0.1", port)) as client:
                paths = chance.choices(list(OWNERS), k=30)
                data = b"".join(
                    request(path, f"Content-Length: {index * 50}", method="POST") + b"b" * index * 50
                    for index, path in enumerate(paths)
                )
                while data:
                    cut = chance.randrange(1, 4000)
                    client.send(data[:cut])
                    data = data[cut:]
                for index, path in enumerate(paths):
                    found = told(client)
                    assert (found["app"], found["body"].split()[0]) == (OWNERS[path], str(index * 50))


def test_a_slow_reader_of_pipelined_answers_gets_all_of_them_in_order() -> None:
    """The second request waits behind an answer that the client takes slowly, and the third is another's."""
    with running(SOCKET + WEB + API) as (_, port):
        for _ in range(3):  # whoever accepts it
            with Client(("127.0.0.1", port), receive_buffer=4096) as client:
                client.send(request("/api/big") + request("/api/x") + request("/"))
                assert len(client.answer().body) == 4_000_000
                assert [told(client)["app"] for _ in range(2)] == ["api", "web"]


def test_websockets_are_routed() -> None:
    with running(SOCKET + WEB + API) as (_, port):
        for _ in range(6):  # whoever accepts it
            with connect(f"ws://127.0.0.1:{port}/api/ws", proxy=None) as talk:
                talk.send("this")
                assert talk.recv() == "api heard this"


def test_what_becomes_of_one_does_not_disturb_the_others() -> None:
    with running(SOCKET + WEB + API + ADMIN) as (stack, port):
        web, api = stack.pids("web"), stack.pids("api")
        with Wanderers(port, list(OWNERS)) as wanderers:
            wanderers.more()
            stack.ctl("reload", "api", "--waiting")
            wanderers.more()
            stack.ctl("incr", "api", "--waiting")
            stack.ctl("reload", "admin", "--waiting")
            wanderers.more()
            stack.ctl("decr", "api", "2", "--waiting")
            wanderers.more()
        assert stack.pids("web") == web
        assert not set(api) & set(stack.pids("api"))
        assert len(stack.pids("api")) == 1


def test_one_that_is_stopped_is_missed_alone() -> None:
    others = ["/", "/apiary", "/admin/x"]
    with running(SOCKET + WEB + API + ADMIN) as (stack, port), ExitStack() as clients:
        with Wanderers(port, others) as wanderers:
            wanderers.more()
            stack.ctl("stop", "api", "--waiting")
            missing = clients.enter_context(Client(("127.0.0.1", port), PATIENCE // SECOND + 30))
            missing.send(request("/api"))
            wanderers.more()
        answer = missing.answer()
        assert (answer.status, answer["Connection"]) == (503, "close")
        with Wanderers(port, others) as wanderers:
            with Client(("127.0.0.1", port), 30) as client:
                stack.ctl("start", "api")
                client.send(request("/api"))
                assert told(client)["app"] == "api"
            wanderers.more()


def test_what_waits_for_a_worker_outlives_it() -> None:
    with running(SOCKET + WEB + ADMIN.replace('backend = "gevent"\n', "")) as (stack, port):
        (before,) = stack.pids("admin")
        with ExitStack() as clients:
            slow = clients.enter_context(Client(("127.0.0.1", port)))
            slow.send(request("/admin/slow?60"))
            until(lambda: stack.asked("requests", "admin")["requests"], "the slow one")
            # It takes nobody in meanwhile, so these come by the others.
            others = [clients.enter_context(Client(("127.0.0.1", port), 30)) for _ in range(8)]
            for client in others:
                client.send(request("/admin/quick"))
            until(lambda: not clients_of(stack.pids("web")), "they are handed over")
            os.kill(before, signal.SIGKILL)
            with pytest.raises((Closed, ConnectionError)):
                slow.answer()
            for client in others:
                assert told(client)["pid"] != before


def test_under_fire_only_what_was_hit_is_lost() -> None:
    with running(SOCKET + WEB + API + ADMIN) as (stack, port):
        with Wanderers(port, list(OWNERS), forgiving=True) as wanderers:
            for _ in range(3):
                for name in ("web", "api", "admin"):
                    wanderers.more(20)
                    os.kill(random.choice(present(stack, name)), signal.SIGKILL)
            wanderers.more()
        assert wanderers.lost <= 9 * 6
        with Wanderers(port, list(OWNERS)) as wanderers:
            wanderers.more()


def test_one_more_and_one_less() -> None:
    with running(SOCKET + WEB + API) as (stack, port):
        before = stack.pids("web")
        with Wanderers(port, ["/", "/api", "/api/x"]) as wanderers:
            wanderers.more()
            stack.write(SOCKET + WEB + API + ADMIN)
            steps = stack.asked("reloadconfig", "--dry-run")["steps"]
            assert sorted(steps) == ["add admin", "replace api", "replace web"]
            stack.ctl("reloadconfig", "--waiting")
            wanderers.more()
            assert not set(before) & set(stack.pids("web"))
            with Client(("127.0.0.1", port)) as client:
                client.send(request("/admin/x") + request("/"))
                assert [told(client)["app"], told(client)["app"]] == ["admin", "web"]
            stack.write(SOCKET + WEB + API)
            stack.ctl("reloadconfig", "--waiting")
            wanderers.more()
            with Client(("127.0.0.1", port)) as client:
                client.send(request("/admin/x"))
                assert told(client)["app"] == "web"


def test_mistakes_end_with_78() -> None:
    stack = Stack(SOCKET + WEB + API.replace("routes", "# routes"))
    stack.start()
    assert stack.wait() == 78
    assert "stack.toml:6: [app:web] needs routes" in stack.log()
    assert "Traceback" not in stack.log()
