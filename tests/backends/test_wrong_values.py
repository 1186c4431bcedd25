# Values of every type in every place where an application gives one: what is wrong is told in our words, that
# name the place, and both builds say and do the same.

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

import pytest

from bigtop import build
from bigtop.backends.base import ServeOptions
from bigtop.http.declarations import Mount
from tests.apps import wrong
from tests.backends.test_conformance import INSTALLED, features
from tests.support.backend_server import BackendServer
from tests.support.wire import UPGRADE, Client, request
from tests.test_build import hot

pytestmark = pytest.mark.case("A20")

OTHERS = ("waitress", "uvicorn")  # servers behind our meters
FILTERS = {"sendfile_roots": (Mount("/private/", "/nonexistent"),)}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "wsgi": ("wsgi", {}),
    "asgi": ("asgi", {}),
    "filtered wsgi": ("wsgi", FILTERS),
    "filtered asgi": ("asgi", FILTERS),
    **{name: (name, {}) for name in OTHERS if name in INSTALLED},
}
# What the application is told, by path, and what the client gets.
Outcomes = dict[str, tuple[str, bytes]]

OWN_AFFAIR = re.compile(rb"(?i)\r\n(date|server|x-request-id): [^\r]*")
WORDS = re.compile(
    r"""
    (Type|Runtime)Error:\ .*\ was\ sent\ ?.*
    | TypeError:\ a\ message\ without\ 'type'\ was\ sent;\ it\ has\ .*
    | RuntimeError:\ there\ is\ no\ message\ .*\ in\ an\ HTTP\ answer
    | RuntimeError:\ websocket.send\ has\ neither\ text\ nor\ bytes
    | ResponseError:\ status\ .*:\ wanted\ .*
    | TypeError:\ (value\ of\ )?header\ .*
    | ResponseError:\ (value\ of\ header|header\ name|Content-Length)\ .*
    | TypeError:\ the\ (application's\ )?body\ .*
    | TypeError:\ (start_response\(\):\ |wsgi.early_hints:\ )?(status|headers|exc_info)\ is\ .*,\ not\ .*
    | AssertionError:\ start_response\(\)\ was\ called\ .*
    | (Type|Value)Error:\ \w+\ of\ (http|websocket)[.\w]+\ is\ .*,\ (not|neither|which)\ .*
    | (FileNotFound|OS)Error:\ \[Errno\ .*
    | OverflowError:\ Python\ int\ too\ large\ to\ convert\ to\ C\ .*  # that is no descriptor
    """,
    re.VERBOSE,
)


def paths_of(backend: str) -> Iterable[str]:
    ours = backend not in OTHERS
    places: Iterable[str]
    if features(backend).interface == "wsgi":
        places = wrong.WSGI | wrong.OURS if ours else wrong.WSGI
    else:
        places = wrong.HTTP | wrong.EXTENSIONS | wrong.WEBSOCKET if ours else wrong.HTTP
    return [f"/{place}/{value}" for place in places for value in wrong.VALUES]


def until_closed(client: Client) -> bytes:
    """Read the answer to a handshake, and what follows on it until a frame closes that, or it is over."""
    data = b""
    while piece := client.socket.recv(65536):
        data += piece
        head, _, rest = data.partition(b"\r\n\r\n")
        while head.startswith(b"HTTP/1.1 101") and len(rest) >= 2 and len(rest) >= 2 + rest[1]:
            if rest[0] & 0xF == 8:
                return data
            rest = rest[2 + rest[1] :]
    return data


def tried(kind: str, *, from_sources: bool = False) -> tuple[Outcomes, str]:
    """Return what comes of all values in all places, and the log."""
    backend, options = KINDS[kind]
    app = f"tests.apps.wrong:{features(backend).interface}"
    answers: dict[str, bytes] = {}
    with BackendServer(app, ServeOptions(**options), backend=backend, from_sources=from_sources) as server:
        for path in paths_of(backend):
            with server.connect() as client:
                if path.startswith("/ws-"):
                    client.send(request(path, *UPGRADE))
                    answer = until_closed(client)
                else:
                    client.send(request(path, "Connection: close", "TE: trailers"))
                    answer = client.rest()
            answers[path] = OWN_AFFAIR.sub(b"", answer)
        log = re.sub(r" at 0x[0-9a-f]+>", ">", server.log())
    said = dict(line.split(": ", 1) for line in log.splitlines() if line.startswith("/"))
    return {path: (said.get(path, ""), answer) for path, answer in answers.items()}, log


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in OTHERS])
def test_what_is_wrong_is_told_in_our_words(kind: str) -> None:
    seen, log = tried(kind)
    assert {path: said for path, (said, _) in seen.items() if said and not WORDS.fullmatch(said)} == {}
    assert "object expected; got" not in log  # mypyc's words, for what the server finds out by itself
    # Nobody gets less than an answer: not the client, and not an application that gives what is right.
    assert all(answer.startswith(b"HTTP/1.1 ") for _, answer in seen.values())
    right = {"wsgi": ("/status/status", "/listed/text"), "asgi": ("/status/member", "/ws-code/own-number")}
    assert [seen[path][0] for path in right[kind.rpartition(" ")[2]]] == ["", ""]


@pytest.mark.skipif(build.kind() == "pure Python", reason="this is no compiled build: make test-compiled")
@pytest.mark.parametrize("kind", KINDS)
def test_both_builds_say_and_do_the_same(kind: str) -> None:
    compiled, pure = tried(kind)[0], tried(kind, from_sources=True)[0]
    assert {path: (compiled[path], pure[path]) for path in pure if compiled[path] != pure[path]} == {}


# ---- what is to come


@pytest.mark.parametrize(("kind", "streams"), [*((kind, False) for kind in KINDS), ("wsgi", True)])
def test_what_an_application_can_call_takes_anything(kind: str, streams: bool) -> None:
    """A compiled function compares what it is given with its annotations, before it can say what is wrong."""
    backend, options = KINDS[kind]
    app = f"tests.apps.given:{features(backend).interface}"
    chosen = ServeOptions(stream_bodies=streams, **options)
    with BackendServer(app, chosen, backend=backend, from_sources=True) as server, server.connect() as client:
        found = json.loads(client.get("/").body)
        if backend == "asgi":
            client.send(request("/", *UPGRADE))
            found += json.loads(client.answer().body)
    compiled = [one for one in found if one[0] in hot()]
    assert {name for _, name, _ in compiled} >= EXPECTED[features(backend).interface, backend in OTHERS]
    assert [
        f"{module}.{name}: {parameter}: {annotation}"
        for module, name, annotations in compiled
        for parameter, annotation in annotations.items()
        if parameter != "return" and annotation not in ("object", "Any", "Message")
    ] == []


# So that this is about something.
EXPECTED = {
    ("wsgi", False): {"Exchange.write", "Exchange.early_hints"},
    ("wsgi", True): {"_Call.start_response"},
    ("asgi", False): {"WebSocketCall.send"},
    ("asgi", True): {"_Sender.send"},
}
