# TERM at any moment: the process ends with status 0, without a traceback, and every request that was taken
# is answered.
#
# Which instruction a signal meets is chance. With BIGTOP_TERMS=100 each kind is tried a hundred times, with a
# pause before the signal that is another one each time; without, all kinds meet one signal.

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import product
from typing import Protocol

import psutil
import pytest

from bigtop.backends.native.timeouts import LAST_REQUEST
from tests.apps.ended import PIECES, SIZE
from tests.cli.test_worker import Worker
from tests.support.site import Site, until
from tests.support.wire import Client, request

ROUNDS = int(os.environ.get("BIGTOP_TERMS", "0"))
AT_ONCE = 4
LONGEST = 25.0  # seconds, less than the 30 of --graceful-timeout; an idle connection alone is allowed 2
BACKENDS = {
    "wsgi": ("wsgi", ()),
    "threads": ("wsgi", ("--threads", "2")),
    "main-thread": ("wsgi", ("--main-thread",)),
    "gevent": ("wsgi", ("--backend", "gevent")),
    "asgi": ("asgi", ()),
}


class Ended(Protocol):
    """What gets the signal."""

    address: tuple[str, int]

    def term(self) -> None: ...

    def log(self) -> str: ...

    def status(self) -> int: ...


class Served:
    """`bigtop serve`. `every`: all its processes get the signal, as systemd sends it."""

    def __init__(self, site: Site, *, every: bool) -> None:
        self._site = site
        self._every = every
        self.log = site.log
        self.address = ("127.0.0.1", site.port)

    def term(self) -> None:
        for child in self._site.family() if self._every else ():
            try:
                child.send_signal(signal.SIGTERM)
            except psutil.NoSuchProcess:  # the end has begun
                continue
        self._site.send(signal.SIGTERM)

    def status(self) -> int:
        return self._site.wait(LONGEST)


class Lone:
    """`bigtop worker`. `every`: it gets the signal again until it has ended, as some supervisors send it."""

    def __init__(self, worker: Worker, address: tuple[str, int], *, every: bool) -> None:
        self._worker = worker
        self._every = every
        self.log = worker.log
        self.address = address

    def term(self) -> None:
        self._worker.process.send_signal(signal.SIGTERM)

    def status(self) -> int:
        deadline = time.monotonic() + LONGEST
        while self._every and self._worker.process.poll() is None and time.monotonic() < deadline:
            self.term()
            time.sleep(0.001)
        return self._worker.process.wait(LONGEST)


@contextmanager
def served(app: str, args: tuple[str, ...], pause: float, number: int) -> Iterator[Served]:
    site = Site(f"tests.apps.ended:{app}", "--workers", "1", *args, env={"TEST_IMPORT": str(pause)})
    if not pause:
        with site:
            yield Served(site, every=bool(number % 2))
        return
    with site.attempt():
        site.wait_for("listening on")
        yield Served(site, every=False)


@contextmanager
def lone(app: str, args: tuple[str, ...], pause: float, number: int) -> Iterator[Lone]:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        words = ("--fd", str(listener.fileno()), *args, f"tests.apps.ended:{app}")
        worker = Worker(*words, fds=(listener.fileno(),), env={"TEST_IMPORT": str(pause)})
        stack.callback(worker.close)
        worker.wait_for("the application is imported" if pause else "serving ")
        if not pause:  # an application for ASGI starts after it is said to be served
            with Client(listener.getsockname()) as client:
                assert client.get("/").body == b"answered"
        yield Lone(worker, listener.getsockname(), every=bool(number % 2))


STARTS: dict[str, Callable[..., object]] = {"serve": served, "worker": lone}
# Who starts it makes no difference to these: they cost time.
_BY_HAND = {("serve", "threads"), ("serve", "main-thread")}
PLACES = [place for place in product(STARTS, BACKENDS) if ROUNDS or place not in _BY_HAND]


# ---- what a client is in the middle of


def idle(ended: Ended, pause: Callable[[], None]) -> None:
    with Client(ended.address) as client:
        assert client.get("/").body == b"answered"
        pause()
        ended.term()
        assert client.at_end()


def between(ended: Ended, pause: Callable[[], None]) -> None:
    """Ask once more, on the same connection, at the moment of the signal."""
    with Client(ended.address) as client:
        assert client.get("/").body == b"answered"
        asked = time.monotonic()
        ended.term()
        pause()
        client.send(request("/"))
        if time.monotonic() - asked < LAST_REQUEST:
            assert client.answer().body == b"answered"


def call(ended: Ended, pause: Callable[[], None]) -> None:
    with Client(ended.address) as client:
        client.send(request("/sleep"))
        pause()
        ended.term()
        assert client.answer().body == b"answered"


def arriving(ended: Ended, pause: Callable[[], None]) -> None:
    with Client(ended.address) as client:
        client.send(request("/", "Content-Length: 8", method="POST") + b"half")
        pause()
        ended.term()
        pause()
        client.send(b"half")
        assert client.answer().body == b"halfhalf"


def answer(ended: Ended, pause: Callable[[], None]) -> None:
    with Client(ended.address) as client:
        client.send(request("/stream"))
        until(client.is_answered, "the answer to begin")
        pause()
        ended.term()
        assert len(client.answer().body) == PIECES * SIZE


def boot(ended: Ended, pause: Callable[[], None]) -> None:
    pause()
    ended.term()


def crowd(ended: Ended, pause: Callable[[], None]) -> None:
    """All of these, but for the boot."""
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(ended.address)) for _ in range(5)]
        silent, asking, calling, sending, reading = clients
        assert silent.get("/").body == asking.get("/").body == b"answered"
        sending.send(request("/", "Content-Length: 8", method="POST") + b"half")
        reading.send(request("/stream"))
        until(reading.is_answered, "the answer to begin")
        calling.send(request("/sleep"))
        asked = time.monotonic()
        ended.term()
        pause()
        sending.send(b"half")
        asking.send(request("/"))
        in_time = time.monotonic() - asked < LAST_REQUEST
        assert len(reading.answer().body) == PIECES * SIZE
        assert calling.answer().body == b"answered"
        assert not in_time or asking.answer().body == b"answered"
        assert sending.answer().body == b"halfhalf"
        for client in clients[1:]:
            client.close()
        assert silent.at_end()


# Each with the seconds among which the pause before the signal is.
MOMENTS = {idle: 0.002, between: 0.002, call: 0.2, arriving: 0.01, answer: 0.2, boot: 0.3}
PLAYED = MOMENTS if ROUNDS else {crowd: 0.01, boot: 0.3}


@pytest.mark.case("A14", "A1")
@pytest.mark.parametrize(("program", "backend"), PLACES)
def test_a_term_at_any_moment(program: str, backend: str) -> None:
    app, args = BACKENDS[backend]

    def meet(number: int, moment: Callable[..., None], longest: float) -> str:
        seconds = longest * (number * 0.618034 % 1)  # spread evenly, however many there are
        importing = longest if moment is boot else 0.0
        with STARTS[program](app, args, importing, number) as ended:  # type: ignore[attr-defined]
            try:
                moment(ended, lambda: time.sleep(seconds))
                status = ended.status()
            except Exception as error:
                return f"{moment.__name__} {number} after {seconds}: {error!r}\n{ended.log()}"
            said = [word for word in ("Traceback", "ERROR", "CRITICAL", "cut off") if word in ended.log()]
            ok = status == 0 and not said
            return "" if ok else f"{moment.__name__} {number} after {seconds}: {status} {said}\n{ended.log()}"

    plays = [(number, *play) for number in range(1, max(1, ROUNDS) + 1) for play in PLAYED.items()]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        failed = [report for report in pool.map(lambda one: meet(*one), plays) if report]
    assert not failed, f"{len(failed)} of {len(plays)}:\n" + "\n".join(failed[:3])
