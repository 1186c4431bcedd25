# Options by path: [path:APP:PATH] in INI, [app.APP.paths."PATH"] in TOML.

from __future__ import annotations

from pathlib import Path

import pytest

from bigtop.backends.serve_options import ServeOptions
from bigtop.config.file.daemon import resolve
from bigtop.config.file.report import show
from bigtop.http.declarations import Rate
from bigtop.workers.bootstrap import Bootstrap
from tests.config.files import loaded, mistakes, written

INI = """\
[app:site]
app = a:b
hsts = 1y
limit_address_rate = 50
[app:site:x]
app = a:c
bind = 127.0.0.1:8001
[path:site:/api/]
limit_address_rate = 5
[path:site:/login/]
limit_address_rate = 5/m
hsts = $(circus.env.Mixed)
[path:site:x:*.php]
hsts = 5m
[env]
Mixed = 2y
"""
TOML = """\
[app.site]
app = "a:b"
hsts = "1y"
limit_address_rate = 50
[app.site.paths."/api/"]
limit_address_rate = 5
[app."site:x"]
app = "a:c"
bind = ["127.0.0.1:8001"]
[app."site:x".paths."*.php"]
hsts = "5m"
[app.site.paths."/login/"]
limit_address_rate = "5/m"
hsts = "$(circus.env.Mixed)"
[env]
Mixed = "2y"
"""


def options(daemon_app: object) -> ServeOptions:
    return daemon_app.site.options  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize(("name", "text"), [("a.ini", INI), ("a.toml", TOML)])
def test_a_section_says_what_is_other_for_its_path(tmp_path: Path, name: str, text: str) -> None:
    site, other = map(options, loaded(tmp_path, text, name).apps)
    (api, login), (php,) = site.paths, other.paths
    assert (site.tls.hsts, site.gates.rate, site.gates.rate_zone) == ("max-age=31536000", Rate(50, 1), "")
    assert (api.pattern, api.options.tls.hsts) == ("/api/", "max-age=31536000")
    assert (login.pattern, login.options.tls.hsts) == ("/login/", "max-age=63072000")
    assert [(one.options.gates.rate, one.options.gates.rate_zone) for one in (api, login)] == [
        (Rate(5, 1), "/api/"),
        (Rate(5, 60), "/login/"),
    ]
    assert (php.pattern, php.options.tls.hsts, php.options.gates.rate) == ("*.php", "max-age=300", Rate(0, 1))
    assert other.tls.hsts == ""
    assert not api.options.paths


def test_workers_are_told(tmp_path: Path) -> None:
    (spec, _) = loaded(tmp_path, INI, "a.ini").apps
    orders = Bootstrap("site", "a:b", False, None, None, "auto", (), 3, options=spec.site.options)
    assert Bootstrap.decode(orders.encode()).options == spec.site.options


def test_it_is_shown_with_its_place(tmp_path: Path) -> None:
    path = written(tmp_path, TOML, "a.toml")
    lines = show(resolve(path, {}), every=False).splitlines()
    at = lines.index("[path:site:/api/]")
    assert lines[at + 1].split() == ["limit_address_rate", "=", "5", "#", f"{path}:6"]
    assert lines[at + 2] == ""


WRONG = """\
[app:site]
app = a:b
[path:site:/api/]
limit_address_rate = many
workers = 3
hst = 1y
[path:shop:/api/]
hsts = 1y
[path:site:api]
hsts = 1y
[path:/api/]
hsts = 1y
[app:old]
app = a:b
bind = 127.0.0.1:8001
backend = waitress
[path:old:/]
hsts = 1y
[path:site:/again/]
hsts = nonsense
"""


NOBODYS = "there is no [app] of that name: write [path:APP:PATH], such as [path:site:/api/]"


def test_what_is_wrong_is_told_with_its_place(tmp_path: Path) -> None:
    pytest.importorskip("waitress", reason="pip install waitress")
    assert mistakes(tmp_path, WRONG, "a.ini") == [
        (
            "a.ini:4: limit_address_rate: must be a number of requests, at most 1000000, such as 10, "
            "100/m or 1000/h, got 'many'"
        ),
        "a.ini:5: workers: is for a whole application, and cannot be said by path",
        "a.ini:6: [path:site:/api/] has no key hst; did you mean hsts?",
        f"a.ini:7: [path:shop:/api/]: {NOBODYS}",
        "a.ini:9: [path:site:api]: must be a pattern of paths such as /upload/*, got 'api'",
        f"a.ini:11: [path:/api/]: {NOBODYS}",
        (
            "a.ini:17: [path:old:/] backend 'waitress' does not support options by path ([path:APP:PATH]); "
            "choose wsgi, gevent or asgi"
        ),
        (
            "a.ini:20: hsts: must be an age such as 5m or 1y, with subdomains or preload behind it, "
            "got 'nonsense'"
        ),
    ]


def test_tables_that_are_none(tmp_path: Path) -> None:
    first = '[app.a]\napp = "a:b"\npaths = "/api/"\n'
    text = first + '[app.b]\napp = "a:b"\nbind = ":8001"\n[app.b.paths]\n"/x/" = 3\n'
    assert mistakes(tmp_path, text, "a.toml") == [
        'a.toml:3: must be tables, such as [app.a.paths."/api/"]',
        'a.toml:8: must be a table with a path as its name, such as [app.b.paths."/api/"]',
    ]


def test_a_path_is_said_once(tmp_path: Path) -> None:
    text = "[app:a]\napp = a:b\n[path:a:/x/]\nhsts = 1y\n[path:a:/x]\nhsts = 2y\n"
    assert mistakes(tmp_path, text, "a.ini") == [
        "a.ini:5: [path:a:/x] is the same path as [path:a:/x/] at a.ini:3"
    ]
