# The invalid part of the corpus, sent to a running server: an error, the end, and nothing behind it.

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress

import pytest

from bigtop.backends.serve_options import ServeOptions, TlsPolicy
from tests.http.cases import Case, read_corpus
from tests.support.backend_server import BackendServer
from tests.support.wire import request

STATUS = re.compile(rb"^HTTP/1\.1 (\d{3}) ", re.MULTILINE)


@pytest.fixture(scope="module")
def server() -> Iterator[BackendServer]:
    # With HTTP/1.1 alone: a client on this machine may begin with HTTP/2.
    with BackendServer("tests.apps.wsgi_basic:app", ServeOptions(tls=TlsPolicy(http1_only=True))) as server:
        yield server


@pytest.mark.parametrize("case", read_corpus("invalid"), ids=lambda case: case.name)
def test_a_bad_request_is_the_last_one(server: BackendServer, case: Case) -> None:
    with server.connect() as client:
        with suppress(BrokenPipeError, ConnectionResetError):  # it may be refused before it is all sent
            client.send(case.data + request("/hello?smuggled"))
        statuses = [int(status) for status in STATUS.findall(client.rest())]
    assert statuses[-1] in case.statuses
    assert len(statuses) <= len(case.requests) + 1
