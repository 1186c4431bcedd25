# Checks of a canary: a request on a connection, a command.
#
# Rules: no policy. A check returns what it saw in a few words, or raises CheckError, which says what was
# wanted. What a check reads was written by an application that nobody trusts yet, so it reads little, and not
# for long.

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from bigtop.errors import one_line
from bigtop.record import Record
from bigtop.supervisor.policy.deploys.deploy import TCP, HealthCheck
from bigtop.supervisor.policy.ends import ExitStatus
from bigtop.supervisor.processes import killing
from bigtop.supervisor.processes.child import Process, spawn
from bigtop.supervisor.streams.reader import LineReader

_LARGEST_HEAD = 65536
_LARGEST_ANSWER = 16 * 1024 * 1024  # what comes after that is not read
_AT_ONCE = 65536
_USER_AGENT = "bigtop-health-check"

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Headers = Sequence[tuple[str, str]]


class CheckError(Exception):
    """It says what was seen, and what was wanted."""


class CheckProgram(Record):
    """A command as it is started: with descriptors, which are closed here then."""

    argv: list[str]
    environ: Mapping[str, str]
    fds: tuple[int, ...]


class Started(NamedTuple):
    """A command that runs, with our ends of its outputs."""

    pid: int
    outputs: tuple[int, ...]


def place(check: HealthCheck, scheme: str) -> tuple[str, str, str]:
    """Return scheme, host and path that a check asks for; where it names a path alone, `scheme` counts."""
    if check.method == TCP:
        return "tcp", check.target, ""
    if check.target.startswith("/"):
        return scheme, "localhost", check.target
    from urllib.parse import urlsplit  # most checks are of a path

    parts = urlsplit(check.target)
    query = f"?{parts.query}" if parts.query else ""
    return parts.scheme, parts.netloc, f"{parts.path or '/'}{query}"


async def health(check: HealthCheck, host: str, path: str, headers: Headers, streams: Streams) -> str:
    """Ask once, on a connection that is closed then."""
    reader, writer = streams
    began = time.monotonic()
    try:
        async with asyncio.timeout(check.limit):
            writer.write(_head(check.method, host, path, headers))
            status = await _answer(reader)
    except TimeoutError:
        raise CheckError(f"{check.text}: no whole answer within {check.limit:g} s") from None
    except (OSError, ValueError) as error:
        raise CheckError(f"{check.text}: {one_line(str(error))}") from None
    finally:
        writer.close()
    if not check.accepts(status):
        wanted = " or ".join(str(one) if one == last else f"{one}-{last}" for one, last in check.statuses)
        raise CheckError(f"{check.text}: answered with {status}, not with {wanted}")
    return f"{check.method} {path} {status} in {(time.monotonic() - began) * 1000:.0f} ms"


def _head(method: str, host: str, path: str, headers: Headers) -> bytes:
    fields = {"host": ("Host", host), "user-agent": ("User-Agent", _USER_AGENT)}
    fields |= {name.lower(): (name, value) for name, value in headers}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.values())]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode()


async def _answer(reader: asyncio.StreamReader) -> int:
    """Read an answer to its end; return its status. ValueError: it is none."""
    status = 100
    while status < 200:  # early hints and the like come first
        head = await _head_of(reader)
        words = head.split(b"\r\n", 1)[0].split(b" ")
        if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
            raise ValueError("what answers does not speak HTTP")
        status = int(words[1])
    size = 0
    while size < _LARGEST_ANSWER and (data := await reader.read(_AT_ONCE)):
        size += len(data)
    length = _length(head)
    if length is not None and size < min(length, _LARGEST_ANSWER):
        raise ValueError(f"the answer was cut off after {size} of {length} bytes")
    return status


async def _head_of(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        raise ValueError(f"the head of the answer is larger than {_LARGEST_HEAD} bytes") from None
    except asyncio.IncompleteReadError:
        raise ValueError("the connection was closed without an answer") from None


def _length(head: bytes) -> int | None:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length" and value.strip().isdigit():
            return int(value)
    return None


async def connected(sock: socket.socket) -> Streams:
    """Return the streams of a connected socket, which does not block."""
    return await asyncio.open_connection(sock=sock, limit=_LARGEST_HEAD)


def started(program: CheckProgram) -> Started:
    """Start a command. OSError: that cannot be, and then there is nothing of it."""
    read_end, write_end = os.pipe()
    try:
        pid = spawn(program.argv, program.environ, program.fds, stdout=write_end, stderr=write_end)
    except OSError:
        os.close(read_end)
        raise
    finally:
        for fd in (write_end, *program.fds):
            os.close(fd)
    return Started(pid, (read_end,))


async def command(
    text: str,
    begun: Started,
    limit: float,
    who: str,
    told: Callable[[bytes], None],
    most: int | None = None,
) -> str:
    """Wait for the end of a command, at most `limit` seconds; `told` takes the lines that it writes, which
    may be `most` bytes."""
    ended: asyncio.Future[ExitStatus] = asyncio.get_running_loop().create_future()

    def over(status: ExitStatus) -> None:
        if not ended.done():
            ended.set_result(status)

    said = 0

    def take(data: bytes) -> None:
        nonlocal said
        said += len(data)
        if most is None or said <= most:
            told(data)
        elif not ended.done():
            ended.set_exception(CheckError(f"{text}: wrote more than {most} bytes"))

    began = time.monotonic()
    outputs = [LineReader(fd, take) for fd in begun.outputs]
    try:
        process = Process(begun.pid, over)
    except OSError as error:
        killing.unwatched(begun.pid, who, error)
        _close(outputs)
        raise CheckError(f"{text}: cannot be watched: {error.strerror}") from None
    try:
        async with asyncio.timeout(limit or None):
            status = await ended
    except TimeoutError:
        raise CheckError(f"{text}: not done after {limit:g} s") from None
    finally:
        killing.process(process, who, "nobody waits for it any longer")
        _close(outputs)
    if status.code != 0:
        last = [line for output in outputs for line in output.last]
        raise CheckError("\n".join([f"{text}: ended with {status}", *last]))
    return f"{text}, {time.monotonic() - began:.1f} s"


def _close(outputs: Sequence[LineReader]) -> None:
    for output in outputs:
        output.catch_up()
        output.close()
