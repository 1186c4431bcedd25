# Discovery: who asks is told, but not everybody, and not without end.

from __future__ import annotations

import asyncio
import json
import logging
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.control.server.discovery import RATE, Bucket, Discovery
from tests.support.pool_harness import until

ENDPOINT = "tcp://127.0.0.1:5555"
LOOPBACK = ("127.0.0.0/8",)


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


FRIEND = "127.0.0.9"  # is allowed as well, and asks last


async def ask(
    allowed: tuple[str, ...], expected: int, times: int = 1, group: str = "127.0.0.1"
) -> list[object]:
    """Return all answers to so many datagrams, when there are as many as expected and all were looked at."""
    port = free_port()
    discovery = Discovery(f"udp://{group}:{port}", ENDPOINT, (*allowed, f"{FRIEND}/32"))
    with asking_from("127.0.0.1") as client, asking_from(FRIEND) as friend:
        for _ in range(times):
            client.sendto(b'""', ("127.0.0.1", port))

        def is_told() -> bool:
            friend.sendto(b'""', ("127.0.0.1", port))
            return bool(received(friend))

        await until(is_told, "an answer to the last one")
        answers: list[object] = []

        def are_there() -> bool:
            answers.extend(received(client))
            return len(answers) >= expected

        await until(are_there, "the answers")
    discovery.close()
    return answers


@contextmanager
def asking_from(address: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        client.bind((address, 0))
        yield client


def received(client: socket.socket) -> list[object]:
    found: list[object] = []
    with suppress(BlockingIOError):
        while True:
            found.append(json.loads(client.recv(1000)))
    return found


def test_who_asks_is_told() -> None:
    assert asyncio.run(ask(LOOPBACK, 1)) == [{"endpoint": ENDPOINT}]


def test_a_group_is_joined() -> None:
    assert asyncio.run(ask(LOOPBACK, 1, group="237.219.251.97")) == [{"endpoint": ENDPOINT}]


def test_strangers_are_not_answered() -> None:
    assert asyncio.run(ask(("10.0.0.0/8",), 0)) == []


def test_answers_are_limited() -> None:
    began = time.monotonic()
    count = len(asyncio.run(ask(LOOPBACK, RATE, times=500)))
    assert RATE <= count <= RATE * (1 + time.monotonic() - began)


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
