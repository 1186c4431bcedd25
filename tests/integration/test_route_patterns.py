# Route patterns of real frameworks, on all paths that figures take: /metrics, the stream, `ctl`, `top`.

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
from contextlib import suppress

import pytest

from bigtop.ipc.route_counts import MOST, OTHER
from tests.integration.test_admin import PROTOBUF, TEXTS, admin_site, metrics
from tests.integration.test_serve_control import ctl
from tests.support.site import Site, until

# Application, and the patterns of what ask_all() asks for.
FRAMEWORKS = {
    "django-wsgi": (
        "patterns_django:app",
        ("/articles/<int:number>/", "/shop/items/(?P<number>[0-9]+)$", "/fail/<int:number>"),
    ),
    "django-asgi": (
        "patterns_django:asgi",
        ("/articles/<int:number>/", "/shop/items/(?P<number>[0-9]+)$", "/fail/<int:number>"),
    ),
    "flask": (
        "patterns_flask:app",
        ("/articles/<int:number>/", "/shop/items/<int:number>", "/fail/<int:number>"),
    ),
    "starlette": (
        "patterns_starlette:app",
        ("/articles/{number:int}/", "/shop/items/{number:int}", "/fail/{number:int}"),
    ),
    "fastapi": (
        "patterns_fastapi:app",
        ("/articles/{number}/", "/shop/items/{number}", "/fail/{number}"),
    ),
}
DURATION = "bigtop_route_duration_seconds_count"
ERRORS = "bigtop_route_errors_total"


def site_of(app: str, *args: str) -> Site:
    return admin_site(*args, app=f"tests.apps.{app}")


def get(site: Site, path: str) -> None:
    with suppress(urllib.error.HTTPError):
        site.get(path)


def counted(site: Site, name: str = DURATION, kind: str = "text/plain") -> dict[str, float]:
    """Return the counts by route pattern."""
    return {
        dict(key[1:])["http_route"]: value for key, value in metrics(site, kind).items() if key[0] == name
    }


def ask_all(site: Site) -> None:
    for number in range(5):
        get(site, f"/articles/{number}/")
    for number in range(3):
        get(site, f"/shop/items/{number}")
    get(site, "/fail/1")
    for number in range(4):
        get(site, f"/nothing/{number}")


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_requests_are_counted_by_the_pattern_that_the_framework_tells(framework: str) -> None:
    app, (article, item, fail) = FRAMEWORKS[framework]
    with site_of(app, "--workers", "2") as site:
        ask_all(site)
        expected = {article: 5, item: 3, fail: 1}
        until(lambda: counted(site) == expected, f"{expected}, not {counted(site)}")
        assert counted(site, ERRORS) == {article: 0, item: 0, fail: 1}
        for kind in (*TEXTS, PROTOBUF):
            assert counted(site, kind=kind) == expected
        recent = json.loads(ctl(site, "recent", "--json"))["requests"]
        assert {(row["path"], row["route"]) for row in recent} >= {
            ("/articles/4/", article),
            ("/shop/items/2", item),
            ("/nothing/3", ""),
        }
        assert "ROUTE" in ctl(site, "recent")
        # Those that are gone stay counted.
        for worker in site.workers():
            os.kill(worker, signal.SIGKILL)
            until(lambda pid=worker: pid not in site.workers(), "its end")
        until(lambda: len(site.workers()) == 2, "its successors")
        assert counted(site) == expected
        get(site, "/articles/9/")
        until(lambda: counted(site)[article] == 6, "one more")


def test_top_has_them_below_their_application() -> None:
    app, patterns = FRAMEWORKS["flask"]
    with site_of(app, "--workers", "2", "--stats") as site:
        ask_all(site)
        until(lambda: len(counted(site)) == 3, "all of them")
        told = json.loads(top(site))["supervisors"][0]["watchers"][0]
        assert [route["name"] for route in told["routes"]] == sorted(patterns)
        assert sorted(process["name"] for process in told["processes"]) == ["1", "2"]


def top(site: Site) -> str:
    command = [sys.executable, "-m", "bigtop", "top", "--json", "--once", "--endpoint", "shop"]
    env = {**os.environ, "XDG_RUNTIME_DIR": str(site.folder)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=env, check=False)
    assert done.returncode == 0, done
    return done.stdout


@pytest.mark.parametrize(
    ("backend", "framework"),
    [
        ("waitress", "flask"),
        ("cheroot", "django-wsgi"),
        ("gevent", "flask"),
        ("hypercorn", "fastapi"),
        ("uvicorn", "django-asgi"),
    ],
)
def test_with_servers_of_others(backend: str, framework: str) -> None:
    app, (article, item, fail) = FRAMEWORKS[framework]
    with site_of(app, "--workers", "1", "--backend", backend) as site:
        ask_all(site)
        expected = {article: 5, item: 3, fail: 1}
        until(lambda: counted(site) == expected, f"{expected}, not {counted(site)}")


@pytest.mark.parametrize(
    ("app", "paths", "expected"),
    [
        (
            "patterns_starlette:app",
            ("/of/a/items/1", "/of/b/items/2", "/files/shown.py", "/files/site.py"),
            {"/items/{number:int}": 2, "/files": 2},
        ),
        ("patterns_fastapi:app", ("/other/things/1", "/other/nothing"), {"/other/things/{number}": 1}),
    ],
)
def test_what_is_mounted(app: str, paths: tuple[str, ...], expected: dict[str, int]) -> None:
    with site_of(app, "--workers", "1") as site:
        for path in paths:
            get(site, path)
        until(lambda: counted(site) == expected, f"{expected}, not {counted(site)}")


def test_what_bigtop_mounts() -> None:
    with site_of("patterns_flask:app", "--mount", "/django=tests.apps.patterns_django:app") as site:
        get(site, "/articles/1/")
        get(site, "/django/articles/1/")
        expected = {"/articles/<int:number>/": 1, "/django/articles/<int:number>/": 1}
        until(lambda: counted(site) == expected, f"{expected}, not {counted(site)}")


def test_there_are_never_more_patterns_than_there_is_room_for() -> None:
    with site_of("patterns_flask:many", "--workers", "2") as site:
        for number in (*range(100), *range(100)):
            get(site, f"/{number}/x")
        until(lambda: sum(counted(site).values()) == 200, "all of them")
        found = counted(site)
        assert len(found) == MOST
        assert found[OTHER] > 0


def test_paths_that_clients_choose_are_no_labels() -> None:
    with site_of("patterns_flask:tenants", "--workers", "1") as site:
        for number in range(30):
            get(site, f"/tenant{number}/articles/1/")
        until(lambda: sum(counted(site).values()) == 30, "all of them")
        assert counted(site)["/articles/<int:number>/"] == 22
        assert len(counted(site)) == 9


def test_a_websocket_is_none_of_them() -> None:
    from websockets.sync.client import connect  # here: it takes a while

    with (
        site_of("patterns_fastapi:app", "--workers", "1") as site,
        connect(site.url.replace("http", "ws", 1).rstrip("/") + "/socket/1") as client,
    ):
        with suppress(Exception):
            client.recv()
        get(site, "/articles/1/")
        until(lambda: counted(site) == {"/articles/{number}/": 1}, "the request")


def test_without_a_framework_there_is_nothing() -> None:
    with admin_site("--workers", "1") as site:
        site.get("/")
        until(lambda: metrics(site)["bigtop_requests_total", ("app", "shop"), ("status", "2xx")] == 1, "it")
        assert counted(site) == {}
        assert "ROUTE" not in ctl(site, "recent")
