# Messages of HTTP/1.1 as objects: the vocabulary between http/engine.py and all who answer requests.
#
# Engine.feed(data) returns a list of events in the order of the bytes:
#     Request        a head is complete; `request.ended` tells whether a body follows
#     bytes          a piece of the body of the latest Request
#     memoryview     the same, if it is a large part of what was read, as it lies there
#     END            that body is complete (never sent for a Request that was `ended` at once)
# Nothing here does I/O or knows what a socket is.

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Final, NamedTuple


class End(Enum):
    """The end of a request body."""

    END = "end"


END: Final = End.END


class Wishes(NamedTuple):
    """What a header says about how an answer is wanted.

    `encodings` are those of files that the client takes, the best one first; `conditions` are about its part
    or its state, by lower-case names. `accepts` is the Accept-Encoding. `is_exposed`: another site has the
    client's browser ask, with a Cookie or an Authorization, and may see how long the answer is (BREACH).
    """

    encodings: tuple[str, ...]
    conditions: dict[bytes, str]
    accepts: bytes
    is_exposed: bool


class Shown:
    """What of a header an ASGI application is shown: names are in lower case.

    `request_id` is the X-Request-ID among them; without one, the last of them is the place for a new one.
    `script_name` is where a proxy says that the application is mounted, `is_forwarded` whether it says where
    the request came from.
    """

    __slots__ = ("headers", "is_forwarded", "request_id", "script_name")

    def __init__(
        self, headers: list[tuple[bytes, bytes]], request_id: bytes, script_name: str, is_forwarded: bool
    ) -> None:
        self.headers = headers
        self.request_id = request_id
        self.script_name = script_name
        self.is_forwarded = is_forwarded


class HeaderEnviron(NamedTuple):
    """What a header adds to the environ of a WSGI application; `is_forwarded` as above."""

    environ: dict[str, str]
    is_forwarded: bool


class Fields:
    """The header of a request, as it was read; many requests share one, so that it is read once.

    `special` are the values of fields that matter for framing and connection, by lower-case names.
    `passed` is the Policy (policy.py) that lets it through, whatever else the request is. `environs`,
    `shown`, `wishes` and `asked` are the places where wsgi.py, scope.py, static.py and cache/keys.py keep
    what they made of it, the first two for each Policy.
    """

    __slots__ = (
        "asked",
        "environs",
        "has_host",
        "headers",
        "is_plain",
        "passed",
        "shown",
        "special",
        "wishes",
    )

    def __init__(self, headers: list[tuple[bytes, bytes]], special: dict[bytes, bytes]) -> None:
        self.headers = headers
        self.special = special
        self.has_host = b"host" in special
        # Nothing in it concerns this connection.
        self.is_plain = not special.keys() - {b"host"}
        self.passed: object = None
        self.environs: dict[object, HeaderEnviron] = {}
        self.shown: dict[object, Shown] = {}
        self.wishes: Wishes | None = None
        self.asked: object = None


class Request:
    """One request head, as the client sent it.

    A plain slotted class because one is made per request: `method` and `version` ("1.0", "1.1", "2") are str,
    `target` is the raw request target, `headers` keep order, case and repetitions as bytes pairs with
    surrounding white space removed; requests share the list, so nobody may change it. `content_length` is
    None for a chunked body, or one of HTTP/2 that does not say, and 0 for none.
    """

    __slots__ = (
        "cache_status",
        "chunked",
        "content_length",
        "decide",
        "ended",
        "expects_continue",
        "fields",
        "fill",
        "headers",
        "is_secure",
        "keep_alive",
        "method",
        "pace",
        "target",
        "until_full",
        "upgrade",
        "user",
        "version",
    )

    def __init__(self, method: str = "GET", target: bytes = b"/", fields: Fields | None = None) -> None:
        self.method = method
        self.target = target
        self.version = "1.1"
        self.fields = fields  # what the headers were read from; None for those of other origin
        self.headers: list[tuple[bytes, bytes]] = [] if fields is None else fields.headers
        self.is_secure = False  # it came encrypted; only where somebody looks (secure.py)
        # Nanoseconds until its client has its whole rate again; -1: nobody counts that (client_limits.py).
        self.until_full = -1
        self.user = ""  # who a handler has found it to be of (basic_auth.py)
        # What tells, where waiting is allowed, whether the application is called: see handlers.Postponed.
        self.decide: Callable[[], object] | None = None
        # What the response cache makes of the answer: called when the application is done with it. With an
        # answer that is given already, the application is called behind that (native/cache/fill.py).
        self.fill: Callable[[], object] | None = None
        # Slows the answer down to so many bytes a second, before its head is out; None: that cannot be.
        self.pace: Callable[[int], None] | None = None
        self.cache_status = ""  # HIT, MISS, STALE or BYPASS
        self.keep_alive = True
        self.content_length: int | None = 0
        self.chunked = False
        self.expects_continue = False
        # The protocol to switch to, when the client asked for one that the engine was told to accept: no more
        # HTTP follows then, and the rest of the bytes is to be fetched with Engine.take_rest().
        self.upgrade: bytes | None = None
        self.ended = True


Event = Request | bytes | memoryview | End
LARGE: Final = 16384  # bytes; fewer are copied, which takes less than to keep all that was read with them


def piece_of(data: bytes, begin: int, end: int) -> bytes | memoryview:
    """Return a part of what was read, as it lies there if it is large."""
    if end - begin == len(data):
        return data
    return data[begin:end] if end - begin < LARGE else memoryview(data)[begin:end]


def protocol_of(version: str) -> str:
    """Return how logs and environs name a version of HTTP. That of HTTP/2 has no second number, but they have
    always written one."""
    return "HTTP/2.0" if version == "2" else f"HTTP/{version}"


def queued(backlog: list[Event], events: list[Event]) -> list[Event]:
    """Return events that are used up from the end of the list: first `backlog`, which is such a list, then
    `events`, which are in their order."""
    if len(events) > 1:
        events.reverse()
    return events + backlog if backlog else events
