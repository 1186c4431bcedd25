# TLS transport by itself: whatever its owner gives again, however it is cut, the client gets each byte once.

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bigtop.backends.native.transport.tls import TlsTransport
from bigtop.backends.native.transport.tls_contexts import TlsContexts
from bigtop.backends.native.transport.transport import READABLE, WRITABLE
from bigtop.backends.serve_options import TlsPolicy
from tests.support.certificates import ring
from tests.support.tls_client import Relayed

DATA = bytes(range(256)) * 1200  # 300 KiB


class Pair:
    """A transport, and its client, which reads when it is told to."""

    def __init__(self, contexts: TlsContexts, buffer: int) -> None:
        ours, self.plain = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        self.plain.setblocking(False)
        self.transport = TlsTransport(ours, contexts, None)
        self.client = Relayed()
        self.plain.send(self.client.hello())
        with pytest.raises(BlockingIOError):
            self.transport.recv(65536)
        while True:
            self.client.into.write(self.plain.recv(65536))
            try:
                self.client.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                pass
        self.plain.send(self.client.out())
        with pytest.raises(BlockingIOError):
            self.transport.recv(65536)
        assert self.transport.opening is None

    def taken(self, size: int) -> bytes:
        """Let the client read so many bytes of what came; return what it makes of them."""
        with suppress(BlockingIOError):
            self.client.into.write(self.plain.recv(size))
        found = []
        with suppress(ssl.SSLWantReadError):
            while piece := self.client.tls.read(65536):
                found.append(piece)
        return b"".join(found)

    def say(self, data: bytes) -> None:
        """Let the client send."""
        self.client.tls.write(data)
        self.plain.setblocking(True)
        self.plain.sendall(self.client.out())
        self.plain.setblocking(False)


@pytest.fixture(scope="module")
def contexts() -> TlsContexts:
    return TlsContexts(ring(), TlsPolicy())


@contextmanager
def pair(contexts: TlsContexts, buffer: int) -> Iterator[Pair]:
    made = Pair(contexts, buffer)
    try:
        yield made
    finally:
        made.transport.close()
        made.plain.close()


# How a piece is given, of how many bytes, and how many the client reads when nothing more is taken.
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["send", "sendmsg", "sendfile"]), st.integers(1, 70_000), st.integers(1, 30_000)
    ),
    min_size=1,
    max_size=12,
)


@given(steps=STEPS, buffer=st.sampled_from([2304, 20_000, 200_000]))
@settings(max_examples=60)
def test_each_byte_comes_once(contexts: TlsContexts, steps: list[tuple[str, int, int]], buffer: int) -> None:
    fd = os.memfd_create("data")
    try:
        os.write(fd, DATA)
        with pair(contexts, buffer) as both:
            steps = [*steps, ("send", 30_000, 20_000)]  # so that it comes to an end
            sent, step, got = 0, 0, b""
            while sent < len(DATA):
                how, size, reads = steps[step % len(steps)]
                step += 1
                piece = DATA[sent : sent + size]
                try:
                    if how == "send":
                        taken = both.transport.send(memoryview(piece))
                    elif how == "sendmsg":
                        taken = both.transport.sendmsg((piece[:5], piece[5:]), False)
                    else:
                        taken = both.transport.sendfile(fd, sent, len(piece))
                    assert 0 < taken <= len(piece)
                    sent += taken
                    assert both.transport.write_event == WRITABLE
                except BlockingIOError:
                    got += both.taken(reads)
            both.transport.shutdown(socket.SHUT_WR)
            while len(got) < len(DATA):
                more = both.taken(65536)
                got += more
            assert got == DATA
    finally:
        os.close(fd)


@given(sizes=st.lists(st.integers(1, 40_000), min_size=1, max_size=8))
@settings(max_examples=40)
def test_a_read_leaves_nothing_behind(contexts: TlsContexts, sizes: list[int]) -> None:
    """As long as the kernel has nothing, neither has OpenSSL: epoll tells the truth."""
    with pair(contexts, 200_000) as both:
        for size in sizes:
            data = DATA[:size]
            both.say(data)
            got = b""
            while len(got) < size:
                with suppress(BlockingIOError):
                    got += both.transport.recv(65536)
                if len(got) < size:
                    assert both.transport._socket.recv(1, socket.MSG_PEEK), "the rest lies in the kernel"
            assert got == data
            assert both.transport.read_event == READABLE


def test_an_end_that_was_announced_and_one_that_was_not(contexts: TlsContexts) -> None:
    with pair(contexts, 200_000) as both:
        with suppress(ssl.SSLWantReadError):
            both.client.tls.unwrap()
        both.plain.send(both.client.out())
        assert both.transport.recv(65536) == b""
    with pair(contexts, 200_000) as both:
        both.plain.close()
        with pytest.raises(OSError, match=r"(?i)eof|reset"):
            both.transport.recv(65536)


def test_nothing_is_sent_before_it_is_open(contexts: TlsContexts) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        transport = TlsTransport(ours, contexts, None)
        for give in (lambda: transport.send(b"x"), lambda: transport.sendmsg((b"x", b"y"), True)):
            with pytest.raises(BlockingIOError):
                give()
        with pytest.raises(BlockingIOError):
            transport.peek(1)
        for lending in (transport.lend, lambda: transport.send_beside(b"x"), transport.take_back):
            with pytest.raises(NotImplementedError):
                lending()
        transport.reset()
        transport.close()
        theirs.settimeout(30)
        assert theirs.recv(10) == b""
