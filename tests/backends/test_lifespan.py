# What an application says wrong in the lifespan protocol, and to a foreign server: the error names it.

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bigtop.backends.asgi.calls.lifespan import Lifespan
from bigtop.backends.serve_options import ServeOptions
from bigtop.errors import AppError
from tests.backends.test_conformance import INSTALLED, features
from tests.support.backend_server import BackendServer, eventually

pytestmark = pytest.mark.case("A20")
FOREIGN = [name for name in INSTALLED if features(name).interface == "asgi" and name != "asgi"]

Send = Callable[[Any], Awaitable[None]]


async def lived(messages: list[Any], *, listens: bool = True, mode: str = "auto") -> None:
    """Start an application that says `messages` one after the other, and shut it down."""

    async def app(_scope: Any, receive: Callable[[], Awaitable[Any]], send: Send) -> None:
        if listens:
            await receive()
        for message in messages:
            await send(message)
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    lifespan = Lifespan(app, mode, {})
    await lifespan.startup()
    await lifespan.shutdown()


@pytest.mark.parametrize(
    ("message", "wrong"),
    [
        (None, "None was sent, which is NoneType, not a dict"),
        ("lifespan.startup.complete", "'lifespan.startup.complete' was sent, which is str, not a dict"),
        ({"kind": 1}, "a message without 'type' was sent; it has 'kind'"),
        (
            {"type": "lifespan.startup.completed"},
            "'lifespan.startup.completed' was sent, not lifespan.startup.complete or lifespan.startup.failed",
        ),
        ({"type": "lifespan.shutdown.complete"}, "'lifespan.shutdown.complete' was sent, not"),
    ],
)
def test_a_wrong_answer_at_the_start_is_named(message: Any, wrong: str) -> None:
    with pytest.raises(AppError) as caught:
        asyncio.run(lived([message]))
    assert wrong in str(caught.value)


@pytest.mark.parametrize("listens", [True, False])
def test_who_answers_as_to_a_request_does_not_know_the_protocol(listens: bool) -> None:
    head = {"type": "http.response.start", "status": 200, "headers": []}
    asyncio.run(lived([head], listens=listens))
    with pytest.raises(AppError, match=r"'http\.response\.start' was sent to the lifespan protocol"):
        asyncio.run(lived([head], listens=listens, mode="on"))


def test_a_second_answer_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """It was taken for the one at the end."""
    complete = {"type": "lifespan.startup.complete"}
    asyncio.run(lived([complete, complete]))
    assert "lifespan ended early" in caplog.text
    assert "'lifespan.startup.complete' was sent when nothing was asked" in caplog.text


@pytest.mark.parametrize("backend", FOREIGN)
def test_errors_of_type_say_what_was_wrong_on_foreign_servers(backend: str) -> None:
    options = ServeOptions(access_format="%(s)s")
    with BackendServer("tests.apps.faulty:asgi", options, backend=backend) as server:
        for path, wrong in (
            ("/name", "header name 5 is int, not bytes"),
            ("/value", "value of header 'X-Name' is int, not bytes"),
            ("/none", "headers is NoneType, not a list of pairs"),
            ("/body", "the body is str, not bytes"),
            ("/null", "None was sent, which is NoneType, not a dict"),
            ("/typeless", "a message without 'type' was sent; it has 'status'"),
        ):
            with server.connect() as client:
                client.send(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
                eventually(lambda wrong=wrong: wrong in server.log(), what=wrong)  # type: ignore[misc]
