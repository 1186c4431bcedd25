# Who is let in, as options say it: what is accepted, and what is wrong with the rest.

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path

import pytest

from bigtop.backends.serve_options import ServeOptions
from bigtop.config.serve import options as o
from bigtop.config.serve import serve
from bigtop.config.serve.settings import Given, resolve
from bigtop.errors import ConfigError
from bigtop.http.declarations import Mount, Rate
from bigtop.http.gates.credentials import users_of
from bigtop.system import passwords
from bigtop.workers.bootstrap import Bootstrap
from tests.config.files import loaded
from tests.http.test_gates import BCRYPT, SHA256, SHA512


def options(folder: Path, **texts: str) -> ServeOptions:
    layer = {name: Given((text,), f"--{name}") for name, text in {"chdir": str(folder), **texts}.items()}
    return serve.spec(resolve("a:b", o.OPTIONS, [layer])).options


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("0", Rate(0, 1)),
        ("5", Rate(5, 1)),
        ("5/s", Rate(5, 1)),
        ("100/m", Rate(100, 60)),
        ("1000000/h", Rate(1_000_000, 3600)),
        ("7/d", Rate(7, 86400)),
    ],
)
def test_rates(tmp_path: Path, text: str, rate: Rate) -> None:
    assert options(tmp_path, limit_address_rate=text).gates.rate == rate


@pytest.mark.parametrize("text", ["", "-1", "1000001", "5/w", "5/", "/m", "1.5", "5 /m", "٣"])
def test_what_is_no_rate(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="--limit_address_rate: must be a number of requests"):
        options(tmp_path, limit_address_rate=text)


def test_off_and_nothing_are_the_defaults(tmp_path: Path) -> None:
    plain = options(tmp_path).gates
    assert plain == ServeOptions().gates
    assert (
        options(
            tmp_path, allow="off", deny="off", basic_auth="off", maintenance_file="off", canonical_host="off"
        ).gates
        == plain
    )


def test_statuses_of_pages(tmp_path: Path) -> None:
    (tmp_path / "sorry.html").write_text("")
    page = str(tmp_path / "sorry.html")
    assert options(tmp_path, error_page="502,404=sorry.html").gates.error_pages == ((502, page), (404, page))
    found = dict(options(tmp_path, error_page="5xx=sorry.html").gates.error_pages)
    assert found.keys() == {int(status) for status in HTTPStatus if status >= 500}


def test_fallbacks(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("")
    (mount,) = options(tmp_path, static="/=.", static_fallback="/=index.html").static
    assert mount == Mount("/", f"{tmp_path}/.", "index.html")
    (mount,) = options(tmp_path, static="/a/b=.", static_fallback="/a/b/=app").static
    assert mount.fallback == "app"


WRONG = [
    (
        {"allow": "10.0.0.0/33"},
        "--allow: must be an IP address, a network such as 10.0.0.0/8, *, or file:PATH",
    ),
    ({"deny": "file:"}, "--deny: must be an IP address"),
    ({"deny": "file:none"}, "--deny: {folder}/none cannot be read: No such file or directory"),
    ({"allow": "file:list"}, "--allow: {folder}/list:2: must be an IP address"),
    ({"allow": "file:binary"}, "--allow: {folder}/binary is no text in UTF-8"),
    ({"basic_auth": "list"}, "--basic_auth: {folder}/list:1: must be NAME:HASH"),
    ({"basic_auth": "weak"}, "--basic_auth: {folder}/weak:1: the password of a is hashed with MD5"),
    ({"basic_auth_realm": 'a"b'}, "--basic_auth_realm: must be printable ASCII without quotes"),
    ({"canonical_host": "a/b"}, "--canonical_host: must be a host such as www.example.com"),
    ({"canonical_host": "*.example.com"}, "--canonical_host: must be a host"),
    ({"canonical_host": "a,b"}, "--canonical_host: a and b cannot both be for all other hosts"),
    ({"canonical_host": "a=b,b=a"}, "--canonical_host: b is an alias, and nobody is redirected to one"),
    ({"error_page": "200=list"}, "--error_page: must be statuses and a file"),
    ({"error_page": "502"}, "--error_page: must be statuses and a file"),
    ({"error_page": "502="}, "--error_page: must be statuses and a file"),
    ({"error_page": "3xx=list"}, "--error_page: must be statuses and a file"),
    ({"error_page": "502=none"}, "--error_page: there is no file {folder}/none"),
    ({"static_fallback": "/=list"}, "--static_fallback: there is no --static /"),
    ({"static": "/=.", "static_fallback": "/=none"}, "--static_fallback: there is no file {folder}/./none"),
    ({"static": "/=.", "static_fallback": "/=../list"}, "--static_fallback: must be the path of a --static"),
    ({"static": "/=.", "static_fallback": "/=.hidden"}, "--static_fallback: must be the path of a --static"),
    ({"static": "/=none"}, "--static: there is no directory {folder}/none"),
]


@pytest.mark.parametrize(("texts", "problem"), WRONG, ids=lambda one: str(one)[:40])
def test_what_is_wrong_is_told_before_anything_starts(
    tmp_path: Path, texts: dict[str, str], problem: str
) -> None:
    (tmp_path / "list").write_text("10.0.0.1\nnobody\n")
    (tmp_path / "binary").write_bytes(b"\xff")
    (tmp_path / "weak").write_text("a:$apr1$x$y\n")
    with pytest.raises(ConfigError) as caught:
        options(tmp_path, **texts)
    assert str(caught.value).startswith(problem.format(folder=tmp_path))


def test_gates_reach_workers_by_path_too(tmp_path: Path) -> None:
    for name in ("list", "users", "sorry"):
        (tmp_path / name).write_text("")
    text = f"""
        [app:site]
        app = a:b
        chdir = {tmp_path}
        allow = 10.0.0.0/8 file:list
        error_page = 503=sorry
        limit_request_body = 1M
        [path:site:/admin/]
        allow = off
        basic_auth = users
        [path:site:/upload/]
        limit_request_body = 5M
        """
    (app,) = loaded(tmp_path, text, "a.ini").apps
    found = app.site.options
    admin, upload = (path.options for path in found.paths)
    assert found.gates.allow == ("10.0.0.0/8", f"file:{tmp_path}/list")
    assert (admin.gates.allow, admin.gates.users) == ((), f"{tmp_path}/users")
    assert admin.gates.error_pages == ((503, f"{tmp_path}/sorry"),)
    assert found.limits.body_for == (("/admin/", 1 << 20), ("/upload/", 5 << 20))
    assert upload.limits.body == 5 << 20
    orders = Bootstrap("site", "a:b", False, None, None, "auto", (), 3, options=found)
    assert Bootstrap.decode(orders.encode()).options == found


def test_passwords_are_tried_by_whatever_is_there() -> None:
    stored = tuple(users_of(f"a:{BCRYPT}\nb:{SHA256}\nc:{SHA512}\n").values())
    if problem := passwords.lacking(stored):
        pytest.skip(problem)
    for one in stored:
        assert passwords.is_right(b"secret", one)
        assert not passwords.is_right(b"Secret", one)
        assert not passwords.is_right(b"", one)
    assert passwords.lacking(("$9$unknown",)).startswith("needs crypt_r()")
    with pytest.raises(LookupError):
        passwords.is_right(b"x", "$9$unknown")


def test_bcrypt_is_tried_by_its_package_or_by_the_library() -> None:
    pytest.importorskip("bcrypt", reason="pip install bcrypt")
    package = passwords._by_package()
    assert package is not None
    assert package(b"secret", BCRYPT)
    assert not package(b"wrong", BCRYPT)
    assert not package(b"x" * 100, BCRYPT)
