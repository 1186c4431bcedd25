# Several [app] sections on one socket.

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bigtop.http.declarations import Route
from tests.config.files import loaded, mistakes

SOCKETS = """\
[socket.web]
port = 0
[socket.more]
port = 0
"""


def app(name: str, *lines: str, sockets: str = '["web"]') -> str:
    return "\n".join([f"[app.{name}]", 'app = "a:b"', f"sockets = {sockets}", *lines, ""])


def test_each_of_them_knows_the_table(tmp_path: Path) -> None:
    text = (
        SOCKETS
        + app("web")
        + app("api", 'routes = ["/api/", "API.example.org/v2"]')
        + app("x", 'routes = ["[::1]"]')
    )
    daemon = loaded(tmp_path, text + app("alone", sockets='["more"]'), "a.toml")
    table = (
        ("api", Route("", "/api")),
        ("api", Route("api.example.org", "/v2")),
        ("web", Route("", "")),
        ("x", Route("[::1]", "")),
    )
    assert {spec.name: spec.table for spec in daemon.apps} == {
        "alone": (),
        "api": table,
        "web": table,
        "x": table,
    }


def test_one_that_is_alone_may_leave_the_rest_unanswered(tmp_path: Path) -> None:
    (only,) = loaded(tmp_path, SOCKETS + app("api", 'routes = "/api"'), "a.toml").apps
    assert only.table == (("api", Route("", "/api")),)


def test_in_an_ini_file(tmp_path: Path) -> None:
    text = """
        [socket:web]
        port = 0
        [app:web]
        app = a:b
        sockets = web
        [app:api]
        app = a:c
        sockets = web
        routes = /api, api.example.org
        """
    first, _ = loaded(tmp_path, text).apps
    assert [str(route) for _, route in first.table] == ["/api", "api.example.org", "the rest"]


ROUTED = 'routes = ["/y"]'
IN_COMMON = "share one, so they have to have all in common, and no bind of their own"
NEEDS = (
    "needs routes, such as /api or api.example.org: it shares a socket with [app:a] at a.toml:5, "
    "which answers whatever is not routed elsewhere"
)
FORM = "must be a path, a host without a port, or both, such as /api, api.example.org or api.example.org/v2"
EARLY = "must be as in [app:a], for it counts before it is known whose request it is"


def test_the_page_shows_files_that_are_right(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs/howto/several-applications.md").read_text()
    shown = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    tables = [loaded(tmp_path, text, "a.toml").apps[0].table for text in shown]
    assert [len(table) for table in tables] == [3, 2]


MISTAKES = [
    (
        app("a") + app("b"),
        f"8: [app:b] {NEEDS}",
    ),
    (
        app("a", 'routes = ["/x", "/y"]') + app("b", 'routes = ["/y/"]'),
        "12: routes: /y is of [app:a] at a.toml:8 already",
    ),
    (app("a", 'routes = ["/", "/"]'), "8: routes: / is there twice"),
    (
        app("a") + app("b", ROUTED, sockets='["web", "more"]'),
        f"10: sockets: [app:b] and [app:a] {IN_COMMON}",
    ),
    (
        app("a") + app("b", 'bind = "127.0.0.1:0"', ROUTED),
        f"10: sockets: [app:b] and [app:a] {IN_COMMON}",
    ),
    (app("a") + app("b", ROUTED, "limit_request_head = 1000"), f"12: limit_request_head: {EARLY}"),
    (app("a") + app("b", ROUTED, 'proxy_protocol = "v1"'), f"12: proxy_protocol: {EARLY}"),
    (
        app("a", "limit_request_head = 200000", ROUTED),
        "8: limit_request_head: at most 131072 where requests are routed, so that a head can travel",
    ),
    (
        app("a") + app("b", ROUTED, 'backend = "wsgiref"'),
        "12: backend: wsgiref cannot share a socket with other applications; wsgi, gevent and asgi can",
    ),
    (app("a", 'routes = ["y"]', "mounted = true"), "9: mounted: needs routes with a path, such as /api"),
    (
        app("a", 'routes = ["y"]') + app("b", 'routes = ["http://y"]'),
        f"12: routes: {FORM}, got 'http://y'",
    ),
]


@pytest.mark.parametrize(("text", "mistake"), MISTAKES)
def test_mistakes(tmp_path: Path, text: str, mistake: str) -> None:
    assert mistakes(tmp_path, SOCKETS + text, "a.toml") == [f"a.toml:{mistake}"]
