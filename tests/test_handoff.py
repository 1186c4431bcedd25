# Connections between workers: whatever comes out of a queue, and whatever somebody does to a queue, a worker
# has a connection or nothing, keeps no descriptor, and waits for nobody.

from __future__ import annotations

import array
import contextlib
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bigtop.backends.native.app_queues import AppQueue, AppQueues
from bigtop.http.declarations import Route
from bigtop.http.paths.routes import Routes
from bigtop.ipc import handoff, seats
from bigtop.ipc.handoff import Handoff

pytestmark = pytest.mark.case("E10")

SO_PASSPIDFD, SO_PASSRIGHTS = 76, 83  # Linux 6.5, 6.16
KINDS = ("file", "listener", "datagram", "loose", "connection", "unix", "foreign", "pidfd", "memory")
# What somebody else has set on the queue by the time a message comes.
OPTIONS = (None, socket.SO_PASSCRED, SO_PASSPIDFD)


class Ends(ExitStack):
    """One descriptor of each kind."""

    def __init__(self) -> None:
        super().__init__()
        listener = self.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.enter_context(socket.create_connection(listener.getsockname()))
        accepted, _ = listener.accept()
        unix = socket.socketpair()
        for end in (accepted, *unix):
            self.enter_context(end)
        memory, pidfd = os.memfd_create("bigtop-test"), os.pidfd_open(os.getpid())
        self.fds = {
            "file": os.open(__file__, os.O_RDONLY),
            "listener": listener.fileno(),
            "datagram": self.enter_context(socket.socket(type=socket.SOCK_DGRAM)).fileno(),
            "loose": self.enter_context(socket.socket()).fileno(),
            "connection": accepted.fileno(),
            "unix": unix[0].fileno(),
            "foreign": self.enter_context(_foreign()).fileno(),
            "pidfd": pidfd,
            "memory": memory,
        }
        for kind in ("file", "pidfd", "memory"):
            self.callback(os.close, self.fds[kind])


def _foreign() -> socket.socket:
    """Return a stream socket of a family in which no client has an address that could be told."""
    try:
        return socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
    except OSError:  # this kernel has none
        return socket.socket(type=socket.SOCK_DGRAM)


class Queue:
    """The hand-off as worker 0 has it, and the copies of it that are in somebody else's hands."""

    def __init__(self) -> None:
        self._made = handoff.make(2)
        self._seats = seats.create()
        copies = [os.dup(end.fileno()) for end in self._made]
        self.worker = Handoff(copies, seats.Seats(self._seats), 0)
        self.reader, self.writer = self._made[0], self._made[1]

    def close(self) -> None:
        self.worker.close()
        for end in self._made:
            end.close()
        os.close(self._seats)


@pytest.fixture
def queue() -> Iterator[Queue]:
    made = Queue()
    yield made
    made.close()


@pytest.fixture
def ends() -> Iterator[Ends]:
    with Ends() as made:
        yield made


def send(queue: socket.socket, data: bytes, fds: tuple[int, ...]) -> None:
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    with contextlib.suppress(BlockingIOError):
        queue.sendmsg([data], rights)


def open_descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def taken(worker: Handoff) -> list[socket.socket]:
    found = []
    while (client := worker.take()) is not None:
        found.append(client)
    return found


MESSAGES = st.lists(
    st.tuples(
        st.binary(max_size=3) | st.just(b"c"),
        st.lists(st.sampled_from(KINDS), max_size=3),
        st.sampled_from(OPTIONS),
    ),
    max_size=6,
)


@given(MESSAGES)
@example([(b"c", ["foreign"], None)])
def test_any_message_is_a_connection_or_nothing(messages: list[tuple[bytes, list[str], int | None]]) -> None:
    with Ends() as ends:
        queue = Queue()
        try:
            worker = queue.worker
            assert worker.take() is None  # it keeps a descriptor in reserve from now on
            before = open_descriptors()
            for data, kinds, option in messages:
                for one in filter(None, OPTIONS):
                    with contextlib.suppress(OSError):  # an older kernel
                        queue.reader.setsockopt(socket.SOL_SOCKET, one, one == option)
                send(queue.writer, data, tuple(ends.fds[kind] for kind in kinds))
                clean = len(data) <= 1 and len(kinds) == 1 and option is None
                wanted = int(clean and kinds[0] in ("loose", "connection", "unix"))
                found = taken(worker)
                assert len(found) == wanted, (data, kinds, option)
                for client in found:
                    assert client.gettimeout() == 0
                    client.close()
                assert worker.take() is None
                assert open_descriptors() == before
        finally:
            queue.close()


def test_the_number_of_who_sent_it_is_no_descriptor(queue: Queue, ends: Ends) -> None:
    """With SO_PASSCRED the first that comes with a message is the sender's pid, and a descriptor may have
    that number."""
    assert queue.worker.take() is None
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    room = os.getpid() + 1
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(room, limits[0]), max(room, limits[1])))
    except (OSError, ValueError) as error:
        pytest.skip(f"no descriptor may have the number of this process: {error}")
    innocent = os.dup2(ends.fds["connection"], os.getpid())
    try:
        queue.reader.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        send(queue.writer, b"c", (ends.fds["unix"],))
        assert queue.worker.take() is None
        os.fstat(innocent)
    finally:
        os.close(innocent)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_nobody_waits_for_a_queue_that_was_made_to_block(queue: Queue, ends: Ends) -> None:
    queue.reader.setblocking(True)
    queue.writer.setblocking(True)
    with socket.socket(fileno=os.dup(ends.fds["connection"])) as client:
        assert queue.worker.take() is None
        while queue.worker.give(client):
            pass
        clients = taken(queue.worker)
        assert clients
        for one in clients:
            one.close()


@pytest.mark.parametrize("spoil", ["shut", "short", "refuse"])
def test_a_queue_that_takes_nothing_is_told_once(
    queue: Queue, ends: Ends, spoil: str, caplog: pytest.LogCaptureFixture
) -> None:
    if spoil == "shut":
        queue.reader.shutdown(socket.SHUT_RD)
    elif spoil == "refuse":
        try:
            queue.reader.setsockopt(socket.SOL_SOCKET, SO_PASSRIGHTS, 0)
        except OSError:
            pytest.skip("this kernel cannot")
    with socket.socket(fileno=os.dup(ends.fds["connection"])) as client:
        if spoil == "short":
            queue.writer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
            data = b"c" * 9000
        else:
            data = b"c"
        for _ in range(3):
            assert queue.worker._queues.send(0, client, data) is False
    assert caplog.text.count("a queue between workers is of no use any more") == 1


def test_the_end_of_a_queue_is_told_apart_from_an_empty_message(
    queue: Queue, ends: Ends, caplog: pytest.LogCaptureFixture
) -> None:
    send(queue.writer, b"", ())
    send(queue.writer, b"", ())
    send(queue.writer, b"c", (ends.fds["connection"],))
    (client,) = taken(queue.worker)
    client.close()
    assert not queue.worker.ended
    queue.reader.shutdown(socket.SHUT_RD)
    for _ in range(3):
        assert queue.worker.take() is None
    assert queue.worker.ended == {queue.worker.queue}
    assert caplog.text.count("somebody shut it down") == 1


def test_an_application_whose_queue_is_shut_is_not_served(ends: Ends) -> None:
    queues = [AppQueue(), AppQueue()]
    routes = Routes([(Route("", "/a"), 0), (Route("", "/b"), 1)], 0)
    app_queues = AppQueues(
        [os.dup(fd) for queue in queues for fd in queue.fds], routes, [ends.fds["listener"]]
    )
    try:
        seats.Seats(queues[1].seats).words(0)[seats.Seat.STATE] = seats.SeatState.READY
        assert app_queues.is_served(1)
        with socket.socket(fileno=os.dup(queues[1].fds[0])) as reader:
            reader.shutdown(socket.SHUT_RD)
        with socket.socket(fileno=os.dup(ends.fds["connection"])) as client:
            assert not app_queues.send(1, client, b"GET /b", None)
        assert not app_queues.is_served(1)
    finally:
        app_queues.close()
        for queue in queues:
            queue.close()
