# The response cache of a site: what its workers keep together, what kills of them do to it, and purges.

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack
from typing import Any
from urllib.parse import quote

import pytest

from bigtop.control.client.client import Client as ControlClient
from bigtop.control.client.client import RefusedError
from bigtop.ipc.scoreboard import Word
from tests.support.backend_server import eventually
from tests.support.gate import Gate
from tests.support.site import ROOT, Site
from tests.support.wire import Answer, Client, Closed, request

MINUTE = "h=Cache-Control:max-age%3D60"
KINDS = pytest.mark.parametrize("kind", ["wsgi", "asgi"])


def site(kind: str, *flags: str) -> Site:
    return Site(f"tests.apps.cacheable:{kind}", "--workers", "3", "--cache", "8M", "--name", "site", *flags)


def ctl(running: Site, *words: str) -> str:
    endpoint = str(running.folder / "bigtop" / "site.ctl")
    command = [sys.executable, "-m", "bigtop", "ctl", "--timeout", "60", "--endpoint", endpoint, *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return done.stdout + done.stderr


def call(running: Site, command: str, **properties: object) -> dict[str, Any]:
    with ControlClient(str(running.folder / "bigtop" / "site.ctl"), timeout=120) as client:
        return client.call(command, **properties)


def ask(running: Site, target: str, *fields: str) -> Answer:
    with Client(("127.0.0.1", running.port)) as client:
        return client.get(target, *fields)


def seen(answer: Answer) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer.body)
    return found


@KINDS
def test_what_is_asked_for_arrives_in_the_workers_and_they_keep_it_together(kind: str) -> None:
    with site(kind, "--cache-cookies", "session") as running:
        target = f"/shared?{MINUTE}&pid=1"
        first = seen(ask(running, target))
        with ExitStack() as stack:  # open connections, so that each worker has some
            clients = [stack.enter_context(Client(("127.0.0.1", running.port))) for _ in range(9)]
            answers = [client.get(target, "Cookie: _ga=1") for client in clients for _ in range(2)]
        assert all(seen(answer) == first for answer in answers)
        assert seen(ask(running, target, "Cookie: session=1"))["pid"] in running.workers()
        (told,) = call(running, "cache")["caches"]
        assert (told["hits"], told["misses"], told["stored"], told["evicted"]) == (18, 2, 2, 0)

        # A purge concerns what all of them keep, also after the workers are others.
        running.send(signal.SIGHUP)
        eventually(lambda: first["pid"] not in running.workers(), what="the workers are replaced")
        assert seen(ask(running, target)) == first
        assert call(running, "purge", url="/other*")["purged"] == {"site": 0}
        assert seen(ask(running, target)) == first
        assert call(running, "purge", url="/shar*", name="site")["purged"] == {"site": 2}
        assert seen(ask(running, target))["pid"] != first["pid"]
        assert call(running, "purge")["purged"] == {"site": 1}
        with pytest.raises(RefusedError, match="program nobody not found"):
            call(running, "purge", name="nobody")


def test_people_see_and_purge_it() -> None:
    with site("wsgi") as running:
        target = f"/seen?{MINUTE}"
        for _ in range(2):
            ask(running, target)
        head, row = ctl(running, "cache").splitlines()
        assert head.split() == ["WATCHER", "USED", "HITS", "STALE", "MISSES", "PASSED", "STORED", "EVICTED"]
        assert row.split()[-6:] == ["1", "0", "1", "0", "1", "0"]
        assert ctl(running, "purge", f"http://example/{target}") == "site: 0 forgotten\n"
        assert ctl(running, "purge", "/seen*") == "site: 1 forgotten\n"


def test_without_a_cache_nothing_is_purged() -> None:
    with Site("tests.apps.cacheable:wsgi", "--name", "site") as running:
        with pytest.raises(RefusedError, match="no application has a cache"):
            call(running, "purge")
        assert call(running, "cache")["caches"] == []
        assert ask(running, f"/x?{MINUTE}")["Cache-Status"] is None


@KINDS
def test_a_filler_that_is_killed_is_followed_by_another(kind: str) -> None:
    """A herd waits for a call whose worker is killed: one of the others makes the answer, whole, and soon."""
    with site(kind) as running, Gate("") as gate, ExitStack() as stack:
        target = f"/killed?{MINUTE}&pid=1&size=20000&gate={quote(gate.path)}"

        def client() -> Client:
            return stack.enter_context(Client(("127.0.0.1", running.port)))

        first = client()
        first.send(request(target))
        eventually(lambda: gate.entered() == 1, what="the first is inside")
        (filler,) = [view.words[Word.PID] for view in running.scoreboard.values() if view.present()]
        others = [client() for _ in range(6)]
        for one in others:
            one.send(request(target))
        os.kill(filler, signal.SIGKILL)
        with pytest.raises((Closed, ConnectionError)):
            first.answer()
        eventually(lambda: gate.entered() >= 2, what="another one fills")
        gate.open()
        answers = []
        for one in others:
            try:
                answers.append(one.answer())
            except (Closed, ConnectionError):  # the worker that was killed had it
                continue
        fresh = ask(running, target)
        assert seen(fresh)["pid"] not in (0, filler)
        for answer in answers:
            assert len(answer.body) > 20000
            assert seen(answer)["pid"] != filler


def test_a_storm_with_kills_gives_everybody_whole_answers_and_nobody_those_of_others() -> None:
    """Many clients, few URLs, private and public answers, workers killed all the time."""
    with site("wsgi", "--threads", "2") as running:
        wrong: list[str] = []
        answered = [0]
        stop = threading.Event()

        def storm(seed: int) -> None:
            chance = random.Random(seed)
            user = f"user{seed}"
            while not stop.is_set():
                path = f"/storm{chance.randrange(4)}"
                kind = chance.choice(["public, max-age=1", "max-age=1, stale-while-revalidate=5", "private"])
                language = chance.choice(["de", "en"])
                target = f"{path}?h=Cache-Control:{quote(kind)}&h=Vary:X-Language&size=30000&pieces=1"
                fields = [f"X-Language: {language}"]
                if chance.random() < 0.5:
                    target += "&h=Set-Cookie:a%3Db"
                    fields.append(f"Cookie: session={user}")
                try:
                    answer = ask(running, target, *fields)
                except (Closed, OSError):  # its worker was killed
                    continue
                answered[0] += 1
                told = seen(answer)["seen"]
                if answer.status != 200 or len(answer.body) < 30000:
                    wrong.append(f"{answer.status} {len(answer.body)}")
                if told["x-language"] != language:
                    wrong.append(f"asked in {language}, answered in {told['x-language']}")
                if "Set-Cookie" in target and told.get("cookie", f"session={user}") != f"session={user}":
                    wrong.append(f"{user} was given what is for {told['cookie']}")

        threads = [threading.Thread(target=storm, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        try:
            for turn in range(4):
                begun = answered[0]
                eventually(lambda begun=begun: answered[0] > begun + 60, what="answers are given")
                workers = sorted(running.workers())
                if workers:
                    os.kill(workers[turn % len(workers)], signal.SIGKILL)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert not wrong, wrong[:5]
        (told,) = call(running, "cache")["caches"]
        assert told["hits"] > 0
        assert told["stored"] > 0
