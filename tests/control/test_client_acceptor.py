# Acceptor of the control channel, with ZeroMQ behind it and a client in front that writes its bytes itself.

from __future__ import annotations

import asyncio
import os
import resource
import socket

import pytest
import zmq

from bigtop.control.server import subscriptions
from bigtop.control.server.client_acceptor import ClientAcceptor, RelayLimits
from bigtop.control.server.subscriptions import Subscriptions
from bigtop.control.server.zmq_socket import EdgeSocket

HELLO = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
READY = b"\x04\x1c\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER"
PING = b"\x04\x07\x04PING\x00\x00"
ROOM = 100  # bytes: less than a frame and a heartbeat, as they are counted


@pytest.mark.case("E12")
def test_a_client_that_says_no_more_than_that_it_lives_is_never_cut_off(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def play(context: zmq.Context[zmq.Socket[bytes]], listener: socket.socket) -> None:
        router = context.socket(zmq.ROUTER)
        acceptor = ClientAcceptor(listener, router, RelayLimits(1000, ROOM))
        edge = EdgeSocket(router, lambda _frames: None)
        loop = asyncio.get_running_loop()
        clock, ahead = loop.time, 0.0
        monkeypatch.setattr(loop, "time", lambda: clock() + ahead)
        incoming, outgoing = await asyncio.open_connection(*listener.getsockname())
        try:
            outgoing.write(HELLO + READY)
            await asyncio.wait_for(incoming.readuntil(b"READY"), 30)
            for _ in range(10):
                ahead += 10.0  # longer than a message may take
                outgoing.write(PING)
                await asyncio.wait_for(incoming.readuntil(b"PONG"), 30)
            assert len(acceptor.relays) == 1
        finally:
            outgoing.close()
            acceptor.shut()
            edge.close(0)
            await asyncio.to_thread(context.term)
            await acceptor.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        asyncio.run(play(zmq.Context(), listener))
    assert "is cut off" not in caplog.text


def test_who_subscribes_is_known_where_no_descriptor_is_left() -> None:
    async def play(context: zmq.Context[zmq.Socket[bytes]], listener: socket.socket) -> None:
        xpub = context.socket(zmq.XPUB)
        acceptor = ClientAcceptor(listener, xpub, subscriptions.LIMITS)
        told: asyncio.Queue[tuple[bytes, bool]] = asyncio.Queue()
        wanted = Subscriptions(xpub, acceptor, lambda *_: True, lambda *what: told.put_nowait(what))
        incoming, outgoing = await asyncio.open_connection(*listener.getsockname())
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        try:
            outgoing.write(HELLO + READY.replace(b"\x1c", b"\x19").replace(b"\x06DEALER", b"\x03SUB"))
            await asyncio.wait_for(incoming.readuntil(b"READY"), 30)
            os.close(free := os.dup(0))
            resource.setrlimit(resource.RLIMIT_NOFILE, (free, before[1]))
            outgoing.write(b"\x00\x03\x01ab" + b"\x00\x03\x01ab" + b"\x00\x02\x01c" + b"\x00\x03\x00ab")
            for topic, comes in ((b"ab", True), (b"c", True), (b"ab", False)):
                assert await asyncio.wait_for(told.get(), 30) == (topic, comes)
            outgoing.close()
            assert await asyncio.wait_for(told.get(), 30) == (b"c", False)
            assert not wanted
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
            outgoing.close()
            acceptor.shut()
            wanted.close()
            await asyncio.to_thread(context.term)
            await acceptor.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        asyncio.run(play(zmq.Context(), listener))
