# Files that an application answers with: the kernel sends what really is in the file, all others are read.

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.apps.wrappers import CONTENT
from tests.support.backend_server import BackendServer

FIRST_LINE = len(CONTENT.partition(b"\n")[0]) + 1
EXPECTED = {
    "plain": CONTENT,
    "raw": CONTENT,
    "begun": CONTENT[FIRST_LINE:],
    "django": CONTENT,
    "gzip": CONTENT,
    "temporary": CONTENT,
    "spooled": CONTENT,
    "shouting": CONTENT.upper(),
    "shouting-reader": CONTENT.upper(),
    "shouting-raw": CONTENT.upper(),
    "django-shouting": CONTENT.upper(),
    "grown": b"LINE" + CONTENT[4:],
    "pipe": b"through a pipe",
}
BY_THE_KERNEL = ("plain", "raw", "begun", "django", "grown")  # known by the length that is announced


@pytest.fixture(scope="module", params=["wsgi", "gevent"])
def server(request: pytest.FixtureRequest) -> Iterator[BackendServer]:
    with BackendServer("tests.apps.wrappers:wsgi", backend=request.param) as server:
        yield server


@pytest.mark.case("A12")
@pytest.mark.parametrize("kind", EXPECTED)
def test_what_the_file_says_is_what_the_client_gets(server: BackendServer, kind: str) -> None:
    with server.connect() as client:
        answer = client.get(f"/{kind}")
        assert answer.body == EXPECTED[kind]
        assert (answer["Content-Length"] is not None) == (kind in BY_THE_KERNEL)


@pytest.mark.case("A12")
@pytest.mark.parametrize(("kind", "text"), [("proc", b"VmRSS"), ("sys", b"[")])
def test_files_that_are_made_as_they_are_read(server: BackendServer, kind: str, text: bytes) -> None:
    with server.connect() as client:
        answer = client.get(f"/{kind}")
        assert text in answer.body
        assert b"\0" not in answer.body
        assert client.get(f"/{kind}", method="HEAD").status == 200
        assert client.get("/plain").body == CONTENT


@pytest.mark.case("A12")
@pytest.mark.parametrize("path", ["/proc/self/status", "/sys/kernel/mm/transparent_hugepage/enabled"])
def test_the_same_by_pathsend_and_zerocopysend(path: str) -> None:
    with (
        BackendServer("tests.apps.wrappers:asgi", backend="asgi") as server,
        server.connect() as client,
        open(path, "rb") as file,
    ):
        begin = file.read(6)
        for _ in range(2):
            assert client.get(f"{path}?path").body.startswith(begin)
            assert client.get(path).body.startswith(begin[:3] + begin[1:3] + begin[3:])
