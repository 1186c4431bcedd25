# The parts of the native backend that can be tried without a server: clocks, buffer, body, executor.

from __future__ import annotations

import io
import os
import socket
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bigtop.backends.native.handlers.client_limits import AddressConnections, AddressRate
from bigtop.backends.native.handlers.handler_chain import Chain
from bigtop.backends.native.timeouts import GRACE, NEVER, SECOND, Timeouts, Wait
from bigtop.backends.native.transport.transport import PlainTransport
from bigtop.backends.native.transport.write_buffer import Bounds, ClientGone, WriteBuffer, patient
from bigtop.backends.serve_options import ServeOptions
from bigtop.backends.wsgi.body import Body
from bigtop.backends.wsgi.call import Call
from bigtop.backends.wsgi.connections.connection import Connection
from bigtop.backends.wsgi.context import WorkerContext
from bigtop.backends.wsgi.executors.executor import Lead
from bigtop.backends.wsgi.executors.thread_executor import ENOUGH, TICK, ThreadExecutor, _ReliefBell, _Usual
from bigtop.backends.wsgi.websockets.relay import Task as Beside
from bigtop.backends.wsgi.websockets.upgraded import Means, SpokenSocket, Upgrades
from bigtop.http.clients.forwarded import Forwarding, Trust
from bigtop.http.declarations import Rate
from bigtop.http.engine import Engine
from bigtop.http.handlers import FilePart
from bigtop.http.interfaces.wsgi import Environs, Peer
from bigtop.http.limits import Limits
from bigtop.http.messages import Request
from bigtop.ipc import client_table
from bigtop.ipc.scoreboard import Slot
from tests.support.backend_server import eventually

# ---- deadlines

KINDS = ("idle", "head", "body", "send", "linger", "last")


def _never(run: Callable[[], None]) -> Beside:
    raise AssertionError("nothing is to run beside a call")


class Waiting:
    """All that a clock wants of a connection."""

    def __init__(self) -> None:
        self.wait = None


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.sampled_from([*KINDS, "stop"]), st.integers(0, 20 * SECOND)),
        max_size=60,
    )
)
def test_clocks_run_out_exactly_when_they_should(steps: list[tuple[int, str, int]]) -> None:
    clocks = Timeouts(Limits(keep_alive=7, header_timeout=3, body_timeout=0, send_timeout=2))
    connections = [Waiting() for _ in range(6)]
    due: dict[int, int] = {}
    now = 0
    for number, what, passed in steps:
        now += passed
        if now >= clocks.soonest:
            expired = {connections.index(connection) for connection, _ in clocks.expired(now)}
            assert expired == {n for n, until in due.items() if until <= now}
            due = {n: until for n, until in due.items() if until > now}
        assert all(until > now for until in due.values())
        if what == "stop":
            clocks.stop(connections[number])
            due.pop(number, None)
            continue
        wait = {kind: getattr(clocks, kind) for kind in KINDS}[what]
        clocks.start(connections[number], wait, now)
        due.pop(number, None)
        if wait.length:
            due[number] = now + wait.length
        assert clocks.soonest <= min(due.values(), default=NEVER)


def test_without_connections_there_is_nothing_to_wait_for() -> None:
    clocks, connection = Timeouts(Limits(keep_alive=1)), Waiting()
    clocks.start(connection, clocks.idle, 0)
    clocks.stop(connection)
    assert not list(clocks.expired(2 * SECOND))
    assert clocks.soonest == NEVER


# ---- buffer


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.settimeout(60)
        yield ours, theirs


def _drain(buffer: WriteBuffer, theirs: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size:
        buffer.flush()
        received += theirs.recv(1 << 20)
    return received


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 300_000)), min_size=1, max_size=12),
    st.sampled_from([1 << 20, 100_000, 0]),
)
def test_bytes_and_files_leave_in_order_and_whole(parts: list[tuple[bool, int]], memory: int) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, tempfile.TemporaryFile() as file:
        ours.setblocking(False)
        file.write(bytes(range(256)) * 1200)
        file.flush()
        buffer, wanted = WriteBuffer(PlainTransport(ours), Bounds(memory, 400_000, None)), b""
        for number, (from_file, size) in enumerate(parts):
            piece = bytes([number]) * size
            if from_file and size:
                buffer.put(FilePart(file.fileno(), number, size))
                piece = (bytes(range(256)) * 1200)[number : number + size]
            else:
                buffer.put(piece)
            wanted += piece
        assert _drain(buffer, theirs, len(wanted)) == wanted
        assert buffer.flush()
        assert buffer.size == 0
        buffer.close()


def test_the_leader_is_called_once_until_everything_is_out(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    buffer = WriteBuffer(PlainTransport(ours), Bounds(1 << 20, 0, None))
    assert not buffer.put(b"fits")
    assert buffer.put(b"x" * 5_000_000), "begins to wait"
    assert not buffer.put(b"y" * 5), "waits already"
    assert _drain(buffer, theirs, 5_000_009).endswith(b"xyyyyy")
    assert not buffer.put(b"fits again")


def test_the_producer_waits_until_half_is_free(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    buffer = WriteBuffer(PlainTransport(ours), Bounds(1_000_000, 0, None))
    buffer.put(b"x" * 5_000_000)
    assert buffer.is_full()
    waiter = threading.Thread(target=buffer.wait_for_room)
    waiter.start()
    while buffer.size > 500_000:
        assert waiter.is_alive()
        buffer.flush()
        theirs.recv(1 << 20)
    buffer.flush()
    waiter.join(60)
    assert not waiter.is_alive()


def test_a_client_that_is_gone_ends_the_wait(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    buffer = WriteBuffer(PlainTransport(ours), Bounds(1000, 0, None))
    buffer.put(b"x" * 5_000_000)
    seen: list[type[BaseException]] = []

    def wait() -> None:
        try:
            buffer.wait_for_room()
        except ClientGone as error:
            seen.append(type(error))

    waiter = threading.Thread(target=wait)
    waiter.start()
    theirs.close()
    with pytest.raises(ClientGone):
        buffer.flush()
    buffer.abandon()
    waiter.join(60)
    assert seen == [ClientGone]
    with pytest.raises(ClientGone):
        buffer.put(b"more")


def test_a_file_that_shrinks_is_not_filled_up(pair: tuple[socket.socket, socket.socket]) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(b"12345")
        file.flush()
        with pytest.raises(ClientGone):
            WriteBuffer(PlainTransport(pair[0]), Bounds(1000, 0, None)).put(FilePart(file.fileno(), 0, 9))


# ---- body


@pytest.mark.parametrize(
    "pieces", [[], [b"a"], [b"a" * 99, b"b"], [b"a" * 99, b"bb"], [b"c" * 500, b"d" * 500]]
)
def test_a_body_comes_back_whole(tmp_path: Path, pieces: list[bytes]) -> None:
    body = Body(100, str(tmp_path), Request())
    for piece in pieces:
        body.add(piece)
    assert body.size == sum(map(len, pieces))
    with body.finish() as file:
        assert file.read() == b"".join(pieces)
    assert not list(tmp_path.iterdir()), "a temporary file has no name"


def test_a_body_that_trickles_takes_little_more_room_than_it_holds(tmp_path: Path) -> None:
    body = Body(1 << 20, str(tmp_path), Request())
    tracemalloc.start()
    try:
        for number in range(100_000):
            body.add(b"%c" % (number % 256) + bytes(2))
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held < 1_500_000, "300,000 bytes, and as much again twice"
    assert body.finish().read() == b"".join(b"%c\0\0" % (number % 256) for number in range(100_000))


def test_a_body_in_one_piece_is_handed_on_as_it_lies(tmp_path: Path) -> None:
    piece = os.urandom(50_000)
    body = Body(1 << 20, str(tmp_path), Request())
    body.add(piece)
    assert body.finish().read() is piece


# ---- executor


SLOT = Slot.unseen()


class Task:
    """What a call has to do: it lasts until it is let go."""

    def __init__(self, quick: bool = False, lets_go: Task | None = None) -> None:
        self.go = threading.Event()
        self.call = _call()
        self.call.unclosed = self  # to close a response is the part of a call that needs no application
        self._lets_go = lets_go
        if quick:
            self.go.set()

    def close(self) -> None:
        if self._lets_go is not None:
            self._lets_go.go.set()
        assert self.go.wait(60)


UPGRADES = Upgrades(Means(SpokenSocket, threading.Lock, patient, _never), Limits())


def _call() -> Call:
    executor = ThreadExecutor(1, SLOT.latencies, UPGRADES)
    site = WorkerContext(lambda environ, start: [], ServeOptions(), SLOT, Chain(), executor, None, None)
    with socket.socket() as sock:
        connection = Connection(PlainTransport(sock), _peer("127.0.0.1"), Engine(Limits()), site)
    return Call(site, connection.stream, Request(), io.BytesIO(), 0)


def test_the_lead_passes_on_during_a_slow_call_and_only_then() -> None:
    log, longest = _passing_on()
    while longest >= TICK:  # the machine is so busy that a quick call was a slow one
        log, longest = _passing_on()
    me = threading.current_thread().name
    assert sorted(log, key=str) == sorted([("leads", me), ("leads", "executor-1"), (Lead.LOST, me)], key=str)


def _passing_on() -> tuple[list[tuple[object, str]], float]:
    """Run quick calls and a slow one; return who led and who lost the lead, and how long a quick one took."""
    executor = ThreadExecutor(1, Slot.unseen().latencies, UPGRADES)
    slow, log, took = Task(), list[tuple[object, str]](), [0.0]

    def lead() -> None:
        log.append(("leads", threading.current_thread().name))
        if len(log) == 1:
            for _ in range(3):
                began = time.monotonic()
                outcome = executor.run(Task(quick=True).call)
                took.append(time.monotonic() - began)
                if outcome is not Lead.KEPT:
                    log.append(("loses it in a quick call", threading.current_thread().name))
                    return
            outcome = executor.run(slow.call)
            log.append((outcome, threading.current_thread().name))
            return
        assert executor.detached == 1
        slow.go.set()
        eventually(lambda: bool(executor.finished))
        if executor.finished.popleft() is not slow.call:
            log.append(("finishes a quick call", threading.current_thread().name))
        executor.stop()

    executor.work(lead)
    return log, max(took)


def test_a_finished_call_takes_the_lead_back_from_a_leader_inside_a_call() -> None:
    executor = ThreadExecutor(
        1, Slot.unseen().latencies, UPGRADES
    )  # so that there is no third thread to take over
    first, log = Task(), []
    second = Task(lets_go=first)

    def lead() -> None:
        if not log:
            log.append("first")
            outcome = executor.run(first.call)
            log.append(str(outcome))
            assert executor.detached == 1, "the other one is detached instead"
            second.go.set()
            eventually(lambda: bool(executor.finished))
            executor.stop()
            return
        log.append("second")
        assert executor.run(second.call) is Lead.LOST

    executor.work(lead)
    assert log == ["first", "second", "Lead.REGAINED"]


def test_what_is_too_much_for_memory_goes_to_a_file_of_bounded_size(
    pair: tuple[socket.socket, socket.socket], tmp_path: Path
) -> None:
    ours, theirs = pair
    buffer = WriteBuffer(PlainTransport(ours), Bounds(100_000, 3_000_000, str(tmp_path)))
    wanted, given_up = b"", 0
    for number in range(40):
        piece = bytes([number]) * 500_000
        buffer.put(piece)
        wanted += piece
        if buffer.is_full():
            given_up += 1
            before = _drain(buffer, theirs, len(wanted))
            assert before == wanted
            wanted = b""
    assert given_up > 2, "the file has an end"
    assert _drain(buffer, theirs, len(wanted)) == wanted
    buffer.close()


def test_a_full_disk_holds_the_producer_back_and_breaks_nothing(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    buffer = WriteBuffer(PlainTransport(ours), Bounds(1000, 1 << 30, "/nonexistent"))
    buffer.put(b"x" * 5_000_000)
    assert buffer.is_full()
    assert _drain(buffer, theirs, 5_000_000) == b"x" * 5_000_000


def test_a_producer_without_a_leader_sends_for_itself(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    seconds = [0.1]
    bounds = Bounds(1000, 0, None, lambda fd, event: patient(seconds[0])(fd, event))
    buffer = WriteBuffer(PlainTransport(ours), bounds)
    buffer.put(b"x" * 5_000_000)
    with pytest.raises(ClientGone):
        buffer.wait_for_room()
    seconds[0] = 30
    received = [0]
    reader = threading.Thread(target=lambda: _read(theirs, received))
    reader.start()
    buffer.wait_for_room()
    assert buffer.size <= 500
    theirs.shutdown(socket.SHUT_RDWR)
    reader.join(60)


def _read(sock: socket.socket, received: list[int]) -> None:
    while piece := sock.recv(1 << 20):
        received[0] += len(piece)


def test_rates_count_from_the_grace_on() -> None:
    wait = Wait(60, rate=100)
    assert not wait.is_too_slow(0, began=0, now=GRACE * SECOND)
    assert not wait.is_too_slow(100, began=0, now=(GRACE + 1) * SECOND)
    assert wait.is_too_slow(99, began=0, now=(GRACE + 1) * SECOND + 1)
    assert not Wait(60).is_too_slow(0, began=0, now=1000 * SECOND)


# ---- limits of an address


def _peer(address: str) -> Peer:
    return Peer(Environs({}), ("127.0.0.1", 80), (address, 1), Forwarding(Trust(["10.0.0.1"]), ()), "http")


def test_connections_of_an_address_are_counted() -> None:
    limit, peer = AddressConnections(2, client_table.alone()), _peer("10.0.0.2")
    assert [limit.opened(peer) is None for _ in range(3)] == [True, True, False]
    assert limit.opened(_peer("10.0.0.3")) is None
    limit.closed(peer)
    limit.closed(peer)
    assert limit.opened(peer) is None
    assert all(limit.opened(_peer("10.0.0.1")) is None for _ in range(9)), "a proxy speaks for many"


def test_an_address_gets_its_rate_and_others_get_theirs() -> None:
    limit, peer, other = (
        AddressRate(Rate(3, 1), "", client_table.alone()),
        _peer("10.0.0.2"),
        _peer("10.0.0.3"),
    )
    assert [limit.handle(Request(), peer, 1) is None for _ in range(5)] == [True] * 3 + [False] * 2
    assert limit.handle(Request(), other, 1) is None
    assert limit.handle(Request(), peer, SECOND) is None
    assert all(limit.handle(Request(), _peer("10.0.0.1"), 1) is None for _ in range(9)), "a proxy's"


# ---- the relief


def test_it_looks_more_often_just_after_it_found_a_slow_call() -> None:
    bell = _ReliefBell(Slot.unseen().latencies)

    def tick() -> float:
        began = time.monotonic()
        bell.tick()
        return time.monotonic() - began

    assert min(tick() for _ in range(20)) >= TICK
    bell.fine_until = NEVER
    eventually(lambda: tick() < TICK, what="a fine tick, on a machine that is not too busy for one")


def test_what_most_calls_take_is_what_three_of_four_do() -> None:
    slot = Slot.unseen()
    usual = _Usual(slot.latencies)
    assert usual.seconds() == 0
    for microseconds, count in ((100, 75), (3_000_000, 25)):
        for _ in range(count):
            slot.end(slot.begin(0, b"GET", b"", b"/"), 0, microseconds * 1000, 200)
    assert usual.seconds() == pytest.approx(100e-6, rel=0.09)  # the few slow ones do not count
    assert usual.seconds() == pytest.approx(100e-6, rel=0.09)  # nor does silence
    for _ in range(ENOUGH):
        slot.end(slot.begin(0, b"GET", b"", b"/"), 0, 4_000_000, 200)
    assert usual.seconds() == pytest.approx(4e-3, rel=0.09)  # it is about the calls of late
    slot.end(slot.begin(0, b"GET", b"", b"/"), 0, 1, 200)
    assert usual.seconds() == pytest.approx(4e-3, rel=0.09)  # one call tells nothing


def test_no_answer_is_held_where_calls_usually_take_long() -> None:
    slot = Slot.unseen()
    executor = ThreadExecutor(1, slot.latencies, UPGRADES)
    stream = _call().stream
    executor._offer.append(stream)  # as run() does
    for microseconds, holds in ((100, True), (8_000, False), (100, True)):
        for _ in range(ENOUGH):
            slot.end(slot.begin(0, b"GET", b"", b"/"), 0, microseconds * 1000, 200)
        executor.bell.tick()
        assert executor.hold(stream, b"") is holds


def test_a_leader_that_makes_progress_is_left_alone() -> None:
    """Many calls in one batch of events take long together, but none of them needs relief.

    Where the machine is so busy that one of them takes a tick nothing is known, and another batch is made.
    """
    for _ in range(50):
        detached, longest = _batch()
        if longest < TICK:
            assert detached == 0
            return
    pytest.skip("a busy machine: no batch without a call that took a tick")


def _batch() -> tuple[int, float]:
    """Return how many calls went on without the lead, and how long the longest took."""
    executor = ThreadExecutor(1, Slot.unseen().latencies, UPGRADES)
    end = time.monotonic() + 20 * TICK
    calls: list[Task] = []
    lasted: list[float] = []

    def lead() -> None:
        while time.monotonic() < end:
            calls.append(Task())
            threading.Timer(TICK / 5, calls[-1].go.set).start()
            began = time.monotonic()
            outcome = executor.run(calls[-1].call)
            lasted.append(time.monotonic() - began)
            if outcome is Lead.LOST:
                return
        executor.stop()

    executor.work(lead)
    eventually(lambda: len(lasted) == len(calls))
    return executor.detached, max(lasted, default=TICK)
