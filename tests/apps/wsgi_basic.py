# The application under most backend tests: each path is one habit of real applications.

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import parse_qs

from tests.apps import gate

Environ = dict[str, Any]
Start = Callable[..., Any]

TEXT = [("Content-Type", "text/plain")]

# What happened in this process, for tests to ask: /events tells.
events: list[str] = []
overlap = {"now": 0, "most": 0}
_lock = threading.Lock()


def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
    name = environ["PATH_INFO"].strip("/").split("/")[0] or "hello"
    view = VIEWS.get(name)
    if view is None:
        start_response("404 Not Found", [*TEXT, ("Content-Length", "0")])
        return [b""]
    return view(environ, start_response)


def hello(environ: Environ, start_response: Start) -> Iterable[bytes]:
    start_response("200 OK", [*TEXT, ("Content-Length", "12")])
    return [b"Hello World\n"]


def hints(environ: Environ, start_response: Start) -> Iterable[bytes]:
    """/hints: early ones, twice; /hints/split: one that would be two fields; /hints/late: behind the head."""
    say, how = environ["wsgi.early_hints"], environ["PATH_INFO"].removeprefix("/hints")
    say([("Link", "</a.css>; rel=preload; as=style" + ("\r\nX-Evil: 1" if how == "/split" else ""))])
    say([("Link", "</b.js>"), ("X-Note", "second")])
    start_response("200 OK", TEXT)
    if how == "/late":
        return _late_hints(say)
    return [b"hinted"]


def _late_hints(say: Callable[[list[tuple[str, str]]], None]) -> Iterator[bytes]:
    yield b"begun"
    say([("Link", "</c.js>")])


def echo(environ: Environ, start_response: Start) -> Iterable[bytes]:
    body = environ["wsgi.input"].read(-1)
    start_response("200 OK", [*TEXT, ("Content-Length", str(len(body)))])
    return [body]


def digest(environ: Environ, start_response: Start) -> Iterable[bytes]:
    """Read the body in pieces, twice, and answer with its length and hash."""
    source, sums = environ["wsgi.input"], []
    for _ in range(2):
        sha, size = hashlib.sha256(), 0
        while piece := source.read(65536):
            sha.update(piece)
            size += len(piece)
        sums.append(f"{size} {sha.hexdigest()}")
        source.seek(0)
    assert sums[0] == sums[1]
    start_response("200 OK", TEXT)
    return [sums[0].encode()]


def environ_view(environ: Environ, start_response: Start) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "application/json")])
    plain = {key: value for key, value in environ.items() if isinstance(value, (str, bool, int))}
    return [json.dumps(plain | {"thread": threading.current_thread().name, "pid": os.getpid()}).encode()]


def stream(environ: Environ, start_response: Start) -> Iterable[bytes]:
    """/stream?n=COUNT&size=BYTES[&length=1]: a generator, which notes when it is closed."""
    query = parse_qs(environ["QUERY_STRING"])
    count, size = int(query["n"][0]), int(query["size"][0])
    headers = list(TEXT)
    if "length" in query:
        headers.append(("Content-Length", str(count * size)))
    start_response("200 OK", headers)
    return _pieces(count, size)


def _pieces(count: int, size: int) -> Iterator[bytes]:
    piece = b"x" * size
    try:
        for _ in range(count):
            yield piece
        events.append("stream ended")
    finally:
        events.append("stream closed")


class Closing:
    """An iterable that notes that it was closed."""

    def __init__(self, pieces: Iterable[bytes], name: str) -> None:
        self._pieces = pieces
        self._name = name

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._pieces)

    def close(self) -> None:
        events.append(f"{self._name} closed")


def broken(environ: Environ, start_response: Start) -> Iterable[bytes]:
    raise RuntimeError("this view is broken")


def half(environ: Environ, start_response: Start) -> Iterable[bytes]:
    start_response("200 OK", TEXT)

    def pieces() -> Iterator[bytes]:
        yield b"the beginning"
        raise RuntimeError("failed in the middle")

    return Closing(pieces(), "half")


def not_closing(environ: Environ, start_response: Start) -> Iterable[bytes]:
    class Bad(Closing):
        def close(self) -> None:
            raise RuntimeError("close is broken")

    start_response("200 OK", [*TEXT, ("Content-Length", "2")])
    return Bad([b"ok"], "bad")


def slow_closing(environ: Environ, start_response: Start) -> Iterable[bytes]:
    """/slow-closing/GATE: work behind the answer, as many do it."""
    path = environ["PATH_INFO"].removeprefix("/slow-closing")

    class Slow(Closing):
        def close(self) -> None:
            gate.wait(path)
            super().close()

    start_response("200 OK", [*TEXT, ("Content-Length", "2")])
    return Slow([b"ok"], "slow")


def unstarted(environ: Environ, start_response: Start) -> Iterable[bytes]:
    return [b"no start_response"]


def injecting(environ: Environ, start_response: Start) -> Iterable[bytes]:
    start_response("200 OK", [("X", "a\r\nSet-Cookie: b")])
    return [b"never"]


def caught(environ: Environ, start_response: Start) -> Iterable[bytes]:
    """An error handler, as frameworks have it: start_response again, with exc_info."""
    start_response("200 OK", TEXT)
    try:
        raise ValueError("found out late")
    except ValueError:
        start_response("503 Service Unavailable", TEXT, sys.exc_info())
    return [b"caught"]


def too_late(environ: Environ, start_response: Start) -> Iterable[bytes]:
    write = start_response("200 OK", TEXT)
    write(b"sent already")
    try:
        raise ValueError("found out too late")
    except ValueError:
        start_response("500 Oops", TEXT, sys.exc_info())
    return [b"unreachable"]


def write(environ: Environ, start_response: Start) -> Iterable[bytes]:
    """/write[?n=COUNT&size=BYTES]: with the callable from before iterables, and one piece more."""
    query = parse_qs(environ["QUERY_STRING"])
    send = start_response("200 OK", TEXT)
    try:
        for _ in range(int(query.get("n", ["3"])[0])):
            send(b"w" * int(query.get("size", ["5"])[0]))
    finally:
        events.append("stream closed")
    return [b"end"]


def short(environ: Environ, start_response: Start) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Length", "10")])
    return [b"five."]


def long(environ: Environ, start_response: Start) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Length", "5")])
    if environ["PATH_INFO"].endswith("/at-once"):
        return iter([b"five. and more"])
    return iter([b"five.", b"and more"])


def empty(environ: Environ, start_response: Start) -> Iterable[bytes]:
    start_response("204 No Content", [])
    return []


def sleep(environ: Environ, start_response: Start) -> Iterable[bytes]:
    """/sleep/SECONDS: one slow call; /overlap tells how many ran at once."""
    with _overlapping():
        time.sleep(float(environ["PATH_INFO"].split("/")[2]))
    start_response("200 OK", [*TEXT, ("Content-Length", "5")])
    return [b"slept"]


def held(environ: Environ, start_response: Start) -> Iterable[bytes]:
    """/held/GATE: a call that is as slow as a test wants it."""
    with _overlapping():
        gate.wait(environ["PATH_INFO"].removeprefix("/held"))
    start_response("200 OK", [*TEXT, ("Content-Length", "5")])
    return [b"slept"]


@contextmanager
def _overlapping() -> Iterator[None]:
    with _lock:
        overlap["now"] += 1
        overlap["most"] = max(overlap["most"], overlap["now"])
    yield
    with _lock:
        overlap["now"] -= 1


def overlap_view(environ: Environ, start_response: Start) -> Iterable[bytes]:
    start_response("200 OK", TEXT)
    return [str(overlap["most"]).encode()]


def events_view(environ: Environ, start_response: Start) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(events).encode()]


def file(environ: Environ, start_response: Start) -> Iterable[bytes]:
    """/file?size=N[&skip=N][&length=N][&kind=bytesio]: through wsgi.file_wrapper."""
    query = {key: values[0] for key, values in parse_qs(environ["QUERY_STRING"]).items()}
    size = int(query["size"])
    source: Any
    if query.get("kind") == "bytesio":
        source = io.BytesIO(b"f" * size)
    else:
        source = tempfile.TemporaryFile()  # noqa: SIM115 - the response closes it
        source.write(b"s" * int(query.get("skip", 0)))
        for at in range(0, size, 1 << 20):
            source.write(b"f" * min(1 << 20, size - at))
        source.flush()
        source.seek(int(query.get("skip", 0)))
    wrapped = source

    class Noting:
        def close(self) -> None:
            events.append("file closed")
            wrapped.close()

        def __getattr__(self, name: str) -> Any:
            return getattr(wrapped, name)

    headers = [("Content-Length", query["length"])] if "length" in query else []
    start_response("200 OK", [*TEXT, *headers])
    return environ["wsgi.file_wrapper"](Noting(), 8192)


def loop_running(environ: Environ, start_response: Start) -> Iterable[bytes]:
    import asyncio

    try:
        asyncio.get_running_loop()
        answer = b"yes"
    except RuntimeError:
        answer = b"no"
    start_response("200 OK", TEXT)
    return [answer]


hoarded: list[int] = []


def hoard(environ: Environ, start_response: Start) -> Iterable[bytes]:
    """/hoard takes all descriptors that are left, /hoard?release gives them back."""
    if environ["QUERY_STRING"]:
        while hoarded:
            os.close(hoarded.pop())
    else:
        with suppress(OSError):
            while True:
                hoarded.append(os.open("/dev/null", os.O_RDONLY))
    start_response("200 OK", TEXT)
    return []


def die(environ: Environ, start_response: Start) -> Iterable[bytes]:
    os._exit(7)


def named(environ: Environ, start_response: Start) -> Iterable[bytes]:
    """/named?accel=URI or /named?sendfile=PATH: a file that the server is to send instead of the body;
    `yields` and `writes` are other ways to give that."""
    query = parse_qs(environ["QUERY_STRING"])
    body = b"the application's own"
    headers = [("Content-Type", "application/x-mine"), ("Content-Length", str(len(body))), ("X-Mine", "kept")]
    headers += [("X-Accel-Redirect", uri) for uri in query.get("accel", [])]
    headers += [("X-Sendfile", path) for path in query.get("sendfile", [])]
    if "yields" in query:
        return _late(start_response, headers)
    write = start_response("200 OK", headers)
    if "writes" in query:
        write(body)
    return [body]


def _late(start_response: Start, headers: list[tuple[str, str]]) -> Iterator[bytes]:
    """Begin with the answer when it is asked for, and never come to its end."""
    start_response("200 OK", headers)
    while True:
        yield b"the application's own"


VIEWS: dict[str, Callable[[Environ, Start], Iterable[bytes]]] = {
    "broken": broken,
    "caught": caught,
    "digest": digest,
    "echo": echo,
    "empty": empty,
    "environ": environ_view,
    "events": events_view,
    "file": file,
    "half": half,
    "held": held,
    "hello": hello,
    "hints": hints,
    "hoard": hoard,
    "injecting": injecting,
    "die": die,
    "long": long,
    "loop": loop_running,
    "named": named,
    "not-closing": not_closing,
    "slow-closing": slow_closing,
    "overlap": overlap_view,
    "short": short,
    "sleep": sleep,
    "stream": stream,
    "too-late": too_late,
    "unstarted": unstarted,
    "write": write,
}
