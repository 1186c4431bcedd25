# nginx and gunicorn against Bigtop alone: eleven server blocks of the kind that guides to Django show, in our
# own words, each turned into Bigtop's by `bigtop convert`, and asked the same.
#
# Two ends are not compared: what a body of an error says, and fields that are about the server itself.

from __future__ import annotations

import http.client
import json
import os
import shutil
import ssl
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from bigtop.config.convert.sources import convert
from tests.http.test_gates import SHA256
from tests.support.certificates import made
from tests.support.site import until
from tests.support.stack import Stack, free_port

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")

APP = """
import json

def app(environ, start_response):
    path = environ["PATH_INFO"]
    headers = [("Content-Type", "application/json"), ("X-App", "1"), ("Set-Cookie", "a=1")]
    if path == "/download":
        start_response("200 OK", [("Content-Type", "text/css"), ("X-Accel-Redirect", "/protected/a.css")])
        return [b""]
    known = not path.startswith(("/protected", "/missing", "/favicon", "/robots"))
    chain = environ.get("HTTP_X_FORWARDED_FOR", "") or environ["REMOTE_ADDR"]
    said = {
        "path": path,
        "query": environ["QUERY_STRING"],
        "method": environ["REQUEST_METHOD"],
        "host": environ["HTTP_HOST"].partition(":")[0],
        "scheme": environ["wsgi.url_scheme"],
        "client": chain.split(",")[0].strip(),
        "cookie": environ.get("HTTP_COOKIE", ""),
        "body": len(environ["wsgi.input"].read()),
    }
    start_response("200 OK" if known else "404 Not Found", headers)
    return [json.dumps(said).encode()]
"""

PASS = """
        proxy_pass http://app;
        proxy_set_header Host $http_host;
        proxy_set_header X-Real-IP $remote_addr;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_redirect off;
"""


class Asked(NamedTuple):
    """A request for both; `port` is the first or the second one of its block."""

    path: str
    method: str = "GET"
    headers: Mapping[str, str] = {}
    body: bytes = b""
    port: int = 0


ANY = (
    Asked("/"),
    Asked("/a%20b/?x=1&y=%2F", headers={"Cookie": "b=2"}),
    Asked("/form/", "POST", {"Content-Type": "text/plain"}, b"hello"),
    Asked("/", "HEAD"),
    Asked("/missing"),
)
FILES = (
    Asked("/static/a.css"),
    Asked("/static/a.css", "HEAD"),
    Asked("/static/a.css", headers={"Range": "bytes=2-4"}),
    Asked("/static/missing.css"),
)

# What stands in the braces of the server, and what is asked of it. {0} and {1} are its ports.
BLOCKS: dict[str, tuple[str, Sequence[Asked]]] = {
    "all to the application": ("listen 127.0.0.1:{0}; server_name _; location / {{ {passes} }}", ANY),
    "static files by alias": (
        "listen 127.0.0.1:{0}; location /static/ {{ alias {folder}/static/; }} location / {{ {passes} }}",
        (*ANY, *FILES),
    ),
    "static files and media by root": (
        (
            "listen 127.0.0.1:{0}; location /static/ {{ root {folder}; expires 30d; }}"
            " location /media/ {{ root {folder}; }} location / {{ {passes} }}"
        ),
        (*FILES, Asked("/media/b.txt"), Asked("/media/none")),
    ),
    "private files": (
        (
            "listen 127.0.0.1:{0}; location /protected/ {{ internal; alias {folder}/static/; }}"
            " location / {{ {passes} }}"
        ),
        (Asked("/download"), Asked("/protected/a.css"), Asked("/")),
    ),
    "a limit for uploads": (
        "listen 127.0.0.1:{0}; client_max_body_size 1k; location / {{ {passes} }}",
        (Asked("/up/", "POST", {}, b"x" * 1000), Asked("/up/", "POST", {}, b"x" * 2000)),
    ),
    "another server below a path": (
        (
            "listen 127.0.0.1:{0}; location /api/ {{ proxy_pass http://127.0.0.1:{other}/v2/;"
            " proxy_set_header Host $http_host;"
            " proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }}"
            " location /plain/ {{ proxy_pass http://127.0.0.1:{other}; proxy_set_header Host $http_host;"
            " proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }} location / {{ {passes} }}"
        ),
        (
            *(Asked("/api/users?x=1"), Asked("/api/", "POST", {}, b"hello"), Asked("/plain/a"), Asked("/")),
            Asked("/plain/", "HEAD"),
        ),
    ),
    "https beside http": (
        (
            "listen 127.0.0.1:{1} ssl; server_name shop.example; ssl_certificate {folder}/c.pem;"
            " ssl_certificate_key {folder}/k.pem; ssl_protocols TLSv1.2 TLSv1.3;"
            ' add_header Strict-Transport-Security "max-age=31536000";'
            " location / {{ {passes} }} }} server {{ listen 127.0.0.1:{0}; server_name shop.example;"
            " return 301 https://$host$request_uri;"
        ),
        (
            Asked("/a?b=1", headers={"Host": "shop.example"}),
            Asked("/a?b=1", headers={"Host": "shop.example"}, port=1),
        ),
    ),
    "https by an if, as certbot writes it": (
        (
            "listen 127.0.0.1:{0}; listen 127.0.0.1:{1} ssl; server_name www.shop.example;"
            " ssl_certificate {folder}/c.pem; ssl_certificate_key {folder}/k.pem;"
            ' if ($scheme = "http") {{ return 301 https://www.shop.example$request_uri; }}'
            " location / {{ {passes} }}"
        ),
        (
            Asked("/x", headers={"Host": "www.shop.example"}),
            Asked("/x", headers={"Host": "www.shop.example"}, port=1),
        ),
    ),
    "times, and buffers": (
        (
            "listen 127.0.0.1:{0}; keepalive_timeout 5; client_header_timeout 10s; client_body_timeout 1m;"
            " send_timeout 1m; large_client_header_buffers 4 16k; location / {{ proxy_read_timeout 90s;"
            " proxy_connect_timeout 5s; proxy_buffering off; {passes} }}"
        ),
        ANY,
    ),
    "icons, and files that were compressed before": (
        (
            "listen 127.0.0.1:{0}; location = /favicon.ico {{ access_log off; log_not_found off; }}"
            " location /static {{ alias {folder}/static; gzip_static on; }} location / {{ {passes} }}"
        ),
        (
            *(Asked("/favicon.ico"), Asked("/robots.txt"), Asked("/static/a.css")),
            Asked("/static/z.css", headers={"Accept-Encoding": "gzip"}),
        ),
    ),
    "gates, by path": (
        (
            "listen 127.0.0.1:{0}; location /admin/ {{ deny all; {passes} }} location /api {{ deny all; }}"
            " location /up/ {{ client_max_body_size 1k; {passes} }} location / {{ {passes} }}"
            ' location /inside/ {{ auth_basic "x"; auth_basic_user_file {folder}/users;'
            " proxy_pass http://127.0.0.1:{other}; proxy_set_header Host $http_host;"
            " proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }}"
            " location /near/ {{ allow 127.0.0.0/8; deny all; add_header X-Near 1; {passes} }}"
        ),
        (
            *(Asked("/admin/"), Asked("/%61dmin/x"), Asked("/apiary"), Asked("/near/"), Asked("/")),
            *(Asked("/up/", "POST", {}, b"x" * 2000), Asked("/up/", "POST", {}, b"x" * 1000)),
            *(Asked("/down/", "POST", {}, b"x" * 2000), Asked("/inside/")),
            Asked("/inside/a", headers={"Authorization": f"Basic {b64encode(b'anna:secret').decode()}"}),
            Asked("/inside/a", headers={"Authorization": f"Basic {b64encode(b'anna:wrong').decode()}"}),
        ),
    ),
}


def text_of(name: str, ports: Sequence[int], folder: Path, other: int) -> str:
    block = BLOCKS[name][0].format(*ports, folder=folder, other=other, passes=PASS)
    return f"server {{ {block} }}\n"


@contextmanager
def running(command: Sequence[str], folder: Path) -> Iterator[None]:
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(30)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            process.wait()


def asked(port: int, what: Asked, encrypted: bool) -> tuple[int, dict[str, str], bytes]:
    if encrypted:
        context = ssl._create_unverified_context()
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            "127.0.0.1", port, timeout=30, context=context
        )
    else:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(what.method, what.path, what.body or None, dict(what.headers))
        response = connection.getresponse()
        return response.status, {name.lower(): text for name, text in response.getheaders()}, response.read()
    finally:
        connection.close()


def answers(port: int, what: Asked, encrypted: bool) -> dict[str, object]:
    """Return what of an answer has to be the same."""
    status, fields, body = asked(port, what, encrypted)
    found: dict[str, object] = {"status": 301 if status == 308 else status}  # which keeps the method
    if status < 300:
        kept = (
            "content-encoding",
            "content-range",
            "set-cookie",
            "x-app",
            "x-near",
            "strict-transport-security",
        )
        found |= {name: fields[name] for name in kept if name in fields}
        found["type"] = fields["content-type"].partition(";")[0]
        found["body"] = json.loads(body) if found["type"] == "application/json" and body else body
    elif status < 400:
        found["location"] = fields["location"]
    return found


def is_up(port: int) -> bool:
    try:
        asked(port, Asked("/"), False)
    except OSError:
        return False
    return True


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "site_app.py").write_text(APP)
    for name, text in {"static/a.css": "body {}\n", "media/b.txt": "b", "static/z.css": "z"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "static/z.css.gz").write_bytes(b"compressed")
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "users").write_text(f"anna:{SHA256}\n")
    pair = made("shop.example", "www.shop.example")
    (tmp_path / "c.pem").write_text(pair.certificate)
    (tmp_path / "k.pem").write_text(pair.key)
    return tmp_path


def with_nginx(folder: Path, blocks: str) -> list[str]:
    user = "user root;" if os.geteuid() == 0 else ""
    temporary = "".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    types = "types { text/css css; text/plain txt; }"
    (folder / "whole.conf").write_text(
        f"{user} daemon off; pid {folder}/pid; error_log {folder}/nginx.log; worker_processes 1;"
        f" events {{ }} http {{ access_log off; {temporary} {types} {blocks} }}"
    )
    assert NGINX is not None
    return [NGINX, "-e", f"{folder}/nginx.log", "-c", str(folder / "whole.conf")]


def test_eleven_servers_answer_as_nginx_and_gunicorn_do(folder: Path) -> None:
    if NGINX is None:
        pytest.skip("needs nginx (apt install nginx-light)")
    pytest.importorskip("gunicorn", reason="needs gunicorn (pip install gunicorn)")
    theirs = {name: (free_port(), free_port()) for name in BLOCKS}
    ours = {name: (free_port(), free_port()) for name in BLOCKS}
    other = free_port()
    upstream = f"upstream app {{ server unix:{folder}/app.sock fail_timeout=0; }}\n"
    blocks = "".join(text_of(name, theirs[name], folder, other) for name in BLOCKS)
    (folder / "site.conf").write_text(
        upstream + "".join(text_of(name, ours[name], folder, other) for name in BLOCKS)
    )
    made_of = convert(str(folder / "site.conf"), beside=str(folder)).replace("project.wsgi", "site_app:app")
    gunicorn = [sys.executable, "-m", "gunicorn", "site_app:app", "-b", f"unix:{folder}/app.sock"]
    gunicorn += ["-b", f"127.0.0.1:{other}", "--forwarded-allow-ips", "*"]
    with (
        running(gunicorn, folder),
        running(with_nginx(folder, upstream + blocks), folder),
        Stack(made_of, cwd=folder) as stack,
    ):
        stack.wait_for(": started", len(BLOCKS), timeout=120)
        until(lambda: is_up(other), "gunicorn")
        until(lambda: is_up(theirs["all to the application"][0]), "nginx")
        different = []
        for name, (_, requests) in BLOCKS.items():
            for what in requests:
                encrypted = what.port == 1
                expected = answers(theirs[name][what.port], what, encrypted)
                found = answers(ours[name][what.port], what, encrypted)
                if found != expected:
                    different.append(f"{name}: {what.method} {what.path}:\n  {expected}\n  {found}")
        assert not different, "\n".join(different)
