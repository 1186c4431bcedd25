# Queues of listening sockets, as the kernel tells them: against connections that were made.

from __future__ import annotations

import contextlib
import os
import secrets
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.stats.processes import sockdiag
from bigtop.stats.processes.sockdiag import Queue
from tests.support.site import until


def listening(family: int, address: object, backlog: int) -> socket.socket:
    listener = socket.socket(family)
    listener.bind(address)  # type: ignore[arg-type]
    listener.listen(backlog)
    return listener


@pytest.mark.parametrize(
    ("family", "address"),
    [
        (socket.AF_INET, ("127.0.0.1", 0)),
        (socket.AF_INET6, ("::1", 0)),
        (socket.AF_UNIX, f"\0bigtop-test-{secrets.token_hex(8)}"),
    ],
    ids=["tcp", "tcp6", "unix"],
)
def test_who_waits_to_be_accepted_is_counted(family: int, address: object) -> None:
    with contextlib.ExitStack() as open_now:
        try:
            listener = open_now.enter_context(listening(family, address, 7))
        except OSError as error:
            pytest.skip(f"no such family here: {error}")
        inode = os.fstat(listener.fileno()).st_ino
        assert sockdiag.queues()[inode] == Queue(0, 7)
        for _ in range(3):
            client = open_now.enter_context(socket.socket(family))
            client.connect(listener.getsockname())
        until(lambda: sockdiag.queues()[inode] == Queue(3, 7), "three that wait")
        open_now.enter_context(listener.accept()[0])
        assert sockdiag.queues()[inode] == Queue(2, 7)
    assert inode not in sockdiag.queues()


@given(st.binary(max_size=200))
def test_any_answer_can_be_read(data: bytes) -> None:
    for _kind, body in sockdiag.messages(data):
        sockdiag.inet_queue(body)
        sockdiag.unix_queue(body)
    sockdiag.unix_queue(data)
