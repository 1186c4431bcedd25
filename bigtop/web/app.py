# ASGI application of the console: who is let in, what is answered, and tabs.
#
# Rules: each way in says what it asks for: the page itself and the login nobody has to be, all else needs
# somebody. What changes something is a POST in JSON, from one of our pages, with the token of its session. A
# program with a token of its own needs neither cookie nor page.

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import bigtop
from bigtop.errors import BigtopError
from bigtop.record import Record
from bigtop.web import pages
from bigtop.web.access import origins
from bigtop.web.access.origins import TOKEN, Asked
from bigtop.web.access.sessions import Person, Session
from bigtop.web.doorman import Denied, Doorman
from bigtop.web.hub import Hub
from bigtop.web.progress import NotAllowedError
from bigtop.web.rules import actions, headers, origins_asked
from bigtop.web.rules.actions import DeclinedError
from bigtop.web.tab import Tab, encoded

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

_LARGEST: Final = 16_384  # bytes of a body
_PATIENCE: Final = 30.0  # seconds for it
_JSON: Final = "application/json"


class Answer(Record):
    status: int
    content: bytes
    kind: str = _JSON
    fields: tuple[tuple[bytes, bytes], ...] = ()
    is_kept: bool = False


class Console:
    """`hosts` are the names that it may be asked under, `cookie` is the name of its own."""

    def __init__(self, hub: Hub, doorman: Doorman, hosts: frozenset[str], cookie: str) -> None:
        self._hub = hub
        self._doorman = doorman
        self._hosts = hosts
        self._cookie = cookie
        self._pages = pages.load()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["type"]:
            case "lifespan":
                await self._live(receive, send)
            case "websocket":
                await self._watch(scope, receive, send)
            case "http":
                answer = await self._answer(scope, receive)
                fields = headers.of(answer.kind, len(answer.content), *answer.fields, is_kept=answer.is_kept)
                await send({"type": "http.response.start", "status": answer.status, "headers": fields})
                body = b"" if scope["method"] == "HEAD" else answer.content
                await send({"type": "http.response.body", "body": body})

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        async with self._hub:
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    # ---- requests

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        asked = origins_asked.of(scope)
        if why := origins.refusal_of_host(asked, self._hosts):
            return _refusal(421, why)
        if asked.method in ("GET", "HEAD"):
            page = self._pages.get(scope["path"])
            if page is not None:
                if asked.fields.get("if-none-match") == page.tag:
                    return Answer(304, b"", page.kind, is_kept=True)
                return Answer(200, page.content, page.kind, ((b"etag", page.tag.encode()),), is_kept=True)
        try:
            return await self._api(scope, receive, asked)
        except NotAllowedError as error:
            return _refusal(403, str(error))
        except DeclinedError as error:
            return _refusal(400, str(error))
        except BigtopError as error:
            return _refusal(502, str(error))

    async def _api(self, scope: Scope, receive: Receive, asked: Asked) -> Answer:
        match asked.method, scope["path"]:
            case "POST", "/api/login":
                return await self._enter(scope, receive, asked)
            case "POST", "/api/logout":
                return self._leave(asked)
            case "GET", "/api/me":
                return self._me(scope, asked)
            case "GET", "/api/look":
                return await self._look(scope, asked)
            case "POST", "/api/action":
                return await self._act(scope, receive, asked)
            case "GET" | "HEAD" | "POST", _:
                return _refusal(404, "there is nothing here")
        return _refusal(405, "GET and POST are known", (b"allow", b"GET, HEAD, POST"))

    async def _enter(self, scope: Scope, receive: Receive, asked: Asked) -> Answer:
        if why := origins.refusal_of_page(asked):
            return _refusal(403, why)
        said = await _body(receive, asked)
        address = _address(scope)
        if isinstance(said.get("once"), str):
            found = self._doorman.by_link(said["once"], address)
        elif isinstance(said.get("name"), str) and isinstance(said.get("password"), str):
            found = await self._doorman.by_password(said["name"], said["password"], address)
        else:
            raise DeclinedError("name and password are needed, or once")
        if isinstance(found, Denied):
            status = 429 if found.reason == "too many attempts" else 403
            pause = (b"retry-after", str(int(found.wait) + 1).encode())
            return _refusal(status, found.reason, *((pause,) if found.wait else ()))
        self._hub.progress.note(found, address, "log in", "done")
        word = self._doorman.enter(found, self._word(asked))
        session = self._doorman.session(word)
        assert session is not None
        return _told(self._facts(session.person, word), headers.cookie(self._cookie, word))

    def _leave(self, asked: Asked) -> Answer:
        session = self._proved(asked)
        if isinstance(session, Answer):
            return session
        self._doorman.leave(self._word(asked))
        return _told({}, headers.cookie(self._cookie, "", is_over=True))

    def _me(self, scope: Scope, asked: Asked) -> Answer:
        if why := origins.refusal_of_reader(asked):
            return _refusal(403, why)
        word = self._word(asked)
        session = self._doorman.session(word)
        if session is None:
            return _refusal(401, "log in first")
        return _told(self._facts(session.person, word))

    async def _look(self, scope: Scope, asked: Asked) -> Answer:
        """What a tab would be told, once: for browsers that cannot have a WebSocket, and for programs."""
        if why := origins.refusal_of_reader(asked):
            return _refusal(403, why)
        person = self._reader(scope, asked)
        if isinstance(person, Answer):
            return person
        said = origins_asked.query(scope)
        self._hub.look()
        view = await self._hub.view(said.get("topic", ""), said, person)
        rings = {name: list(ring) for name, ring in view.rings.items()}
        return Answer(200, encoded({"tables": view.tables, "values": view.values, "news": rings}).encode())

    async def _act(self, scope: Scope, receive: Receive, asked: Asked) -> Answer:
        person = self._reader(scope, asked) if _bearer(asked) else self._proved(asked)
        if isinstance(person, Answer):
            return person
        who = person.person if isinstance(person, Session) else person
        order = actions.read(await _body(receive, asked))
        return _told(await self._hub.progress.obey(order, who, _address(scope)))

    # ---- who asks

    def _word(self, asked: Asked) -> str:
        return headers.cookie_of(asked.fields.get("cookie", ""), self._cookie)

    def _reader(self, scope: Scope, asked: Asked) -> Person | Answer:
        if token := _bearer(asked):
            found = self._doorman.person_of_token(token, _address(scope))
            return _refusal(429 if found.wait else 401, found.reason) if isinstance(found, Denied) else found
        session = self._doorman.session(self._word(asked))
        return _refusal(401, "log in first") if session is None else session.person

    def _proved(self, asked: Asked) -> Session | Answer:
        """Return the session whose page asks for a change."""
        if why := origins.refusal_of_page(asked):
            return _refusal(403, why)
        word = self._word(asked)
        session = self._doorman.session(word)
        if session is None:
            return _refusal(401, "log in first")
        if not origins_asked.equal(asked.fields.get(TOKEN, ""), self._doorman.proof(word)):
            return _refusal(403, f"{TOKEN} is needed")
        return session

    def _facts(self, person: Person, word: str) -> dict[str, Any]:
        return {
            "name": person.name,
            "role": person.role,
            "how": person.how,
            "token": self._doorman.proof(word),
            "version": bigtop.__version__,
            "daemons": list(self._hub.daemons.by_name),
            "cluster": None if self._hub.cluster is None else self._hub.cluster.name,
        }

    # ---- tabs

    async def _watch(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = origins_asked.of(scope)
        word = self._word(asked)
        refused = (
            origins.refusal_of_host(asked, self._hosts)
            or origins.refusal_of_page(asked)
            or ("" if scope["path"] == "/ws" and self._doorman.session(word) else "log in first")
        )
        await receive()
        if refused:
            await send({"type": "websocket.close", "code": 1008})  # 403, before it is accepted
            return
        await send({"type": "websocket.accept"})

        def person() -> Person | None:
            session = self._doorman.session(word)
            return None if session is None else session.person

        await Tab(self._hub, person, receive, send).run()


def _refusal(status: int, reason: str, *fields: tuple[bytes, bytes]) -> Answer:
    return Answer(status, json.dumps({"error": reason}).encode(), fields=fields)


def _told(facts: Mapping[str, Any], *fields: tuple[bytes, bytes]) -> Answer:
    return Answer(200, encoded(facts).encode(), fields=fields)


def _bearer(asked: Asked) -> str:
    """Return the token of a program; "" where it has none, or something else that a proxy wants."""
    scheme, _, token = asked.fields.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else "unix socket"


async def _body(receive: Receive, asked: Asked) -> dict[str, Any]:
    """Return the object that was sent. DeclinedError: it is none, or too large."""
    if asked.fields.get("content-type", "").partition(";")[0].strip().lower() != _JSON:
        raise DeclinedError(f"Content-Type must be {_JSON}")
    text = bytearray()
    try:
        async with asyncio.timeout(_PATIENCE):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise DeclinedError("it was not sent as a whole")
                text += message.get("body", b"")
                if len(text) > _LARGEST:
                    raise DeclinedError(f"at most {_LARGEST} bytes")
                if not message.get("more_body"):
                    break
    except TimeoutError:
        raise DeclinedError(f"it was not sent within {_PATIENCE:g} seconds") from None
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        raise DeclinedError("the body is no JSON") from None
    if not isinstance(said, dict):
        raise DeclinedError("the body must be an object")
    return said
