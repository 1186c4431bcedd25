# Discovery: who asks is told, but not everybody, and not without end.

from __future__ import annotations

import asyncio
import json
import logging
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.control.server.discovery import RATE, Bucket, Discovery

ENDPOINT = "tcp://127.0.0.1:5555"
LOOPBACK = ("127.0.0.0/8",)


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def ask(allowed: tuple[str, ...], times: int = 1, group: str = "127.0.0.1") -> list[object]:
    """Return all answers to so many datagrams."""
    port = free_port()
    discovery = Discovery(f"udp://{group}:{port}", ENDPOINT, allowed)
    loop = asyncio.get_running_loop()
    answers: list[object] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        client.bind(("127.0.0.1", 0))
        for _ in range(times):
            await loop.sock_sendto(client, b'""', ("127.0.0.1", port))
        try:
            async with asyncio.timeout(0.5):
                while True:
                    answers.append(json.loads(await loop.sock_recv(client, 1000)))
        except TimeoutError:
            pass
    discovery.close()
    return answers


def test_who_asks_is_told() -> None:
    assert asyncio.run(ask(LOOPBACK)) == [{"endpoint": ENDPOINT}]


def test_a_group_is_joined() -> None:
    assert asyncio.run(ask(LOOPBACK, group="237.219.251.97")) == [{"endpoint": ENDPOINT}]


def test_strangers_are_not_answered() -> None:
    assert asyncio.run(ask(("10.0.0.0/8",))) == []


def test_answers_are_limited() -> None:
    assert len(asyncio.run(ask(LOOPBACK, times=500))) <= 2 * RATE


def test_what_cannot_be_joined_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    async def start() -> None:
        Discovery("udp://no-address:5", ENDPOINT, LOOPBACK).close()

    with caplog.at_level(logging.WARNING, "bigtop"):
        asyncio.run(start())
    assert "multicast_endpoint udp://no-address:5: no discovery" in caplog.text


@given(st.lists(st.floats(0, 3), max_size=200))
def test_a_bucket_gives_its_rate_and_no_more(pauses: list[float]) -> None:
    bucket, now, given_out = Bucket(5), 0.0, 0
    for pause in pauses:
        now += pause
        given_out += bucket.take(now)
    assert given_out <= 5 + 5 * now + 1e-6


def test_a_bucket_fills_again() -> None:
    bucket = Bucket(2)
    assert [bucket.take(0), bucket.take(0), bucket.take(0), bucket.take(0.5), bucket.take(0.5)] == [
        *(True, True, False, True, False),
    ]
