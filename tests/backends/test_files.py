# Files on the wire: static ones from a folder full of traps, and those that an application names.

from __future__ import annotations

import gzip
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bigtop.backends.serve_options import ServeOptions
from bigtop.http.declarations import Mount
from bigtop.http.limits import Limits
from bigtop.ipc.scoreboard import Word
from bigtop.ipc.seats import Seat
from bigtop.system import kernel
from tests.support.backend_server import BackendServer, eventually
from tests.support.wire import Client, request

APP = "tests.apps.wsgi_basic:app"
APPS = {"wsgi": APP, "asgi": "tests.apps.asgi_basic:app"}
ACCESS = '%(h)s "%(r)s" %(s)s %(B)s'
BIG = bytes(range(256)) * 40_000  # 10 MB
CSS = b"body { margin: 0 }\n"
GZIPPED = gzip.compress(CSS, mtime=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret.txt").write_text("secret")
    root = tmp_path_factory.mktemp("files")
    (root / "style.css").write_bytes(CSS)
    (root / "style.css.gz").write_bytes(GZIPPED)
    (root / "style.css.br").write_bytes(b"brotli")
    (root / "app.55e7cbb9ba48.js").write_text("1")
    (root / "empty.txt").write_bytes(b"")
    (root / "big.bin").write_bytes(BIG)
    (root / "a b.txt").write_text("blank")
    (root / "sub").mkdir()
    (root / "sub/page.html").write_text("<p>")
    (root / ".env").write_text("secret")
    (root / "inside.css").symlink_to("style.css")
    (root / "outside.txt").symlink_to(outside / "secret.txt")
    (root / "outside").symlink_to(outside)
    (root / "up.txt").symlink_to(f"../{outside.name}/secret.txt")
    (root / "proc").symlink_to("/proc/self")
    (root / "loop").symlink_to("loop")
    os.mkfifo(root / "pipe")
    (root / "unreadable").write_text("x")
    (root / "unreadable").chmod(0)
    return root


@pytest.fixture(scope="module", params=APPS)
def server(request: pytest.FixtureRequest, folder: Path) -> Iterator[BackendServer]:
    mounts = (Mount("/static/", str(folder)), Mount("/static/inner/", str(folder / "sub")))
    options = ServeOptions(access_format=ACCESS, static=mounts)
    with BackendServer(APPS[request.param], options, backend=request.param) as server:
        yield server


@pytest.fixture
def client(server: BackendServer) -> Iterator[Client]:
    with server.connect() as client:
        yield client


# ---- static files


def test_a_file(client: Client, folder: Path) -> None:
    answer = client.get("/static/style.css")
    assert (answer.status, answer.body) == (200, CSS)
    assert answer["Content-Type"] == "text/css; charset=utf-8"
    assert answer["Content-Length"] == str(len(CSS))
    assert answer["Cache-Control"] == "no-cache"
    assert answer["Vary"] == "Accept-Encoding"
    assert answer["Accept-Ranges"] == "bytes"
    assert answer["Server"] == "bigtop"
    assert answer["Date"] is not None
    assert client.get("/static/sub/page.html").body == b"<p>"
    assert client.get("/static/inner/page.html").body == b"<p>"
    assert client.get("/static/a%20b.txt?x=y").body == b"blank"
    assert client.get("/static/inside.css").body == CSS
    assert client.get("/").body == b"Hello World\n"


def test_a_head(client: Client) -> None:
    for path, size in (("style.css", len(CSS)), ("big.bin", len(BIG)), ("empty.txt", 0)):
        answer = client.get(f"/static/{path}", method="HEAD")
        assert (answer.status, answer["Content-Length"]) == (200, str(size))
    assert client.get("/").status == 200


def test_a_big_file_and_the_next_request(client: Client) -> None:
    for _ in range(2):
        assert hashlib.sha256(client.get("/static/big.bin").body).digest() == hashlib.sha256(BIG).digest()
    assert client.get("/").body == b"Hello World\n"


def test_pipelined_files_come_in_order(client: Client) -> None:
    paths = ["/static/style.css", "/", "/static/big.bin", "/static/nothing", "/static/empty.txt"]
    client.send(b"".join(request(path) for path in paths))
    sizes = [len(client.answer().body) for _ in paths]
    assert sizes[:3] == [len(CSS), 12, len(BIG)]
    assert sizes[4] == 0


@pytest.mark.parametrize(
    ("accept", "encoding", "body"),
    [
        ("gzip, br", "br", b"brotli"),
        ("gzip", "gzip", GZIPPED),
        ("br;q=0, gzip;q=0.1", "gzip", GZIPPED),
        ("zstd", None, CSS),
        ("identity", None, CSS),
    ],
)
def test_encodings(client: Client, accept: str, encoding: str | None, body: bytes) -> None:
    answer = client.get("/static/style.css", f"Accept-Encoding: {accept}")
    assert (answer["Content-Encoding"], answer.body[10:]) == (encoding, body[10:])
    assert answer["Content-Type"] == "text/css; charset=utf-8"
    assert answer["Vary"] == "Accept-Encoding"


def test_no_encodings_nothing_varies(client: Client) -> None:
    answer = client.get("/static/app.55e7cbb9ba48.js", "Accept-Encoding: br")
    assert answer["Vary"] is None
    assert answer["Cache-Control"] == "public, max-age=31536000, immutable"


def test_conditions(client: Client) -> None:
    first = client.get("/static/style.css")
    for line in (f"If-None-Match: {first['ETag']}", f"If-Modified-Since: {first['Last-Modified']}"):
        answer = client.get("/static/style.css", line)
        assert (answer.status, answer["ETag"], answer["Content-Length"]) == (304, first["ETag"], None)
    encoded = client.get("/static/style.css", "Accept-Encoding: gzip")
    assert encoded["ETag"] != first["ETag"]
    assert client.get("/static/style.css", f"If-None-Match: {encoded['ETag']}").status == 200
    assert client.get("/static/style.css", 'If-Match: "x"').status == 412


@pytest.mark.parametrize("path", ["style.css", "big.bin"])
def test_parts(client: Client, path: str) -> None:
    whole = CSS if path == "style.css" else BIG
    answer = client.get(f"/static/{path}", "Range: bytes=5-9")
    assert (answer.status, answer.body) == (206, whole[5:10])
    assert answer["Content-Range"] == f"bytes 5-9/{len(whole)}"
    assert client.get(f"/static/{path}", "Range: bytes=-3").body == whole[-3:]
    missing = client.get(f"/static/{path}", f"Range: bytes={len(whole)}-")
    assert (missing.status, missing["Content-Range"]) == (416, f"bytes */{len(whole)}")


@pytest.mark.parametrize("path", ["style.css", "big.bin"])
def test_several_parts(client: Client, path: str) -> None:
    whole = CSS if path == "style.css" else BIG
    answer = client.get(f"/static/{path}", "Range: bytes=0-2,5-6,-4")
    assert answer.status == 206
    kind, _, boundary = (answer["Content-Type"] or "").partition("; boundary=")
    assert kind == "multipart/byteranges"
    before, *parts, end = answer.body.split(b"--" + boundary.encode())
    assert (before, end) == (b"", b"--\r\n")
    bodies = [part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n") for part in parts]
    assert bodies == [whole[:3], whole[5:7], whole[-4:]]


@pytest.mark.parametrize(
    "path",
    [
        "nothing.css", "", "sub", "sub/", "sub/page.html/x", "style.css/", "STYLE.CSS", ".env", "pipe",
        "loop",
        "outside.txt", "outside/secret.txt", "up.txt", "proc/environ", "proc/cwd/setup.cfg",
        "../secret.txt", "sub/../style.css", "%2e%2e/secret.txt", "sub%2fpage.html", "..%5csecret.txt",
        "style.css%00", "style.css%00.txt", "/style.css", "//etc/passwd", "sub//page.html", "x" * 300,
    ],
)  # fmt: skip
def test_what_is_not_there(client: Client, path: str) -> None:
    answer = client.get(f"/static/{path}")
    assert (answer.status, answer.body) == (404, b"There is no such file.\n")
    assert client.get("/static/style.css").body == CSS


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_may_not_be_read(client: Client) -> None:
    assert client.get("/static/unreadable").status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_files_can_be_read_only(client: Client, method: str) -> None:
    client.send(request("/static/style.css", "Content-Length: 3", method=method) + b"abc")
    answer = client.answer()
    assert (answer.status, answer["Allow"]) == (405, "GET, HEAD")
    assert client.get("/").status == 200


def test_http_10_and_close(server: BackendServer) -> None:
    with server.connect() as client:
        client.send(request("/static/style.css", version="1.0"))
        assert client.rest().endswith(CSS)
    with server.connect() as client:
        client.send(request("/static/big.bin", "Connection: close"))
        assert client.rest().endswith(BIG[-1000:])


def test_access_log_and_scoreboard(server: BackendServer) -> None:
    eventually(lambda: server.word(Word.REQUESTS) == len(server.access_lines()))  # of tests before
    before, sent = server.word(Word.REQUESTS), server.word(Word.BYTES_OUT)
    with server.connect() as client:
        assert client.get("/static/big.bin?logged").status == 200
        assert client.get("/static/missing?logged").status == 404
    eventually(lambda: server.word(Word.REQUESTS) == before + 2)
    assert server.word(Word.BYTES_OUT) - sent > len(BIG)
    assert server.word(Word.BUSY) == 0
    lines = [line for line in server.access_lines() if "?logged" in line]
    assert lines == [
        f'127.0.0.1 "GET /static/big.bin?logged HTTP/1.1" 200 {len(BIG)}',
        '127.0.0.1 "GET /static/missing?logged HTTP/1.1" 404 23',
    ]


def test_files_come_while_the_application_is_busy(server: BackendServer) -> None:
    with server.connect() as busy, server.connect() as client:
        assert client.get("/static/style.css").status == 200  # it is let in: later there is no room
        gate = server.hold(busy)
        assert client.get("/static/big.bin").status == 200
        assert client.get("/static/style.css").body == CSS
        gate.open()
        assert busy.answer().status == 200


@pytest.mark.parametrize("backend", APPS)
def test_a_file_that_is_replaced_is_noticed(tmp_path: Path, backend: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with (
        BackendServer(
            APPS[backend], ServeOptions(static=(Mount("/s/", str(tmp_path)),)), backend=backend
        ) as server,
        server.connect() as client,
    ):
        first = client.get("/s/a.txt")
        (tmp_path / "new").write_text("newer")
        (tmp_path / "new").rename(path)
        eventually(lambda: client.get("/s/a.txt").body == b"newer")
        assert client.get("/s/a.txt")["ETag"] != first["ETag"]
        path.unlink()
        eventually(lambda: client.get("/s/a.txt").status == 404)


@pytest.mark.parametrize("backend", APPS)
def test_many_files_leave_few_descriptors_open(tmp_path: Path, backend: str) -> None:
    for number in range(400):
        (tmp_path / f"{number}.bin").write_bytes(bytes(20_000))
    with (
        BackendServer(
            APPS[backend], ServeOptions(static=(Mount("/s/", str(tmp_path)),)), backend=backend
        ) as server,
        server.connect() as client,
    ):
        for number in range(400):
            assert len(client.get(f"/s/{number}.bin").body) == 20_000
        assert len(os.listdir(f"/proc/{server.process.pid}/fd")) < 300


def test_without_descriptors_the_answer_is_503_and_the_worker_lives(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    options = ServeOptions(static=(Mount("/s/", str(tmp_path)),))
    with BackendServer(APP, options, nofile=40) as server, server.connect() as client:
        assert client.get("/hoard").status == 200
        answer = client.get("/s/a.txt")
        assert (answer.status, answer["Retry-After"]) == (503, "1")
        assert client.get("/hoard?release").status == 200
        assert client.get("/s/a.txt").status == 200


@pytest.mark.parametrize("backend", APPS)
def test_a_client_that_reads_nothing_is_cut_off(folder: Path, backend: str) -> None:
    options = ServeOptions(static=(Mount("/s/", str(folder)),), limits=Limits(send_timeout=0.3))
    with (
        BackendServer(APPS[backend], options, backend=backend, send_buffer=10_000) as server,
        server.connect() as client,
    ):
        client.send(request("/s/big.bin") * 3)
        eventually(lambda: server.word(Word.ACCEPTED) == 1 and server.word(Seat.CONNECTIONS) == 0)
        with server.connect() as other:
            assert other.get("/s/style.css").body == CSS


# ---- files that the application names


@pytest.fixture(scope="module", params=APPS)
def naming(request: pytest.FixtureRequest, folder: Path) -> Iterator[BackendServer]:
    options = ServeOptions(sendfile_roots=(Mount("/private/", str(folder)),), access_format=ACCESS)
    with BackendServer(APPS[request.param], options, backend=request.param) as server:
        yield server


@pytest.mark.parametrize("path", ["style.css", "big.bin"])
def test_x_accel_redirect(naming: BackendServer, path: str) -> None:
    whole = CSS if path == "style.css" else BIG
    with naming.connect() as client:
        answer = client.get(f"/named?accel=/private/{path}")
        conditional = client.get(f"/named?accel=/private/{path}", f"If-None-Match: {answer['ETag']}")
        part = client.get(f"/named?accel=/private/{path}", "Range: bytes=1-2")
    assert (answer.status, answer.body) == (200, whole)
    assert answer["Content-Type"] == "application/x-mine"
    assert answer["X-Mine"] == "kept"
    assert answer["X-Accel-Redirect"] is None
    assert answer["Content-Length"] == str(len(whole))
    assert (conditional.status, part.body) == (304, whole[1:3])


def test_x_sendfile(naming: BackendServer, folder: Path) -> None:
    with naming.connect() as client:
        answer = client.get(f"/named?sendfile={folder}/style.css")
    assert (answer.status, answer.body, answer["X-Sendfile"]) == (200, CSS, None)


@pytest.mark.parametrize("named", ["accel=/private/../x", "accel=/other/style.css", "sendfile=/etc/passwd"])
def test_what_may_not_be_named(naming: BackendServer, named: str) -> None:
    with naming.connect() as client:
        answer = client.get(f"/named?{named}")
    assert (answer.status, answer["X-Accel-Redirect"], answer["X-Sendfile"]) == (404, None, None)
    assert "names no file below a --sendfile-root" in naming.log()


def test_what_is_sent_of_a_named_file_is_logged_and_the_connection_stays(naming: BackendServer) -> None:
    with naming.connect() as client:
        for _ in range(2):
            assert client.get("/named?accel=/private/big.bin&logged").status == 200
        assert client.get("/named?accel=/private/big.bin&logged", method="HEAD").status == 200
        assert client.get("/").status == 200
    sizes = [line.split()[-1] for line in naming.access_lines() if "&logged" in line]
    assert sizes == [str(len(BIG)), str(len(BIG)), "0"]


@pytest.mark.parametrize("late", ["yields", "writes"])
def test_a_file_is_named_by_an_answer_in_pieces(naming: BackendServer, late: str) -> None:
    with naming.connect() as client:
        assert client.get(f"/named?accel=/private/style.css&{late}=1").body == CSS
        assert client.get("/").status == 200


def test_private_files_have_no_url(naming: BackendServer) -> None:
    with naming.connect() as client:
        assert client.get("/private/style.css").status == 404


@pytest.mark.parametrize("backend", APPS)
def test_without_a_root_nothing_is_sent(backend: str) -> None:
    with BackendServer(APPS[backend], backend=backend) as server, server.connect() as client:
        answer = client.get("/named?sendfile=/etc/passwd")
        assert (answer.body, answer["X-Sendfile"]) == (b"the application's own", "/etc/passwd")


# ---- the kernel


@pytest.mark.parametrize("opening", [kernel.open_beneath, kernel._open_step_by_step])
def test_nothing_leads_out_of_a_folder(folder: Path, opening: type) -> None:
    root = os.open(folder, os.O_RDONLY)
    try:
        os.close(opening(root, b"sub/page.html"))
        for path in (b"../files/style.css", b"sub/../../x", b"/etc/passwd", b"outside.txt", b"up.txt",
                     b"outside/secret.txt", b"proc/environ", b"loop", b"nothing"):  # fmt: skip
            with pytest.raises(OSError):
                os.close(opening(root, path))
    finally:
        os.close(root)


def test_links_inside_are_followed_by_the_kernel_only(folder: Path) -> None:
    root = os.open(folder, os.O_RDONLY)
    try:
        os.close(kernel.open_beneath(root, b"inside.css"))
        with pytest.raises(OSError):
            kernel._open_step_by_step(root, b"inside.css")
    finally:
        os.close(root)


def test_a_pipe_does_not_make_us_wait(folder: Path) -> None:
    root = os.open(folder, os.O_RDONLY)
    try:
        os.close(kernel.open_beneath(root, b"pipe"))
    finally:
        os.close(root)
