# Limits by address over several workers: what one client may take of all of them together.

from __future__ import annotations

import json
import os
import signal
import time
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from bigtop.backends.native.gates.password_tries import TRIES
from tests.http.test_gates import SHA256
from tests.support.site import Site, until
from tests.support.wire import Answer, Client, Closed, request

APP = "tests.apps.wsgi_basic:app"
QUOTA = 60


def connected(site: Site) -> Client:
    return Client(("127.0.0.1", site.port))


def once(site: Site) -> Answer:
    with connected(site) as client:
        return client.get("/environ", "Connection: close")


def is_let_in(site: Site, held: ExitStack | None = None) -> bool:
    """Whether a new connection is answered; it stays open as long as what it is `held` by."""
    client = connected(site)
    try:
        client.send(request("/"))
        is_answered = client.answer().status == 200
    except (OSError, Closed):  # it was refused before it asked
        is_answered = False
    if held is not None and is_answered:
        held.enter_context(client)
    else:
        client.close()
    return is_answered


def test_an_address_has_one_rate_over_workers_their_deaths_and_reloads(tmp_path: Path) -> None:
    options = ("-w", "4", "--limit-address-rate", f"{QUOTA}/h", "--rate-limit-fields")
    with Site(APP, *options, "--forwarded-allow-ips", "", "--control", str(tmp_path / "control")) as site:
        began = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _number: once(site), range(QUOTA - 10)))
        assert {answer.status for answer in answers} == {200}
        left = [int(str(answer["RateLimit"]).partition(";r=")[2].partition(";")[0]) for answer in answers]
        assert 10 <= min(left) <= 10 + (time.monotonic() - began) * QUOTA / 3600
        workers = site.workers().keys()
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        until(lambda: not workers & site.workers().keys() and len(site.workers()) == 4, "other workers")
        assert once(site).status == 200
        site.send(signal.SIGHUP)
        site.wait_for(": reloaded")
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _number: once(site), range(3 * QUOTA)))
        answered = QUOTA - 9 + sum(answer.status == 200 for answer in answers)
        assert QUOTA <= answered <= QUOTA + 1 + (time.monotonic() - began) * QUOTA / 3600
        refused = [answer for answer in answers if answer.status != 200]
        assert {answer.status for answer in refused} == {429}
        assert refused[0]["RateLimit-Policy"] == f'"address";q={QUOTA};w=3600'
        assert 1 <= int(str(refused[0]["Retry-After"])) <= 61


def test_an_address_has_so_many_wrong_passwords_over_workers(tmp_path: Path) -> None:
    users = tmp_path / "users"
    users.write_text(f"anna:{SHA256}\n")
    with Site(APP, "-w", "4", "--basic-auth", str(users), "--forwarded-allow-ips", "") as site:

        def guess(number: int) -> int:
            given = b64encode(f"anna:guess {number}".encode()).decode()
            with connected(site) as client:
                return client.get("/", f"Authorization: Basic {given}").status

        began = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(guess, range(60)))
        more = TRIES.requests / TRIES.seconds * (time.monotonic() - began)
        # Four workers may be at the last one that is allowed at once.
        assert TRIES.requests <= answers.count(401) <= TRIES.requests + more + 4
        assert answers.count(401) + answers.count(429) == len(answers)


def test_an_address_has_so_many_connections_over_workers_and_their_deaths() -> None:
    options = ("-w", "4", "--limit-address-connections", "12", "--forwarded-allow-ips", "")
    with Site(APP, *options) as site, ExitStack() as held:
        clients = [held.enter_context(connected(site)) for _ in range(12)]
        with ThreadPoolExecutor(12) as pool:
            pids = set(pool.map(lambda client: json.loads(client.get("/environ").body)["pid"], clients))
        with connected(site) as more:
            answer = more.answer()
            assert (answer.status, answer.body) == (
                503,
                b"503 Service Unavailable\ntoo many connections from this address\n",
            )
        for client in clients[:2]:
            client.close()
        for _ in range(2):
            until(lambda: is_let_in(site, held), "room for another one")
        assert not is_let_in(site)
        victim = next(iter(pids))
        os.kill(victim, signal.SIGKILL)
        until(lambda: victim not in site.workers() and len(site.workers()) == 4, "another worker")
        until(lambda: is_let_in(site), "room again, without those of a worker that is gone")
