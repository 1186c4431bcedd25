# Listeners are open sockets that others hold too: other workers, other applications, commands. Whatever one
# of these does to them, a worker waits for nobody, never turns for nothing, and answers those who are there.

from __future__ import annotations

import os
import select
import socket

import pytest

from bigtop.backends.native.acceptor import Acceptor
from bigtop.ipc.scoreboard import Slot
from tests.backends.test_routing import ALL, APPS
from tests.support import procfs
from tests.support.backend_server import BackendServer, eventually

pytestmark = pytest.mark.case("E10")


def is_watched(subject: BackendServer) -> bool:
    """Whether the worker has the listener in an epoll set (proc(5), fdinfo)."""
    inode = f" ino:{os.fstat(subject.listener.fileno()).st_ino:x} "
    infos = procfs.descriptor_infos(subject.process.pid)
    return any(inode in line for info in infos for line in info.splitlines() if "tfd:" in line)


@ALL
def test_a_listener_that_was_made_to_block_holds_up_nobody(backend: str) -> None:
    with BackendServer(APPS[backend], backend=backend) as subject, subject.connect() as first:
        assert first.get("/").status == 200
        for _ in range(3):
            subject.listener.setblocking(True)
            with subject.connect() as client:
                assert client.get("/").status == 200
                assert first.get("/").status == 200
        subject.listener.setblocking(True)
        subject.drain(10)
        assert subject.wait() == 0


@ALL
def test_a_worker_lets_go_of_a_listener_that_was_shut_down(backend: str) -> None:
    """It is readable for ever."""
    with BackendServer(APPS[backend], backend=backend) as subject, subject.connect() as client:
        assert client.get("/").status == 200
        eventually(lambda: is_watched(subject), what="it is ready for others")
        subject.listener.shutdown(socket.SHUT_RDWR)
        eventually(lambda: not is_watched(subject), what="it lets go")
        assert client.get("/").status == 200
        subject.drain(10)
        assert subject.wait() == 0
        assert subject.log().count("somebody shut that listening socket down") == 1
        assert "Traceback" not in subject.log()


@pytest.mark.parametrize("how", [socket.SHUT_RD, socket.SHUT_RDWR])
@pytest.mark.parametrize("address", ["", ("127.0.0.1", 0)], ids=["unix", "tcp"])
def test_the_end_of_a_listener_is_told_apart_from_an_empty_queue(
    address: str | tuple[str, int], how: int, caplog: pytest.LogCaptureFixture
) -> None:
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as other, select.epoll() as epoll:
        other.bind(address)
        other.listen()
        fd = os.dup(other.fileno())
        acceptor = Acceptor([socket.socket(fileno=fd)], epoll, 10, Slot.unseen().words)
        acceptor.set(True)
        assert acceptor.accept(fd, 0) is None
        assert fd in acceptor
        other.shutdown(how)
        assert epoll.poll(0)
        assert acceptor.accept(fd, 0) is None
        assert fd not in acceptor
        assert not epoll.poll(0)
        assert list(acceptor.accept_all(0)) == []
        acceptor.close()
    assert caplog.text.count("somebody shut that listening socket down") == 1
