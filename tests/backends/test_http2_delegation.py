# Requests on one connection of HTTP/2 that several workers answer: real sites, in which a call at a gate
# takes the only slot of the worker that has the connection.

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from bigtop.control.client.client import Client as Control
from bigtop.http.h2.error_codes import INTERNAL_ERROR
from bigtop.ipc.scoreboard import Word
from bigtop.ipc.seats import Seat
from tests.backends.test_http2 import ANSWERS, HEADS
from tests.support.certificates import issued, made, written
from tests.support.gate import Gate
from tests.support.http2_client import Answer, Http2Client
from tests.support.site import Site, halted, until
from tests.support.tls_client import context

APP = "tests.apps.delegated:app"
TWO = ("--workers", "2", "--forwarded-allow-ips", "127.0.0.1")
KINDS = {
    "threads": ("--threads", "1"),
    "gevent": ("--backend", "gevent", "--worker-connections", "1"),
}


class Busy(NamedTuple):
    """A connection whose worker has no slot left, until the gate is opened."""

    site: Site
    client: Http2Client
    gate: Gate
    held: int  # the stream whose call is at the gate

    def owner(self) -> int:
        """Let the call at the gate come to its end; return whose it was."""
        self.gate.open()
        return pid_of(self.client.wait(self.held))

    def other(self) -> int:
        """Return the worker that answers the others."""
        return pid_of(self.client.get("/hello"))


def pid_of(answer: Answer) -> int:
    return int(answer.header("x-pid") or 0)


@contextmanager
def busy(*flags: str, window: int | None = None, reads: bool = True) -> Iterator[Busy]:
    with (
        Site(APP, *TWO, *flags) as site,
        Gate() as gate,
        Http2Client(("127.0.0.1", site.port), window=window, reads=reads) as client,
    ):
        held = client.ask(gate.target)
        until(lambda: gate.entered() == 1, "the call is inside the application")
        yield Busy(site, client, gate, held)


@pytest.fixture(scope="module", params=KINDS)
def shared(request: pytest.FixtureRequest) -> Iterator[Busy]:
    with busy(*KINDS[request.param]) as made_busy:
        yield made_busy


# ---- answers


@ANSWERS
def test_answers(shared: Busy, path: str, status: int, body: bytes, length: str | None) -> None:
    answer = shared.client.get(path)
    assert (answer.status, answer.header("content-length"), answer.reset) == (status, length, None)
    assert answer.body == body
    assert (answer.header("server"), answer.ended) == ("bigtop", True)
    assert answer.header("x-pid")


@HEADS
def test_head(shared: Busy, path: str, length: str | None) -> None:
    answer = shared.client.get(path, method="HEAD")
    assert (answer.status, answer.body, answer.ended) == (200, b"", True)
    assert answer.header("content-length") == length


@pytest.mark.parametrize("size", [0, 1, 1000, 65_536])
@pytest.mark.parametrize("length", [True, False], ids=["length", "without"])
def test_bodies(shared: Busy, size: int, length: bool) -> None:
    body = os.urandom(size)
    answer = shared.client.get("/echo", method="POST", body=body, length=length)
    assert (answer.status, answer.body) == (200, body)


def test_what_an_application_is_told(shared: Busy) -> None:
    port = shared.client.socket.getsockname()[1]
    fields = [("x-test", "a"), ("cookie", "a=1"), ("cookie", "b=2"), ("x-latin", "\u00e4")]
    told = json.loads(shared.client.get("/environ?q=1", headers=fields).body)
    assert (told["REQUEST_METHOD"], told["PATH_INFO"], told["QUERY_STRING"]) == ("GET", "/environ", "q=1")
    assert (told["HTTP_HOST"], told["HTTP_X_TEST"], told["HTTP_COOKIE"]) == ("localhost", "a", "a=1; b=2")
    assert (told["SERVER_PROTOCOL"], told["wsgi.url_scheme"]) == ("HTTP/2.0", "http")
    assert (told["REMOTE_ADDR"], told["REMOTE_PORT"]) == ("127.0.0.1", str(port))
    assert told["SERVER_PORT"] == str(shared.site.port)
    assert len(told["HTTP_X_REQUEST_ID"]) > 10
    assert told["HTTP_X_LATIN"].encode("latin-1").decode() == "\u00e4"


def test_early_hints_and_failures(shared: Busy) -> None:
    client = shared.client
    hinted, broken, half, short, good = [
        client.wait(client.ask(path)) for path in ("/hints", "/broken", "/half", "/short", "/hello")
    ]
    assert [hint["link"] for hint in hinted.hints] == ["</a.css>; rel=preload; as=style"]
    assert (hinted.status, hinted.body) == (200, b"hinted")
    assert (broken.status, broken.ended) == (500, True)
    assert half.reset == short.reset == INTERNAL_ERROR
    assert good.body == b"hello\n"


@pytest.mark.parametrize("kind", KINDS)
def test_other_workers_answer_what_would_wait(kind: str) -> None:
    with busy(*KINDS[kind]) as one:
        streams = [one.client.ask("/hello") for _ in range(40)]
        pids = {pid_of(one.client.wait(stream)) for stream in streams}
        assert len(pids) == 1
        assert one.owner() not in pids


def test_several_calls_at_once_in_several_workers() -> None:
    """With a gate for each: so many run at once as there are slots in all."""
    with Site(APP, "--workers", "3", "--threads", "2", *TWO[2:]) as site, ExitStack() as stack:
        client = stack.enter_context(Http2Client(("127.0.0.1", site.port)))
        gate = stack.enter_context(Gate())
        streams = [client.ask(gate.target) for _ in range(8)]
        until(lambda: gate.entered() == 6, "all slots are taken")
        gate.open()
        answers = [client.wait(stream) for stream in streams]
        assert [answer.body for answer in answers] == [b"slept"] * 8
        assert len({pid_of(answer) for answer in answers}) == 3


def test_where_calls_last_a_sibling_that_has_nothing_to_do_is_asked_before_the_own_threads() -> None:
    with (
        Site(APP, "--threads", "2", *TWO) as site,
        Http2Client(("127.0.0.1", site.port)) as client,
        ExitStack() as stack,
    ):
        for _ in range(50):  # so that it is known how long calls take here
            client.get("/sleep/0.01")
        first, second = stack.enter_context(Gate()), stack.enter_context(Gate())
        here = client.ask(first.target)
        until(lambda: first.entered() == 1, "the first call is inside the application")
        client.ping()
        there = client.ask(second.target)
        until(lambda: second.entered() == 1, "the second one is, too")
        first.open()
        second.open()
        assert pid_of(client.wait(here)) != pid_of(client.wait(there))


# ---- what is known of a client


def test_certificates_of_clients(tmp_path: Path) -> None:
    authority, own = made("authority.example"), made("localhost")
    (tmp_path / "ca.pem").write_text(authority.certificate)
    flags = ("--tls", written(tmp_path, own), "--client-ca", str(tmp_path / "ca.pem"), "--workers", "2")
    by = context(own=issued(authority, "/CN=one"))
    with (
        Site(APP, *flags) as site,
        Gate() as gate,
        Http2Client(("127.0.0.1", site.port), tls=True, by=by) as client,
    ):
        here = json.loads(client.get("/environ").body)
        held = client.ask(gate.target)
        until(lambda: gate.entered() == 1, "the call is inside the application")
        answer = client.get("/environ")
        there = json.loads(answer.body)
        gate.open()
        assert pid_of(client.wait(held)) != pid_of(answer)
    assert there["SSL_CLIENT_S_DN"] == "CN=one"
    names = {name for name in here if name.startswith("SSL_")} | {"HTTPS", "REMOTE_ADDR", "REMOTE_PORT"}
    assert {name: here[name] for name in names} == {name: there[name] for name in names}


# ---- what is counted and told, once


def test_requests_are_logged_and_counted_once() -> None:
    with busy("--access-logfile", "-", "--access-logformat", "%(m)s %(U)s %(s)s %(B)s by %(h)s") as one:
        for number in range(5):
            assert one.client.get(f"/echo?{number}", method="POST", body=b"12345").status == 200
        one.owner()
        until(lambda: one.site.total(Word.REQUESTS) == 6, "the counts")
        until(lambda: one.site.log().count("POST /echo 200 5 by 127.0.0.1") == 5, "the lines")
        assert one.site.log().count(" by 127.0.0.1") == 6
        assert one.site.total(Seat.CONNECTIONS) == one.site.total(Word.ACCEPTED) == 1


def test_requests_are_shown_once() -> None:
    with busy("--name", "site") as one, Gate() as second:
        stream = one.client.ask(second.target)
        until(lambda: second.entered() == 1, "it runs elsewhere")
        one.client.ping()  # by then the worker that has the client has heard that
        with Control(str(one.site.folder / "bigtop" / "site.ctl"), timeout=120) as control:
            rows = control.call("requests")["requests"]
        assert sorted(row["path"] for row in rows) == sorted([one.gate.target, second.target])
        assert {row["client"] for row in rows} == {"127.0.0.1"}
        assert len({row["pid"] for row in rows}) == 2
        second.open()
        assert one.client.wait(stream).body == b"slept"


def test_rates_are_counted_once() -> None:
    """Per hour, so that none comes back meanwhile; the first request is that at the gate."""
    with busy("--limit-address-rate", "5/h", "--rate-limit-fields", "--forwarded-allow-ips", "*") as one:
        fields = [("x-forwarded-for", "192.0.2.1")]
        answers = [one.client.get("/hello", headers=fields) for _ in range(6)]
        assert [answer.status for answer in answers] == [200] * 5 + [429]
        left = [(answer.header("ratelimit") or "").partition("r=")[2][:1] for answer in answers]
        assert left == ["4", "3", "2", "1", "0", "0"]


# ---- clients that give up, and clients that are slow


def test_a_call_finds_that_its_client_gave_up() -> None:
    with busy() as one:
        endless = one.client.ask("/endless")
        one.client.until(lambda: len(one.client.answers[endless].body) > 200_000)
        assert one.site.total(Word.BUSY) == 2
        one.client.reset(endless)
        until(lambda: one.site.total(Word.BUSY) == 1, "its end")
        assert one.client.get("/hello").status == 200


def test_a_client_that_leaves_leaves_nothing_behind() -> None:
    with busy() as one:
        for path in ("/endless", "/hello"):
            one.client.ask(path)
        until(lambda: one.site.total(Word.BUSY) == 2, "it runs elsewhere")
        one.client.socket.close()
        until(lambda: one.site.total(Word.BUSY) == 1, "its end")
        one.gate.open()
        until(lambda: one.site.total(Word.BUSY) == 0, "the end of all")
        until(lambda: one.site.total(Seat.CONNECTIONS) == 0, "no connection is left")
        assert "Traceback" not in one.site.log()


def test_who_reads_slowly_holds_a_call_back_and_loses_the_stream() -> None:
    with busy("--send-timeout", "2", "--min-send-rate", "0", window=0) as one:
        slow = one.client.ask("/big")
        one.client.until(lambda: one.client.answers[slow].status == 200)
        one.client.until(lambda: one.client.answers[slow].reset is not None)
        assert one.client.answers[slow].body == b""
        stream = one.client.ask("/big")
        one.client.until(lambda: one.client.answers[stream].status == 200)
        one.client.spoken.increment_flow_control_window(8 << 20)
        one.client.spoken.increment_flow_control_window(8 << 20, stream)
        one.client.flush()
        assert one.client.wait(stream).body == b"b" * (4 << 20)


# ---- workers that end


def test_a_worker_that_is_killed_in_a_call() -> None:
    with busy() as one, Gate() as second:
        other = one.other()
        waits, begun = one.client.ask(second.target), one.client.ask(f"/begun{second.path}")
        until(lambda: second.entered() == 1, "it runs elsewhere")
        os.kill(other, signal.SIGKILL)
        answer = one.client.wait(waits)
        assert (answer.status, answer.ended) == (502, True)
        until(lambda: second.entered() == 2, "the next worker has the other")
        one.client.until(lambda: one.client.answers[begun].body == b"begun")
        os.kill(pid_of(one.client.answers[begun]), signal.SIGKILL)
        assert one.client.wait(begun).reset == INTERNAL_ERROR
        assert one.owner() != other
        assert one.client.get("/hello").status == 200


def test_what_a_killed_worker_had_not_begun_is_answered_by_another() -> None:
    with busy() as one:
        other = one.other()
        with halted(other):
            streams = [one.client.ask("/hello") for _ in range(5)]
            one.client.ping()
            assert not any(one.client.answers[stream].status for stream in streams)
            os.kill(other, signal.SIGKILL)
        answers = [one.client.wait(stream) for stream in streams]
        assert [answer.status for answer in answers] == [200] * 5
        assert other not in {pid_of(answer) for answer in answers}


def test_what_nobody_takes_is_answered_here() -> None:
    with busy() as one, halted(one.other()):
        streams = [one.client.ask("/hello") for _ in range(5)]
        one.client.ping()
        assert not any(one.client.answers[stream].status for stream in streams)
        owner = one.owner()
        assert {pid_of(one.client.wait(stream)) for stream in streams} == {owner}


def test_a_reload_loses_nothing() -> None:
    """Of neither worker: the one that has the connection, and the one that runs its call."""
    with busy() as one, Gate() as second:
        stream, begun = one.client.ask(second.target), one.client.ask(f"/begun{one.gate.path}")
        until(lambda: second.entered() == 1, "it runs elsewhere")
        old = set(one.site.workers())
        one.site.send(signal.SIGHUP)
        one.client.until(lambda: one.client.goaways)
        second.open()
        answer = one.client.wait(stream)
        assert (answer.body, answer.reset) == (b"slept", None)
        one.client.until(lambda: one.client.answers[begun].status)
        owner = one.owner()
        assert one.client.wait(begun).body == b"begunended"
        assert {owner, pid_of(answer)} == old
        one.site.wait_for("reloaded")
        until(lambda: not old & set(one.site.workers()), "the old workers are gone")


def test_a_stop_loses_nothing() -> None:
    with busy() as one, Gate() as second:
        streams = [one.client.ask(second.target) for _ in range(3)]
        until(lambda: second.entered() == 1, "one runs elsewhere")
        one.site.send(signal.SIGTERM)
        one.client.until(lambda: one.client.goaways)
        second.open()
        one.owner()
        assert [one.client.wait(stream).body for stream in streams] == [b"slept"] * 3
        assert one.site.wait() == 0


def test_nothing_is_lost_while_workers_come_and_go() -> None:
    with Site(APP, "--workers", "3", "--threads", "2", *TWO[2:]) as site:
        stop = threading.Event()
        with ThreadPoolExecutor(4) as pool:
            answered = [pool.submit(_ask_on, site.port, stop) for _ in range(4)]
            for number in (signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGHUP):
                before = site.total(Word.REQUESTS)
                site.send(number)
                until(lambda before=before: site.total(Word.REQUESTS) > before + 50, "requests go on")  # type: ignore[misc]
            site.wait_for("reloaded", 1)
            stop.set()
            counts = [one.result() for one in answered]
        assert sum(counts) > 200
        until(lambda: site.total(Seat.CONNECTIONS) == 0, "no connection is left")
        until(lambda: site.total(Word.BUSY) == 0, "no call is left")
        assert "Traceback" not in site.log()
        assert site.stop() == 0


def _ask_on(port: int, stop: threading.Event) -> int:
    """Ask for several things at once, on one connection after the other; return how many answers came, all
    of which were right."""
    count = 0
    while not stop.is_set():
        with Http2Client(("127.0.0.1", port)) as client:
            while not (stop.is_set() or client.goaways):
                bodies = {client.ask("/echo", method="POST", body=(body := os.urandom(5000))): body}
                bodies |= {client.ask("/sleep/0.01"): b"slept" for _ in range(10)}
                for stream, body in bodies.items():
                    answer = client.answers[stream]
                    client.until(
                        lambda stream=stream, answer=answer: answer.ended or client.is_refused(stream)
                    )
                    assert answer.reset is None
                    assert client.is_refused(stream) or (answer.status, answer.body) == (200, body)
                    count += answer.ended
    return count
