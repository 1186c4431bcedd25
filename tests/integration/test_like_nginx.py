# Compressed answers beside those of nginx: both stand in front of the same application and the same files.

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from bigtop.backends.serve_options import AnswerPolicy, ServeOptions
from bigtop.http.declarations import COMPRESSED_TYPES, Mount
from tests.apps.compressible import PAGE
from tests.support.backend_server import BackendServer
from tests.support.decoding import decoded
from tests.support.site import until
from tests.support.wire import Answer, Client

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
GZIP = "Accept-Encoding: gzip, deflate"
CONF = """
daemon off; {user} error_log stderr; pid {folder}/pid; worker_processes 1;
events {{ }}
http {{
    client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
    uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e; access_log off;
    types {{ text/javascript js; text/css css; image/png png; }}
    gzip on; gzip_min_length 860; gzip_vary on; gzip_proxied any; gzip_comp_level 4; gzip_static on;
    gzip_types {types};
    server {{
        listen unix:{folder}/socket;
        location /static/ {{ alias {files}/; }}
        location / {{
            proxy_pass http://{host}:{port}; proxy_http_version 1.1; proxy_set_header Connection "";
        }}
    }}
}}
"""

# What is asked for, and where Bigtop does something else, why.
CASES: list[tuple[str, tuple[str, ...], str]] = [
    ("/html", (), ""),
    ("/html", (GZIP,), ""),
    ("/html", ("Accept-Encoding: gzip;q=0",), ""),
    ("/html", ("Accept-Encoding: gzip;q=0.001, identity;q=0",), ""),
    ("/html", ("Accept-Encoding: *",), "nginx reads no *"),
    ("/json", (GZIP,), ""),
    ("/svg", (GZIP,), ""),
    ("/js", (GZIP,), ""),
    ("/png", (GZIP,), ""),
    ("/bytes", (GZIP,), ""),
    ("/untyped", (GZIP,), ""),
    ("/small", (GZIP,), ""),
    ("/enough", (GZIP,), ""),
    ("/empty", (GZIP,), ""),
    ("/pieces", (GZIP,), ""),
    ("/measured", (GZIP,), ""),
    ("/strong", (GZIP,), ""),
    ("/strong", (), ""),
    ("/weak", (GZIP,), ""),
    ("/cookie", (GZIP,), ""),
    ("/encoded", (GZIP,), ""),
    ("/part", (GZIP,), "a cache may keep the part of an answer that varies"),
    ("/known", (GZIP, 'If-None-Match: "v1"'), "a 304 says what the answer would"),
    ("/nothing", (GZIP,), ""),
    ("/missing", (GZIP,), ""),
    ("/forbidden", (GZIP,), ""),
    ("/broken", (GZIP,), "nginx encodes 200, 403 and 404"),
    ("/fixed", (GZIP,), "nginx does not heed no-transform"),
    ("/digest", (GZIP,), "nginx does not heed digests"),
    ("/strong", (GZIP, 'If-None-Match: W/"v1"'), "nginx leaves that to the application"),
    ("/html", (GZIP, "Cookie: a=1", "Sec-Fetch-Site: cross-site"), "nginx knows of no BREACH"),
    ("/static/app.js", (GZIP,), ""),
    ("/static/app.js", (), ""),
    ("/static/app.js", (GZIP, "Range: bytes=0-99"), "nginx encodes it, and has no ranges then"),
    ("/static/done.css", (GZIP,), ""),
    ("/static/a.png", (GZIP,), ""),
    ("/static/no.js", (GZIP,), ""),
]


class Look(NamedTuple):
    """What a client makes of an answer."""

    status: int
    coding: str | None
    varies: frozenset[str]
    etag: str  # "weak", "strong" or "none"
    body: bytes


def look(answer: Answer) -> Look:
    words = ",".join(value for name, value in answer.headers if name.lower() == "vary").lower().split(",")
    varies = frozenset(word.strip() for word in words) - {""}
    etag, coding = answer["ETag"], answer["Content-Encoding"]
    kind = "none" if etag is None else "weak" if etag.startswith("W/") else "strong"
    body = decoded("gzip", answer.body) if coding == "gzip" else answer.body
    return Look(answer.status, coding, varies, kind, body if answer.status != 404 else b"")


def listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as one:
        return one.connect_ex(path) == 0


@contextmanager
def nginx(folder: Path, files: Path, address: tuple[str, int]) -> Iterator[str]:
    assert NGINX is not None
    conf = folder / "conf"
    types = (
        " ".join(one for one in COMPRESSED_TYPES if "*" not in one) + " text/plain text/javascript text/css"
    )
    user = "user root;" if os.geteuid() == 0 else ""  # to whom the folder is open that only we may enter
    places = {"folder": folder, "files": files, "host": address[0], "port": address[1]}
    conf.write_text(CONF.format(types=types, user=user, **places))
    command = [NGINX, "-p", str(folder), "-c", str(conf)]
    with open(folder / "log", "wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            ended = lambda: process.poll() is not None  # noqa: E731
            until(lambda: listens(str(folder / "socket")) or ended(), "nginx to listen")
            assert not ended(), (folder / "log").read_text()
            yield str(folder / "socket")
        finally:
            process.terminate()


@pytest.mark.skipif(NGINX is None, reason="needs: apt install nginx-light")
@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_both_answer_alike(tmp_path: Path, kind: str) -> None:
    files = tmp_path / "files"
    files.mkdir()
    (files / "app.js").write_bytes(PAGE)
    (files / "a.png").write_bytes(PAGE)
    (files / "done.css").write_bytes(PAGE)
    subprocess.run(["gzip", "-k", str(files / "done.css")], check=True)
    app = f"tests.apps.compressible:{kind}"
    static = (Mount("/static/", str(files)),)
    with (
        BackendServer(app, backend=kind) as plain,
        BackendServer(
            app, ServeOptions(static=static, answers=AnswerPolicy(compress=("gzip",))), backend=kind
        ) as ours,
        nginx(tmp_path, files, plain.address) as place,
    ):
        wrong = []
        for path, headers, reason in CASES:
            with ours.connect() as one, Client(place) as other:
                mine, theirs = look(one.get(path, *headers)), look(other.get(path, *headers))
            if (mine != theirs) != bool(reason) or (
                mine.status == theirs.status and mine.body != theirs.body
            ):
                wrong.append(
                    (path, headers, reason, mine[:-1], theirs[:-1], len(mine.body), len(theirs.body))
                )
        assert not wrong, "\n".join(map(str, wrong))
