# Clients that keep an account: what became of each request, told exactly.
#
# Rules: requests come at times of their own (an open loop, Poisson, from a seed), whatever the server does.
# A client does what HTTP/1.1 obliges it to and nothing more: it never repeats a request, and takes a kept
# connection only while the server has not closed it. Each answer is compared with what it has to be
# (apps/accountable.py). All of them live in one thread with an event loop of their own.

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

from wsproto import ConnectionType, WSConnection
from wsproto import events as ws
from wsproto.utilities import LocalProtocolError

from bench.apps import accountable

HOST = "127.0.0.1"
PATIENCE = 60.0  # seconds until an answer counts as hung
MOST_AT_ONCE = 400  # requests; what is due then is not sent, and told
MOST_KEPT = 30  # idle connections
UPLOAD_PIECES, UPLOAD_PIECE, UPLOAD_PAUSE = 4, 8000, 0.02
READ_PAUSE, READ_STEP = 0.02, 32_768
TALK_SECONDS = 0.3  # between two messages of a WebSocket
SERVICE_RESTART = 1012

ANSWERED, FAILED, REFUSED = "answered", "5xx", "refused"
MOVED = "moved"  # a message that met the server's farewell, which was never taken
RESET, CUT, HUNG, WRONG = "reset", "cut off", "hung", "wrong"
LOST = (RESET, CUT, HUNG)

# How often each kind comes, of a sum.
KINDS = {"kept": 10, "fresh": 5, "upload": 3, "slow": 1, "stream": 2}


@dataclass(slots=True)
class Visit:
    """One request, or one message of a WebSocket. Times are monotonic seconds."""

    kind: str
    name: str
    due: float
    port: int = 0  # of the client
    outcome: str = ""
    version: str = ""  # of the code that answered
    pid: int = 0
    ended: float = 0.0
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.name} from port {self.port}: {self.outcome} {self.detail}".rstrip()


class WrongAnswerError(Exception):
    """It is not the answer to that request."""


@dataclass(slots=True)
class Account:
    """What became of all visits. `heard` is told of each, in the thread of the visitors."""

    counts: Counter[str] = field(default_factory=Counter)
    by_kind: Counter[str] = field(default_factory=Counter)
    unhappy: list[Visit] = field(default_factory=list)
    heard: Callable[[Visit], None] = lambda _visit: None

    def close(self, visit: Visit) -> None:
        visit.ended = time.monotonic()
        self.counts[visit.outcome] += 1
        self.by_kind[f"{visit.kind} {visit.outcome}"] += 1
        if visit.outcome not in (ANSWERED, MOVED):
            self.unhappy.append(visit)
        self.heard(visit)


class Visitors:
    """Visits to `port`, so many per second, in a with statement. `rate` may be changed meanwhile."""

    def __init__(self, port: int, rate: float, seed: int, account: Account, sockets: int = 0) -> None:
        self.rate = rate
        self.account = account
        self.skipped = 0  # that were due while too many were under way
        self._port = port
        self._sockets = sockets
        self._chance = random.Random(seed)
        self._number = 0
        self._kept: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._visits: set[asyncio.Task[None]] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> Visitors:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Send nothing more, and wait for what is under way."""
        self._over.set()
        self._thread.join()

    async def _run(self) -> None:
        talks = [asyncio.create_task(self._talk()) for _ in range(self._sockets)]
        due = time.monotonic()
        kinds, weights = list(KINDS), list(KINDS.values())
        while not self._over.is_set():
            due += self._chance.expovariate(1.0) / self.rate
            await asyncio.sleep(max(0.0, min(due - time.monotonic(), 0.5)))
            if time.monotonic() < due:
                due = time.monotonic()  # at so small a rate, somebody may have changed it meanwhile
            elif len(self._visits) >= MOST_AT_ONCE:
                self.skipped += 1
            else:
                task = asyncio.create_task(self._visit(self._chance.choices(kinds, weights)[0], due))
                self._visits.add(task)
                task.add_done_callback(self._visits.discard)
        await asyncio.gather(*self._visits, *talks)
        for _, writer in self._kept:
            writer.close()

    def _new(self, kind: str, due: float) -> Visit:
        self._number += 1
        return Visit(kind, f"{kind}-{self._number}", due)

    async def _visit(self, kind: str, due: float) -> None:
        visit = self._new(kind, due)
        connection = self._take() if kind in ("kept", "upload") else None
        with self._accounted(visit):
            if connection is None:
                connection = await _connect(self._port, visit)
                if connection is None:
                    return
            reader, writer = connection
            visit.port = writer.get_extra_info("sockname")[1]
            goes_on = False
            try:
                async with asyncio.timeout(PATIENCE):
                    goes_on = await ASKING[kind](visit, reader, writer)
            finally:
                if goes_on and len(self._kept) < MOST_KEPT:
                    self._kept.append(connection)
                else:
                    writer.close()

    @contextlib.contextmanager
    def _accounted(self, visit: Visit) -> Iterator[None]:
        """Name what happens to a visit, and close its account."""
        try:
            yield
        except WrongAnswerError as error:
            visit.outcome, visit.detail = WRONG, str(error)
        except (asyncio.IncompleteReadError, EOFError, LocalProtocolError) as error:
            visit.outcome, visit.detail = CUT, str(error)
        except TimeoutError:
            visit.outcome = HUNG
        except OSError as error:
            visit.outcome, visit.detail = RESET, str(error)
        except (ValueError, IndexError) as error:
            visit.outcome, visit.detail = WRONG, f"no answer of HTTP: {error}"
        self.account.close(visit)

    def _take(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        while self._kept:
            reader, writer = self._kept.pop(self._chance.randrange(len(self._kept)))
            if not reader.at_eof() and not writer.is_closing():
                return reader, writer
            writer.close()
        return None

    async def _talk(self) -> None:
        """Keep a WebSocket open, and say something now and then."""
        while not self._over.is_set():
            visit = self._new("socket", time.monotonic())
            connection = None
            with self._accounted(visit):
                connection = await _connect(self._port, visit)
                if connection is not None:
                    visit.port = connection[1].get_extra_info("sockname")[1]
                    async with asyncio.timeout(PATIENCE):
                        talk = await _Talk.opened(visit, *connection)
            if connection is None:
                await asyncio.sleep(TALK_SECONDS)
                continue
            if visit.outcome == ANSWERED:
                await self._converse(talk, visit.port)
            connection[1].close()

    async def _converse(self, talk: _Talk, port: int) -> None:
        while not self._over.is_set() and not talk.moved:
            visit = self._new("message", time.monotonic())
            visit.port = port
            with self._accounted(visit):
                async with asyncio.timeout(PATIENCE):
                    await talk.ask(visit)
            if visit.outcome != ANSWERED:
                return
            with contextlib.suppress(TimeoutError, OSError, EOFError):
                async with asyncio.timeout(TALK_SECONDS):
                    await talk.hear()


async def _connect(port: int, visit: Visit) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
    try:
        return await asyncio.open_connection(HOST, port, limit=READ_STEP)
    except OSError as error:
        visit.outcome, visit.detail = REFUSED, str(error)
        return None


# ---- requests, one for each kind: return whether the connection can be used again


async def _ask(visit: Visit, writer: asyncio.StreamWriter, line: str, *fields: str) -> None:
    writer.write("\r\n".join([f"{line} HTTP/1.1", "Host: localhost", *fields, "", ""]).encode())
    await writer.drain()


async def _answer(visit: Visit, reader: asyncio.StreamReader, *, pause: float = 0.0) -> tuple[bytes, bool]:
    """Return the body of an answer, behind the line that says who answered, and whether it was the last."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    status = int(head.split(" ", 2)[1])
    body = b""
    if "transfer-encoding: chunked" in head:
        while size := int(await reader.readline() or _nothing(), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readexactly(2)
    elif "content-length:" in head:
        left = int(head.partition("content-length:")[2].split("\r\n")[0])
        while left:
            await asyncio.sleep(pause)
            piece = await reader.read(min(left, READ_STEP)) or _nothing()
            body, left = body + piece, left - len(piece)
    else:
        body = await reader.read(-1)
    first, _, rest = body.partition(b"\n")
    words = first.decode("latin-1").split(" ")
    if len(words) != 3 or words[0] != visit.name or not words[2].isdigit():
        raise WrongAnswerError(f"{status} {body[:80]!r}")
    visit.version, visit.pid = words[1], int(words[2])
    visit.outcome = ANSWERED if status == 200 else FAILED
    visit.detail = "" if status == 200 else str(status)
    return rest, "connection: close" in head


def _nothing() -> bytes:
    raise EOFError("in the middle of an answer")


def _check(visit: Visit, got: bytes, expected: bytes) -> None:
    if got != expected and visit.outcome == ANSWERED:
        raise WrongAnswerError(f"{len(got)} bytes instead of {len(expected)}: {got[:80]!r}")


async def _kept(visit: Visit, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    await _ask(visit, writer, f"GET /echo/{visit.name}")
    body, last = await _answer(visit, reader)
    _check(visit, body, b"")
    return not last


async def _fresh(visit: Visit, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    await _ask(visit, writer, f"GET /echo/{visit.name}", "Connection: close")
    body, _ = await _answer(visit, reader)
    _check(visit, body, b"")
    return False


async def _upload(visit: Visit, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    piece = (visit.name.encode() * UPLOAD_PIECE)[:UPLOAD_PIECE]
    await _ask(visit, writer, f"POST /upload/{visit.name}", f"Content-Length: {UPLOAD_PIECE * UPLOAD_PIECES}")
    for _ in range(UPLOAD_PIECES):
        await asyncio.sleep(UPLOAD_PAUSE)
        writer.write(piece)
        await writer.drain()
    body, last = await _answer(visit, reader)
    _check(visit, body, accountable.digest(piece * UPLOAD_PIECES))
    return not last


async def _slow(visit: Visit, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    await _ask(visit, writer, f"GET /large/{visit.name}", "Connection: close")
    body, _ = await _answer(visit, reader, pause=READ_PAUSE)
    _check(visit, body, accountable.large(visit.name))
    return False


async def _stream(visit: Visit, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    await _ask(visit, writer, f"GET /stream/{visit.name}")
    body, _ = await _answer(visit, reader)
    _check(visit, body, b"".join(accountable.pieces(visit.name)))
    return False


Asking = Callable[[Visit, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[bool]]
ASKING: dict[str, Asking] = {
    "kept": _kept,
    "fresh": _fresh,
    "upload": _upload,
    "slow": _slow,
    "stream": _stream,
}


class _Talk:
    """A WebSocket. `moved` says that the server has asked us to come again."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.moved = False
        self._reader = reader
        self._writer = writer
        self._protocol = WSConnection(ConnectionType.CLIENT)

    @classmethod
    async def opened(cls, visit: Visit, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> _Talk:
        talk = cls(reader, writer)
        writer.write(talk._protocol.send(ws.Request(host="localhost", target=f"/socket/{visit.name}")))
        event = await talk.hear()
        visit.outcome = ANSWERED if isinstance(event, ws.AcceptConnection) else FAILED
        visit.detail = "" if visit.outcome == ANSWERED else repr(event)
        return talk

    async def ask(self, visit: Visit) -> None:
        """Say something and hear the answer."""
        self._writer.write(self._protocol.send(ws.TextMessage(data=visit.name)))
        event = await self.hear()
        if self.moved:
            visit.outcome = MOVED
            return
        if not isinstance(event, ws.TextMessage):
            raise EOFError(repr(event))
        words = event.data.split()
        if len(words) != 3 or words[0] != visit.name:
            raise WrongAnswerError(repr(event.data))
        visit.version, visit.pid, visit.outcome = words[1], int(words[2]), ANSWERED

    async def hear(self) -> ws.Event:
        """Return what the server says next. EOFError: it is gone without a farewell."""
        while True:
            for event in self._protocol.events():
                if isinstance(event, ws.Ping):
                    self._writer.write(self._protocol.send(event.response()))
                    continue
                if isinstance(event, ws.CloseConnection):
                    self._writer.write(self._protocol.send(event.response()))
                    self.moved = event.code == SERVICE_RESTART
                    if not self.moved:
                        raise EOFError(f"closed with {event.code}")
                return event
            self._protocol.receive_data(await self._reader.read(READ_STEP) or _nothing())
