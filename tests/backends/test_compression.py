# Compressed answers on the wire: the same with both native servers, and what a client makes of them.

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bigtop.backends.serve_options import AnswerPolicy, PathOptions, ServeOptions
from bigtop.http.declarations import Mount
from bigtop.record import replace
from tests.apps.compressible import PAGE
from tests.support.backend_server import BackendServer, eventually
from tests.support.decoding import Decoder, decoded
from tests.support.wire import Client, Closed, request

KINDS = {"wsgi": "wsgi", "gevent": "wsgi", "asgi": "asgi"}
CODINGS = ("zstd", "br", "gzip")
ALL = "Accept-Encoding: gzip, deflate, br, zstd"
SCRIPT = b"".join(b"function f%d() { return %d }\n" % (n, n) for n in range(3000))


@pytest.fixture(scope="module", params=KINDS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BackendServer]:
    root = tmp_path_factory.mktemp("files")
    (root / "app.js").write_bytes(SCRIPT)
    (root / "small.css").write_bytes(b"a { color: red }\n" * 100)
    (root / "done.js").write_bytes(SCRIPT)
    (root / "done.js.gz").write_bytes(b"made before")
    (root / "huge.txt").write_bytes(SCRIPT * 20)
    options = ServeOptions(
        threads=1 if request.param != "wsgi" else 2,
        answers=AnswerPolicy(compress=CODINGS),
        static=(Mount("/static/", str(root)),),
    )
    options = replace(options, paths=(PathOptions("/forbidden", replace(options, answers=AnswerPolicy())),))
    app = f"tests.apps.compressible:{KINDS[request.param]}"
    with BackendServer(app, options, backend=request.param) as server:
        yield server


@pytest.fixture
def client(server: BackendServer) -> Iterator[Client]:
    with server.connect() as client:
        yield client


@pytest.mark.parametrize(
    "path",
    ["/html", "/unmeasured", "/json", "/problem", "/svg", "/js", "/pieces", "/measured", "/missing",
     "/broken", "/large", "/enough"],
)  # fmt: skip
def test_text_is_compressed(client: Client, path: str) -> None:
    plain = client.get(path)
    assert (plain["Content-Encoding"], plain["Vary"]) == (None, "Accept-Encoding")
    for coding in CODINGS:
        answer = client.get(path, f"Accept-Encoding: {coding}")
        assert answer.status == plain.status
        assert (answer["Content-Encoding"], answer["Vary"]) == (coding, "Accept-Encoding")
        assert decoded(coding, answer.body) == plain.body
        assert len(answer.body) < len(plain.body) * 0.4
        is_cut = path in ("/pieces", "/measured")
        assert path == "/large" or (answer["Content-Length"] is None) == is_cut
    assert client.get(path, ALL)["Content-Encoding"] == "zstd"
    assert client.get(path, "Accept-Encoding: gzip, br")["Content-Encoding"] == "br"
    assert client.get(path, "Accept-Encoding: gzip, br;q=0.9")["Content-Encoding"] == "gzip"
    assert client.get(path, "Accept-Encoding: deflate, identity")["Content-Encoding"] is None


@pytest.mark.parametrize(
    "path",
    ["/png", "/font", "/bytes", "/untyped", "/small", "/empty", "/fixed", "/nothing", "/odd"],
)  # fmt: skip
def test_what_gains_nothing_or_must_not_change_is_as_it_is_for_everybody(client: Client, path: str) -> None:
    if path == "/odd":  # one piece, and a length that it does not have: no client takes it for whole
        client.send(request(path, ALL))
        with pytest.raises(Closed):
            client.answer()
        return
    plain, asked = client.get(path), client.get(path, ALL)
    assert (asked.status, asked.body) == (plain.status, plain.body)
    assert asked["Vary"] is asked["Content-Encoding"] is None


def test_a_path_may_be_left_out(client: Client) -> None:
    answer = client.get("/forbidden", ALL)
    assert (answer["Content-Encoding"], answer["Vary"], answer.body) == (None, None, PAGE)


def test_heads(client: Client) -> None:
    strong = client.get("/strong", ALL)
    assert (strong["ETag"], strong["Accept-Ranges"]) == ('W/"v1"', None)
    plain = client.get("/strong")
    assert (plain["ETag"], plain["Accept-Ranges"], plain["Vary"]) == ('"v1"', "bytes", "Accept-Encoding")
    assert client.get("/weak", ALL)["ETag"] == 'W/"v1"'
    assert client.get("/cookie", ALL)["Vary"] == "Cookie, Accept-Encoding"
    assert client.get("/varies", ALL)["Vary"] == "accept-encoding"
    assert client.get("/star", ALL)["Vary"] == "*"
    assert client.get("/encoded", ALL)["Content-Encoding"] == "br"
    for path in ("/digest", "/part"):
        answer = client.get(path, ALL)
        assert (answer["Content-Encoding"], answer["Vary"], answer.body) == (None, "Accept-Encoding", PAGE)


def test_a_head_says_what_the_answer_would(client: Client) -> None:
    for path in ("/html", "/strong", "/png", "/small", "/fixed"):
        for accept in ("X: 1", ALL):
            whole, head = client.get(path, accept), client.get(path, accept, method="HEAD")
            for name in ("Content-Encoding", "Vary", "ETag", "Content-Type", "Accept-Ranges"):
                assert head[name] == whole[name], (path, name)
            assert head.status == whole.status
            if head["Content-Encoding"] is not None:
                assert head["Content-Length"] is None


def test_a_client_that_has_it_is_told_so(client: Client) -> None:
    for method in ("GET", "HEAD"):
        answer = client.get("/strong", ALL, 'If-None-Match: W/"v1"', method=method)
        assert (answer.status, answer["ETag"], answer["Vary"]) == (304, 'W/"v1"', "Accept-Encoding")
        assert answer["Content-Type"] is answer["Content-Length"] is answer["Content-Encoding"] is None
    assert client.get("/strong", ALL, 'If-None-Match: W/"v2"').status == 200
    assert client.get("/strong", ALL, 'If-None-Match: "v1"').status == 200, "the application's own business"
    known = client.get("/known", ALL, 'If-None-Match: "v0", W/"v1"')
    assert (known.status, known["ETag"], known["Vary"]) == (304, 'W/"v1"', "Accept-Encoding")
    assert client.get("/known", 'If-None-Match: "v1"')["ETag"] == '"v1"'
    assert client.get("/html", ALL).status == 200


def test_what_another_site_asks_for_is_not_compressed(client: Client) -> None:
    cross = "Sec-Fetch-Site: cross-site"
    for secret in ("Cookie: session=1", "Authorization: Basic eDp5"):
        answer = client.get("/html", ALL, cross, secret)
        assert (answer["Content-Encoding"], answer["Vary"], answer.body) == (None, "Accept-Encoding", PAGE)
        assert client.get("/html", ALL, "Sec-Fetch-Site: same-origin", secret)["Content-Encoding"] == "zstd"
    assert client.get("/html", ALL, cross)["Content-Encoding"] == "zstd"
    for coding in CODINGS:
        sizes = {len(client.get("/html", f"Accept-Encoding: {coding}").body) for _ in range(30)}
        assert len(sizes) > 3
        assert max(sizes) - min(sizes) <= 110


@pytest.mark.parametrize("coding", CODINGS)
def test_a_stream_is_sent_piece_by_piece(server: BackendServer, coding: str) -> None:
    with server.connect() as client, server.connect() as other:
        client.send(request("/events", f"Accept-Encoding: {coding}"))
        head = client._until(b"\r\n\r\n").decode()
        assert f"content-encoding: {coding}" in head.lower()
        decoder, seen = Decoder(coding), b""
        while seen != b"data: first\n\n":
            seen += decoder.feed(client._exactly(int(client._until(b"\r\n"), 16)))
            assert client._exactly(2) == b"\r\n"
        assert other.get("/go").status == 204
        seen += decoder.feed(client._chunks())
        assert seen == b"data: first\n\ndata: second\n\n"
        assert decoder.is_whole


def test_a_body_that_is_not_as_long_as_announced_has_no_end(server: BackendServer) -> None:
    with server.connect() as client:
        client.send(request("/short", ALL))
        with pytest.raises(Closed):
            client.answer()
    with server.connect() as client:
        answer = client.get("/long", ALL)
        assert decoded("zstd", answer.body) == PAGE[:-10]
        for _ in range(2):  # whatever the application goes on to say
            assert decoded("br", client.get("/endless", "Accept-Encoding: br").body) == PAGE
    for word in ("10 bytes shorter", "at least 10 bytes longer"):
        eventually(lambda word=word: f"the body is {word} than its Content-Length" in server.log())


def test_files(client: Client) -> None:
    for _ in range(2):
        for coding in CODINGS:
            answer = client.get("/static/app.js", f"Accept-Encoding: {coding}")
            assert decoded(coding, answer.body) == SCRIPT
            assert (answer["ETag"] or "").startswith('W/"')
            assert answer["Content-Length"] == str(len(answer.body))
            head = client.get("/static/app.js", f"Accept-Encoding: {coding}", method="HEAD")
            assert head.headers[:-2] == answer.headers[:-2], "but for the time"
            again = client.get(
                "/static/app.js", f"Accept-Encoding: {coding}", f"If-None-Match: {answer['ETag']}"
            )
            assert (again.status, again["ETag"], again["Vary"]) == (304, answer["ETag"], "Accept-Encoding")
        small = client.get("/static/small.css", ALL)
        assert decoded("zstd", small.body) == b"a { color: red }\n" * 100
    done = client.get("/static/done.js", ALL)
    assert (done["Content-Encoding"], done.body) == ("gzip", b"made before")
    part = client.get("/static/app.js", ALL, "Range: bytes=0-9")
    assert (part.status, part.body, part["Content-Encoding"]) == (206, SCRIPT[:10], None)
    assert part["Vary"] == "Accept-Encoding"
    huge = client.get("/static/huge.txt", ALL)
    assert (huge["Content-Encoding"], huge.body) == (None, SCRIPT * 20), "larger ones go as they are"


def test_curl_reads_all_of_them(server: BackendServer, tmp_path: Path) -> None:
    host, port = server.address
    for path in ("/html", "/pieces", "/large", "/static/app.js"):
        found = {
            coding: subprocess.run(
                ["curl", "-sS", "-f", *flags, f"http://{host}:{port}{path}"], capture_output=True, check=True
            ).stdout
            for coding, flags in {
                "plain": (),
                "all": ("--compressed",),
                **{one: ("--compressed", "-H", f"Accept-Encoding: {one}") for one in CODINGS},
            }.items()
        }
        assert len(set(found.values())) == 1, {coding: len(body) for coding, body in found.items()}
