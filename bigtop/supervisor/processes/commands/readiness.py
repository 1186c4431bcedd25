# Readiness of commands: when one counts as ready, the kinds of spec.Readiness.
#
# Rules: a watch is made before its process, whose environment it may extend, begun with its number when it
# exists, and closed when it is gone. It says "ready" once or never; how long that may take is boot_timeout,
# which is the machine's business. Looking costs a timer only until the answer is yes.

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import struct
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from bigtop.ipc.snapshot import Descriptor
from bigtop.record import Record
from bigtop.supervisor.policy.spec import Readiness
from bigtop.supervisor.processes import descendants

_FIRST_LOOK = 0.02
_SLOWEST_LOOK = 1.0
_PROBE_SECONDS = 5.0
_SENDER = struct.Struct("@iII")  # struct ucred: pid, uid, gid
_ROOM_FOR_SENDER = socket.CMSG_LEN(_SENDER.size)


class WatchState(Record):
    """What a watch has heard, and where."""

    said: bool
    socket: Descriptor | None = None


class Watch:
    """Ready as soon as it was executed; the base of the other kinds. Event loop only."""

    environ: dict[str, str]

    def __init__(self, on_ready: Callable[[], None]) -> None:
        self.environ = {}
        self._on_ready = on_ready
        self._said = False

    def begin(self, _pid: int) -> None:
        self._ready()

    def heard(self, lines: bytes) -> None:
        """Whole lines that the process wrote."""

    def held(self) -> WatchState:
        return WatchState(self._said)

    def close(self) -> None:
        self._said = True

    def said(self) -> None:
        """It is ready, and that was told before."""
        self._said = True

    def _ready(self) -> None:
        if not self._said:
            self._said = True
            self._on_ready()


class _Delay(Watch):
    def __init__(self, on_ready: Callable[[], None], seconds: float) -> None:
        super().__init__(on_ready)
        self._seconds = seconds

    def begin(self, _pid: int) -> None:
        asyncio.get_running_loop().call_later(self._seconds, self._ready)


class _Probe(Watch):
    """Asks again and again, less and less often."""

    def __init__(self, on_ready: Callable[[], None], probe: Callable[[], Awaitable[bool]]) -> None:
        super().__init__(on_ready)
        self._probe = probe
        self._task: asyncio.Task[None] | None = None

    def begin(self, _pid: int) -> None:
        self._task = asyncio.create_task(self._look())

    async def _look(self) -> None:
        wait = _FIRST_LOOK
        while not await self._answers():
            await asyncio.sleep(wait)
            wait = min(wait * 1.5, _SLOWEST_LOOK)
        self._ready()

    async def _answers(self) -> bool:
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                return await self._probe()
        except (OSError, EOFError, ValueError):  # refused, too slow, cut off, not HTTP
            return False

    def close(self) -> None:
        super().close()
        if self._task is not None:
            self._task.cancel()


class _Notify(Watch):
    """The process says READY=1 to the socket in $NOTIFY_SOCKET (sd_notify(3)).

    The address is abstract: it needs no folder, no rights and no cleaning up. But any user may send there, or
    bind it before we do. So nobody can guess it, and the kernel says who sent a message (unix(7),
    SCM_CREDENTIALS): it counts if that is the process, one of its session, or one of its user or ours.
    """

    def __init__(self, on_ready: Callable[[], None], fd: int = -1) -> None:
        super().__init__(on_ready)
        self._pid = 0
        if fd >= 0:
            self._socket = socket.socket(fileno=fd)
            return
        name = f"bigtop/{os.getpid()}/{os.urandom(16).hex()}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind(f"\0{name}")
        self.environ = {"NOTIFY_SOCKET": f"@{name}"}

    def begin(self, pid: int) -> None:
        self._pid = pid
        asyncio.get_running_loop().add_reader(self._socket, self._readable)

    def _readable(self) -> None:
        with contextlib.suppress(BlockingIOError):
            data, ancillary, _flags, _address = self._socket.recvmsg(4096, _ROOM_FOR_SENDER)
            if b"READY=1" in data.split(b"\n") and self._is_meant(ancillary):
                self._ready()

    def held(self) -> WatchState:
        return WatchState(self._said, Descriptor(self._socket.fileno()))

    def _is_meant(self, ancillary: list[tuple[int, int, bytes]]) -> bool:
        for level, kind, payload in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
                pid, uid, _gid = _SENDER.unpack(payload)
                sender = descendants.stat(pid)  # a program such as systemd-notify may have ended
                return uid in (0, os.geteuid(), *descendants.users(self._pid)) or (
                    sender is not None and sender.session == self._pid
                )
        return False

    def close(self) -> None:
        super().close()
        if self._socket.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()


class _Log(Watch):
    def __init__(self, on_ready: Callable[[], None], pattern: re.Pattern[str]) -> None:
        super().__init__(on_ready)
        self._pattern = pattern

    def begin(self, _pid: int) -> None:
        """It is the output that tells."""

    def heard(self, lines: bytes) -> None:
        if not self._said and self._pattern.search(lines.decode("utf-8", "replace")):
            self._ready()


def watch(readiness: Readiness, on_ready: Callable[[], None]) -> Watch:
    value = readiness.value
    match readiness.kind:
        case "delay":
            return _Delay(on_ready, float(value))
        case "tcp":
            host, _, port = value.rpartition(":")
            return _Probe(on_ready, lambda: _connects(host.strip("[]") or "127.0.0.1", int(port)))
        case "http":
            return _Probe(on_ready, lambda: _succeeds(value if "://" in value else f"http:{value}"))
        case "file":
            return _Probe(on_ready, lambda: _exists(value))
        case "notify":
            return _Notify(on_ready)
        case "log":
            return _Log(on_ready, re.compile(value, re.MULTILINE))
        case _:
            return Watch(on_ready)


def resumed(readiness: Readiness, on_ready: Callable[[], None], state: WatchState, pid: int) -> Watch:
    """Return a watch of the process `pid` that goes on for another one; what looks, or waits, begins anew."""
    if state.socket is not None:
        made: Watch = _Notify(on_ready, state.socket.number)
    else:
        made = watch(readiness, on_ready) if not state.said else Watch(on_ready)
    if state.said:
        made.said()
    made.begin(pid)
    return made


async def _connects(host: str, port: int) -> bool:
    _reader, writer = await asyncio.open_connection(host, port)
    writer.close()
    return True


async def _succeeds(url: str) -> bool:
    """Whether a GET is answered with 2xx or 3xx."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
    try:
        path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        head = f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode())
        status = (await reader.readline()).split()
        return len(status) > 1 and 200 <= int(status[1]) < 400
    finally:
        writer.close()


async def _exists(path: str) -> bool:
    return os.path.exists(path)
