# Requests past their time limit, in real workers of each kind: told of, interrupted, their worker replaced.

from __future__ import annotations

import os
import re
import socket
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from bigtop.backends import registry
from bigtop.errors import ConfigError
from bigtop.ipc.scoreboard import Word
from tests.support.gate import Gate
from tests.support.site import Site, until
from tests.support.wire import Client, Closed, request

WSGI, ASGI = "tests.apps.hung_site:app", "tests.apps.hung_asgi:app"
LATE = "504 Gateway Timeout\nThe application did not answer this request in time.\n"
ONE = ("--workers", "1", "--timeout", "1", "--access-logfile", "-")

TURNS = int(os.environ.get("TEST_TURNS", "250"))  # requests of each client that are interrupted

Told = tuple[int, str]


def answer(site: Site, path: str) -> Told:
    """Return status and body of a request; 0 and what came where its answer was cut off."""
    with socket.create_connection(("127.0.0.1", site.port), 60) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        data = b""
        try:
            while piece := client.recv(65536):
                data += piece
        except ConnectionResetError:
            return 0, data.partition(b"\r\n\r\n")[2].decode()
    head, _, body = data.partition(b"\r\n\r\n")
    if b"chunked" in head and not body.endswith(b"0\r\n\r\n"):
        return 0, body.decode()
    return int(head.split()[1]), body.decode()


def answers(site: Site, *paths: str) -> dict[str, Told]:
    """Return what comes of requests that are made together."""
    with ThreadPoolExecutor(len(paths)) as threads:
        return dict(zip(paths, threads.map(lambda path: answer(site, path), paths), strict=True))


def installed(backend: str) -> None:
    try:
        registry.load(backend)
    except ConfigError as error:
        pytest.skip(str(error))


def test_only_the_request_is_interrupted() -> None:
    with Site(WSGI, *ONE, "--threads", "8", "--timeout-for", "/reports/*=2") as site:
        before = site.workers()
        told = answers(site, "/spin", "/reports/spin", "/compute", "/stream", "/extend", "/deadline")
        assert {told[path] for path in ("/spin", "/reports/spin", "/compute")} == {(504, LATE)}
        assert told["/stream"] == (0, "5\r\nbegun\r\n"), "its answer had begun"
        assert told["/extend"] == (200, "1 61")
        assert told["/deadline"] == (200, "True")
        assert answer(site, "/") == (200, str(*before)), "the worker lives"
        assert site.workers() == before
        assert site.scoreboard[0].words[Word.INTERRUPTED] == 4
        log = site.log()
        seconds = {
            path: float(found)
            for path, found in re.findall(r"GET (/\S+) is interrupted after (\d+\.\d) s", log)
        }
        assert set(seconds) == {"/spin", "/compute", "/stream", "/reports/spin"}
        assert seconds["/reports/spin"] > 3.4
        assert "is stuck: " in log
        assert "in _compute" in log  # the stacks, of faulthandler
        assert "in _spin" in log
        assert re.search(r'"GET /spin HTTP/1.1" 504', log), "the access log tells"
        assert "is stuck and is replaced" not in log


def test_who_does_not_let_itself_be_interrupted_is_replaced_without_loss() -> None:
    steps = "--timeout-action", "interrupt,retire=0.2"
    with Site(WSGI, *ONE, *steps, "--threads", "3") as site, Gate() as gate:
        (old,) = site.workers()
        with ThreadPoolExecutor(2) as threads:
            swallowed = threads.submit(answer, site, "/swallow")
            site.wait_for("is stuck: GET /swallow")
            good = threads.submit(answer, site, gate.target)
            until(lambda: gate.entered() == 1 or good.done(), "a good request beside it, or at a successor")
            site.wait_for("is stuck and is replaced: GET /swallow")
            until(lambda: set(site.workers()) - {old}, "the successor")
            gate.open()
            status, body = good.result()
            assert (status, int(body) in {old, *site.workers()}) == (200, True)
            until(lambda: old not in site.workers(), "the end of the old one")
            with pytest.raises((OSError, IndexError)):
                swallowed.result()
        assert answer(site, "/") == (200, str(*site.workers()))


def test_a_worker_that_is_to_be_killed_is_killed() -> None:
    with Site(WSGI, *ONE, "--timeout-action", "interrupt,kill=0.2", "--graceful-timeout", "60") as site:
        (old,) = site.workers()
        with pytest.raises((OSError, IndexError)):
            answer(site, "/swallow")
        assert re.search(rf"worker 1 \(pid {old}\) is killed: GET /swallow for \d s", site.log())
        until(lambda: old not in site.workers() and site.workers(), "the successor")
        assert answer(site, "/")[0] == 200


def test_an_application_in_the_main_thread_alone() -> None:
    """Nobody in the worker sees the time pass, and the wait is in C code: a signal ends it."""
    with Site(WSGI, *ONE, "--main-thread") as site:
        before = site.workers()
        assert answer(site, "/sleep") == (504, LATE)
        assert answer(site, "/") == (200, str(*before))


def test_greenlets() -> None:
    installed("gevent")
    with Site(WSGI, *ONE, "-k", "gevent", "--timeout-for", "/reports/*=1") as site:
        before = site.workers()
        told = answers(site, "/reports/spin", "/deadline")
        assert told == {"/reports/spin": (504, LATE), "/deadline": (200, "False")}
        assert answer(site, "/compute") == (504, LATE), "it kept the hub from turning"
        assert answer(site, "/") == (200, str(*before))
        assert site.scoreboard[0].words[Word.INTERRUPTED] == 2
        assert re.search(r"Greenlet \w+ \(GET /reports/spin \S+, most recent call first\)", site.log())


def test_tasks() -> None:
    mounted = "--mount", f"/b={WSGI}", "--timeout-for", "/b/*=1"
    with Site(ASGI, *ONE, "--timeout-for", "/reports/*=1", *mounted) as site:
        before = site.workers()
        told = answers(
            site,
            "/b/spin",
            "/reports/wait",
            "/reports/stream",
            "/reports/extend",
            "/reports/deadline",
            "/deadline",
        )
        assert told == {
            "/b/spin": (504, LATE),
            "/reports/wait": (504, LATE),
            "/reports/stream": (0, "5\r\nbegun\r\n"),
            "/reports/extend": (200, "1 61"),
            "/reports/deadline": (200, "True"),
            "/deadline": (200, "False"),
        }
        assert answer(site, "/block_later") == (504, LATE), "it kept the event loop from turning"
        assert answer(site, "/") == (200, str(*before))
        assert answer(site, "/b/deadline") == (200, "True"), "its only thread is free again"
        assert site.scoreboard[0].words[Word.INTERRUPTED] == 4
        assert re.search(r'"GET /reports/wait HTTP/1.1" 504', site.log())
        stack = r"\(GET /reports/wait \S+, waits for a future, most recent call first\):\n.* in Event.wait\n"
        assert re.search(stack, site.log()), "of the task, or where that is compiled of its coroutine"


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("tests.apps.hung_django:app", "/hang"),
        ("tests.apps.hung_django:asgi", "/reports/wait"),
        ("tests.apps.hung_starlette:app", "/reports/wait"),
    ],
)
def test_frameworks_let_it_pass(target: str, path: str) -> None:
    pytest.importorskip("django" if "django" in target else "starlette")
    with Site(target, *ONE, "--timeout-for", "/reports/*=1") as site:
        before = site.workers()
        assert answer(site, path) == (504, LATE)
        assert answer(site, "/") == (200, "ok")
        assert site.workers() == before


@pytest.mark.parametrize("threads", ["1", "4"])
def test_an_interruption_in_the_last_moment_hits_its_own_request_or_none(threads: str) -> None:
    """Each request is interrupted at random, up to a little after its end, from another thread."""
    outcomes: Counter[int] = Counter()
    wrong: list[str] = []
    often = "--switch-interval", "0.00005"
    with Site("tests.apps.interrupted:app", "--workers", "1", "--threads", threads, *often) as site:
        (pid,) = site.workers()

        def ask(number: int) -> None:
            turn = 0
            while turn < TURNS:
                with Client(("127.0.0.1", site.port)) as client:
                    status = 200
                    while status == 200 and turn < TURNS:
                        turn += 1
                        path = f"/{number}/{turn}"
                        client.send(request(path + ("?pieces" if turn % 2 else "")))
                        try:
                            found = client.answer()
                        except (Closed, OSError):  # it was interrupted between two pieces
                            outcomes[status := 0] += 1
                            continue
                        outcomes[status := found.status] += 1
                        if status == 200 and found.body.decode() != f"{path} {pid}":
                            wrong.append(f"{path}: {found}")

        with ThreadPoolExecutor(4) as clients:
            asked: list[Future[None]] = [clients.submit(ask, number) for number in range(4)]
        for one in asked:
            one.result()
        log = site.log()
        assert set(site.workers()) == {pid}
        # One that comes behind the last byte is counted, and costs the next request its connection.
        assert site.scoreboard[0].words[Word.INTERRUPTED] >= outcomes[504]
    assert not wrong
    assert set(outcomes) <= {0, 200, 504}
    assert outcomes[200] > TURNS / 10
    assert outcomes[0] + outcomes[504] > TURNS / 10, outcomes
    assert sum(outcomes.values()) == 4 * TURNS
    assert "outside" not in log
    assert "failed" not in log
