# nginx.conf in front of a Django site becomes a file for `bigtop run`; what has no equal is a comment.

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bigtop.config.convert.nginx.nginx_file import parsed
from bigtop.config.convert.sources import convert, whose
from bigtop.errors import ConfigError

from .files import written

WHOLE = """\
upstream app { server unix:/run/gunicorn.sock fail_timeout=0; }
map $http_upgrade $connection_upgrade { default upgrade; '' close; }
server {
    listen 80; listen [::]:80;
    server_name example.com www.example.com;
    return 301 https://$host$request_uri;
}
server {
    listen 443 ssl http2;  # both
    server_name example.com www.example.com;
    ssl_certificate /etc/ssl/chain.pem;
    ssl_certificate_key "/etc/ssl/a key.pem";
    ssl_protocols TLSv1.3;
    client_max_body_size 20m;
    keepalive_timeout 65;
    access_log /var/log/site.log;
    add_header Strict-Transport-Security "max-age=31536000; includeSubDomains" always;
    add_header X-Frame-Options DENY;
    location = /favicon.ico { access_log off; log_not_found off; }
    location /static/ { alias /srv/site/static/; expires max; }
    location /media/ { root /srv/site; }
    location /protected/ { internal; alias /srv/private/; }
    location /ws/ { proxy_pass http://127.0.0.1:9000; proxy_read_timeout 1h; }
    location /api { proxy_pass http://127.0.0.1:9001/v2; }
    location ~* \\.(jpg|png)$ { expires 30d; }
    location /admin/ { deny all; proxy_pass http://app; }
    location / {
        proxy_pass http://app;
        proxy_set_header Host $host;
        proxy_set_header X-Odd 1;
        proxy_read_timeout 90;
    }
}
"""


def made(tmp_path: Path, text: str) -> tuple[dict[str, Any], str]:
    """Return the first application of what becomes of a file, and the text."""
    path = written(tmp_path, text, "site.conf")
    assert whose(str(path)) == "nginx"
    toml = convert(str(path), beside=str(tmp_path))
    apps: dict[str, Any] = tomllib.loads(toml)["app"]
    return next(iter(apps.values())), toml


def test_the_usual_server_in_front_of_django(tmp_path: Path) -> None:
    app, toml = made(tmp_path, WHOLE)
    assert app == {
        "app": "project.wsgi",
        "bind": ["0.0.0.0:443"],
        "tls": ["files:/etc/ssl/chain.pem,/etc/ssl/a key.pem"],
        "tls_min": "1.3",
        "http_bind": ["0.0.0.0:80", "[::]:80"],
        "https_redirect": ["example.com,www.example.com"],
        "hsts": "31536000s,subdomains",
        "static": ["/static=/srv/site/static", "/media=/srv/site/media"],
        "sendfile_root": ["/protected=/srv/private"],
        "proxy": ["/ws/=http://127.0.0.1:9000", "/api=http://127.0.0.1:9001/v2"],
        "proxy_timeout": 3600,
        "timeout": 90,
        "keep_alive": 65,
        "access_logfile": "/var/log/site.log",
        "limit_request_body": "20M",
        "add_header": ["X-Frame-Options: DENY"],
        "paths": {"/admin/": {"deny": ["*"]}},
    }
    missed = [line for line in toml.splitlines() if line.startswith("# no equal: ")]
    for words in ("~*", "X-Odd"):
        assert any(words in line for line in missed), words
    assert len(missed) == 2
    assert "[app.example_com]" in toml
    assert 'put its name in the place of "project.wsgi"' in toml


@pytest.mark.parametrize(
    ("inside", "key", "value"),
    [
        ("listen 8080;", "bind", ["0.0.0.0:8080"]),
        ("listen 127.0.0.1:8080;", "bind", ["127.0.0.1:8080"]),
        ("listen unix:/run/n.sock;", "bind", ["unix:/run/n.sock"]),
        ("listen *:81;", "bind", ["0.0.0.0:81"]),
        ("server_name a.example;", "bind", ["0.0.0.0:80"]),
        ("server_name a.io; if ($scheme = http) { return 301 https://b; }", "https_redirect", ["a.io"]),
        ("server_name a.example; rewrite ^ https://a permanent;", "https_redirect", ["a.example"]),
        ("limit_conn addr 10;", "limit_address_connections", 10),
        ("set_real_ip_from 10.0.0.0/8;", "forwarded_allow_ips", "10.0.0.0/8"),
        ("client_max_body_size 0;", "limit_request_body", 0),
        ("client_body_timeout 1m;", "body_timeout", 60),
        ("location /a/ { proxy_pass http://unix:/run/a.sock; }", "proxy", ["/a/=http://unix:/run/a.sock"]),
        ("root /srv; location /static/ { expires 1d; }", "static", ["/static=/srv/static"]),
    ],
)  # fmt: skip
def test_directives(tmp_path: Path, inside: str, key: str, value: object) -> None:
    app, _ = made(tmp_path, f"server {{ {inside} location / {{ proxy_pass http://127.0.0.1:8000; }} }}")
    assert app[key] == value


@pytest.mark.parametrize(
    ("inside", "whole", "paths"),
    [
        ("gzip on;", {"compress": ["auto"]}, {}),
        ("gzip off;", {}, {}),
        (
            "gzip on; gzip_types text/css application/json; gzip_min_length 1k;",
            {"compress": ["auto"], "compress_min": "1K"},
            {},
        ),
        ("deny 10.0.0.1; allow 10.0.0.0/8; deny all;", {"allow": ["10.0.0.0/8"], "deny": ["10.0.0.1"]}, {}),
        ("deny 10.0.0.1;", {"deny": ["10.0.0.1"]}, {}),
        ("allow 10.0.0.1;", {}, {}),
        ("allow unix:; deny all;", {"deny": ["*"]}, {}),
        ("allow 10.0.0.1; allow unix:; deny all;", {"allow": ["10.0.0.1"]}, {}),
        ("deny unix:; allow 10.0.0.1;", {"deny": ["*"]}, {}),
        ("allow 10.0.0.1; deny 10.0.0.0/8; allow all;", {"deny": ["*"]}, {}),
        (
            "deny 10.0.0.1; location /open/ { allow all; } location = /shut { allow ::1; deny all; }",
            {"deny": ["10.0.0.1"]},
            {"/open/": {"deny": ["off"]}, "/shut": {"allow": ["::1"], "deny": ["off"]}},
        ),
        (
            "auth_basic_user_file /u; location /a { auth_basic A; } location /b/ { auth_basic off; }",
            {},
            {"/a*": {"basic_auth": "/u", "basic_auth_realm": "A"}},
        ),
        (
            "auth_basic S; auth_basic_user_file /u; location /b/ { auth_basic off; } location ^~ /c/ { }",
            {"basic_auth": "/u", "basic_auth_realm": "S"},
            {"/b/": {"basic_auth": "off"}},
        ),
        (
            "location /login/ { limit_req zone=slow; } location /api/ { limit_req zone=fast burst=9; }",
            {},
            {"/login/": {"limit_address_rate": "9/m"}, "/api/": {"limit_address_rate": "5"}},
        ),
        ("location /up/ { client_max_body_size 1g; }", {}, {"/up/": {"limit_request_body": "1G"}}),
        (
            "location /x/ { gzip on; add_header X-A 1; add_header X-B 2; }",
            {},
            {"/x/": {"compress": ["auto"], "add_header": ["X-A: 1", "X-B: 2"]}},
        ),
    ],
)
def test_what_stands_in_front_of_requests(
    tmp_path: Path, inside: str, whole: dict[str, object], paths: dict[str, object]
) -> None:
    zones = "".join(
        f"limit_req_zone $binary_remote_addr zone={name}:1m rate={rate};"
        for name, rate in (("slow", "9r/m"), ("fast", "5r/s"))
    )
    inside += " location / { proxy_pass http://127.0.0.1:8000; }"
    app, _ = made(tmp_path, f"{zones}\nserver {{ {inside} }}")
    assert app.pop("paths", {}) == paths
    assert app == {"app": "project.wsgi", "bind": ["0.0.0.0:80"]} | whole


def test_what_is_said_of_all_else_alone_is_taken_back(tmp_path: Path) -> None:
    main = "allow ::1; deny all; auth_basic S; auth_basic_user_file /u; client_max_body_size 2m;"
    app, _ = made(
        tmp_path,
        f"server {{ location / {{ {main} }} location /static/ {{ alias /srv; }}"
        " location /x/ { allow all; } }",
    )
    assert (app["allow"], app["basic_auth"], app["limit_request_body"]) == (["::1"], "/u", "2M")
    assert app["paths"] == {path: {"allow": ["off"], "basic_auth": "off"} for path in ("/static/", "/x/")}


@pytest.mark.parametrize(
    ("inside", "said"),
    [
        ("ssl_protocols TLSv1 TLSv1.2;", "the oldest version of TLS is 1.2"),
        ("allow 10.0.0.1; deny 10.0.0.0/8; allow all;", "deny is stronger than allow"),
        ("auth_basic hello;", "auth_basic_user_file names no file"),
        ("limit_req zone=a;", "there is no such zone"),
        ("add_header X-Host $host;", "without variables"),
        ("satisfy any;", "line 1: satisfy any"),
        (
            "location /x/ { limit_conn a 1; proxy_pass http://127.0.0.1:1; }",
            "limit_conn a 1, in location /x/",
        ),
        ("location /a(b)/ { deny all; }", "/a(b)/ is no path that a section can have"),
        ("location @app { deny all; }", "deny all, in location @app"),
        ("error_page 502 /50x.html;", "error_page 502 /50x.html"),
        ("location = /robots.txt { alias /srv/robots.txt; }", "static serves folders"),
        ("location /x/ { proxy_pass http://$host; }", "proxy names one server"),
        ("made_up 1;", "line 1: made_up 1"),
        ("root /srv; try_files $uri @app;", "static serves a folder below a path of its own"),
    ],
)
def test_what_has_no_equal_is_said(tmp_path: Path, inside: str, said: str) -> None:
    text = f"server {{ {inside} location / {{ proxy_pass http://127.0.0.1:8000; }} }}"
    missed = [line for line in made(tmp_path, text)[1].splitlines() if line.startswith("# no equal: ")]
    assert any(said in line for line in missed), missed


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("server { listen 80;", ":1: this brace is not closed"),
        ("server {\n listen 80 }", ":2: '80' has no semicolon"),
        ("server { }\n}", ":2: closes a brace that nothing has opened"),
        ("server { ; }", ":1: there is no directive before ';'"),
        ("server { x 'a; }", ":1: a quotation mark is not closed"),
        ("upstream a { server b; }", "has no server"),
    ],
)
def test_what_is_no_file_of_nginx(tmp_path: Path, text: str, said: str) -> None:
    path = written(tmp_path, text, "site.conf")
    with pytest.raises(ConfigError) as raised:
        convert(str(path), "nginx", str(tmp_path))
    assert said in str(raised.value)


WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "listen", "location", "server_name"]), st.lists(WORDS, max_size=3))
    )
)
def test_what_is_quoted_comes_back(directives: list[tuple[str, list[str]]]) -> None:
    def quoted(word: str) -> str:
        return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'

    text = (
        "server {" + "".join(f"{name} {' '.join(map(quoted, words))};\n" for name, words in directives) + "}"
    )
    server = parsed(text, "x").first("server")
    assert server is not None
    assert server.block is not None
    assert [(one.name, list(one.args)) for one in server.block] == directives


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("server{};'\"#\\$ \na"), max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parsed(text, "x")
    except ConfigError as error:
        assert str(error).startswith("x:")  # noqa: PT017
