# Keep-alive: which answer is the last, and whether a client may be sending still when that is out.

from __future__ import annotations

from itertools import product

import pytest

from bigtop.http.engine import Engine
from bigtop.http.keep_alive import is_last, may_send
from bigtop.http.limits import Limits

GET = b"GET / HTTP/1.1\r\nHost: test\r\n"
CLOSE = b"Connection: close\r\n"


def test_an_answer_is_the_last_where_nothing_can_come_after_it() -> None:
    last = {case for case in product((False, True), repeat=3) if is_last(*case)}
    draining_alone = {(True, True, False)}
    assert last == draining_alone | set(product((False,), (False, True), (False, True)))


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (GET + b"\r\n", True),
        (GET + b"\r\nGET", True),
        (GET + b"Content-Length: 9\r\n\r\nabc", True),
        (GET + CLOSE + b"\r\n", False),
        (GET + CLOSE + b"Content-Length: 3\r\n\r\nab", True),
        (GET + CLOSE + b"Content-Length: 3\r\n\r\nabc", False),
        (GET + CLOSE + b"\r\nGET", False),
        (b"GET / HTTP/1.0\r\n\r\n", False),
        (GET + b"\r\nnonsense\r\n\r\n", True),
        (GET + CLOSE + b"Transfer-Encoding: chunked\r\n\r\nnonsense\r\n", True),
        (GET + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n", True),
    ],
)
def test_who_may_be_sending_still(sent: bytes, expected: bool) -> None:
    engine = Engine(Limits(), {b"websocket"})
    engine.feed(sent)
    assert may_send(engine) is expected
