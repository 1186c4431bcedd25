# `bigtop serve APP --mount URL=APP`: several applications, WSGI and ASGI, behind one socket.

from __future__ import annotations

import json
import signal
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.support.load import Load
from tests.support.site import Site, until
from tests.support.wire import Client

WSGI = "tests.apps.mounted:wsgi"
ASGI = "tests.apps.mounted:asgi"


def told(client: Client, path: str, *headers: str) -> dict[str, Any]:
    answer = client.get(path, *headers)
    assert answer.status == 200
    found: dict[str, Any] = json.loads(answer.body)
    return found


@pytest.mark.parametrize(("main", "mounted"), [(WSGI, ASGI), (ASGI, WSGI), (WSGI, WSGI), (ASGI, ASGI)])
def test_each_application_is_told_its_place(main: str, mounted: str) -> None:
    with Site(main, "--mount", f"/api={mounted}", "--mount", f"/api/deep={main}") as site:
        with Client(("127.0.0.1", site.port)) as client:  # one connection reaches all of them
            for path, app, root in [
                ("/", main, ""),
                ("/apiary", main, ""),
                ("/api", mounted, "/api"),
                ("/api/x%20y?q=1", mounted, "/api"),
                ("/api/deep/z", main, "/api/deep"),
            ]:
                found = told(client, path)
                assert (found["speaks"], found["root"]) == (app.rpartition(":")[2], root)
                plain = path.partition("?")[0].replace("%20", " ")
                # A path is told whole in ASGI, and without the place in WSGI.
                assert found["path"] == (plain if app is ASGI else plain.removeprefix(root))
                assert found.get("lived") == ("lifespan.startup" if app is ASGI else None)
        assert site.stop() == 0


def test_wsgi_beside_asgi_lacks_nothing() -> None:
    with Site(WSGI, "--mount", f"/api={ASGI}", "--threads", "2") as site:
        with Client(("127.0.0.1", site.port)) as client:
            found = told(client, "/a?b=c", "X-Field: one", "X-Field: two")
            assert (found["query"], found["field"], found["client"]) == ("b=c", "one,two", "127.0.0.1")
            assert (found["main"], found["loop"]) == (False, False)
            for size in (0, 10, 1_000_000):
                assert json.loads(client.post("/", b"b" * size).body)["body"] == size
        with connect(f"ws://127.0.0.1:{site.port}/api/ws", proxy=None) as socket:
            assert socket.recv() == "/api"
        with pytest.raises(InvalidStatus, match="403"):
            connect(f"ws://127.0.0.1:{site.port}/ws", proxy=None)


def test_what_fails_in_one_is_no_matter_to_the_others() -> None:
    broken, stream = "tests.apps.mounted:wsgi_broken", "tests.apps.mounted:wsgi_stream"
    with Site(ASGI, "--mount", f"/broken={broken}", "--mount", f"/stream={stream}") as site:
        with Client(("127.0.0.1", site.port)) as client:
            assert client.get("/broken").status == 500
        with Client(("127.0.0.1", site.port)) as client:
            assert len(client.get("/stream").body) == 64 * 65536
            assert told(client, "/")["speaks"] == "asgi"
        site.wait_for("no answer today")


def test_reloads_lose_nothing_of_either() -> None:
    with Site(WSGI, "--mount", f"/api={ASGI}", "--workers", "2") as site:
        with Load(site.port, 3) as load, Load(site.port, 3, "/api/pid") as other:
            until(lambda: load.answered > 50 and other.answered > 50, "load")
            for _ in range(2):
                before = site.workers().keys()
                site.send(signal.SIGHUP)
                until(lambda before=before: not before & site.workers().keys(), "new workers")  # type: ignore[misc]
        assert load.failures == other.failures == []


def test_a_start_that_fails_names_the_mount() -> None:
    site = Site(WSGI, "--mount", "/api=tests.apps.mounted:asgi_fails")
    site.start()
    try:
        assert site.process.wait(30) != 0
        assert "/api: the application failed to start: the cache is away" in site.log()
    finally:
        site.process.kill()
