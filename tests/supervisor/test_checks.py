# Health checks of whatever may answer, over a pair of sockets; check commands in processes.

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable

import pytest

from bigtop.config.serve.values import deploy_values
from bigtop.supervisor.processes import checks
from bigtop.supervisor.processes.checks import CheckError, CheckProgram


def answered(text: str, *parts: bytes, ends: bool = True, headers: checks.Headers = ()) -> tuple[str, bytes]:
    """Return what a check says of an answer in `parts`, and what it asked."""

    async def talk() -> tuple[str, bytes]:
        ours, theirs = socket.socketpair()
        with theirs:
            ours.setblocking(False)
            for part in parts:
                theirs.sendall(part)
            if ends:
                theirs.shutdown(socket.SHUT_WR)
            check = deploy_values.check(text)
            _scheme, host, path = checks.place(check, "http")
            said = await checks.health(check, host, path, headers, await checks.connected(ours))
            return said, theirs.recv(65536)

    return asyncio.run(talk())


def test_a_good_answer() -> None:
    said, asked = answered("GET /healthz?a=b 200", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    assert said.startswith("GET /healthz?a=b 200 in ")
    assert asked == (
        b"GET /healthz?a=b HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bigtop-health-check\r\n"
        b"Connection: close\r\n\r\n"
    )


def test_host_and_fields_of_choice() -> None:
    headers = (("host", "b.example"), ("Authorization", "Bearer 1"))
    _, asked = answered("GET http://a.example:81", b"HTTP/1.1 200 OK\r\n\r\n")
    assert asked.startswith(b"GET / HTTP/1.1\r\nHost: a.example:81\r\n")
    _, asked = answered("GET http://a.example", b"HTTP/1.1 200 OK\r\n\r\n", headers=headers)
    assert b"\r\nhost: b.example\r\n" in asked
    assert b"Authorization: Bearer 1\r\n" in asked
    assert b"a.example" not in asked


def test_early_hints_come_before_an_answer() -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    said, _ = answered("GET / 204", hints, hints, b"HTTP/1.1 204 No Content\r\n\r\n")
    assert said.startswith("GET / 204 in ")


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        ([b"HTTP/1.1 500 Oh\r\n\r\n"], "answered with 500, not with 200 or 301-302"),
        ([b""], "GET / 200,301-302 <5s: the connection was closed without an answer"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"], "the answer was cut off after 2 of 5 bytes"),
        ([b"SSH-2.0-x\r\n\r\n"], "what answers does not speak HTTP"),
        ([b"HTTP/1.1 abc\r\n\r\n"], "what answers does not speak HTTP"),
        ([b"HTTP/1.1 200 OK\r\n" + b"X: " + b"a" * 100_000], "is larger than 65536 bytes"),
    ],
)
def test_a_bad_answer(parts: list[bytes], problem: str) -> None:
    with pytest.raises(CheckError) as caught:
        answered("GET / 200,301-302 <5s", *parts)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("part", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n\r\nbegun"])
def test_an_answer_that_is_not_whole_in_time(part: bytes) -> None:
    with pytest.raises(CheckError, match=r"GET / <100ms: no whole answer within 0\.1 s"):
        answered("GET / <100ms", part, ends=False)


def run(command: str, limit: float = 30.0) -> tuple[str, bytes]:
    lines: list[bytes] = []

    async def once() -> str:
        program = CheckProgram(["/bin/sh", "-c", command], os.environ, ())
        return await checks.command(command, checks.started(program), limit, "a test", lines.append)

    return asyncio.run(once()), b"".join(lines)


def test_a_command_that_is_content() -> None:
    said, lines = run("echo out; echo err >&2")
    assert said.startswith("echo out; echo err >&2, ")
    assert lines == b"out\nerr\n"


def test_a_command_that_is_not() -> None:
    with pytest.raises(CheckError, match=r"^echo why; exit 3: ended with exit status 3\nwhy$"):
        run("echo why; exit 3")


def test_a_command_that_takes_too_long_ends_with_all_that_it_started() -> None:
    read_end, write_end = os.pipe()
    os.set_inheritable(write_end, True)

    async def once() -> str:
        command = "sleep 1000 & sleep 1000"
        program = CheckProgram(["/bin/sh", "-c", command], os.environ, (write_end,))
        return await checks.command(command, checks.started(program), 0.2, "a test", lambda _lines: None)

    with pytest.raises(CheckError, match=r"not done after 0\.2 s"):
        asyncio.run(once())
    assert os.read(read_end, 1) == b"", "the last process that has the other end is gone"
    os.close(read_end)


def test_a_command_that_cannot_be_started() -> None:
    with pytest.raises(FileNotFoundError):
        checks.started(CheckProgram(["/does/not/exist"], os.environ, ()))


@pytest.mark.parametrize("leave", [0, 1])
def test_no_descriptor_is_left(leave: int) -> None:
    def count() -> int:
        return len(os.listdir("/proc/self/fd"))

    todo: list[Callable[[], object]] = [
        lambda: run("true"),
        lambda: answered("GET /", b"HTTP/1.1 200 OK\r\n\r\n"),
    ]
    todo[leave]()
    before = count()
    todo[leave]()
    assert count() == before
