# Handlers: the contract of what stands in front of an application, the same for both native servers.
#
# A request comes to the handlers, one after the other, when its head is here, before anything of its body is
# asked for. The first that has a Reply answers it; if none has, the application does.
# An answer, whoever gives it, passes the filters, one after the other, when its head is about to go out. They
# change what its Draft says, put another body in the place of the application's, or encode it on its way.
#
# Rule 1: no I/O and no waiting, but for files: a Reply may name parts of open ones. Time is an argument.
# Rule 2: handle() is called by one thread at a time, filter() by any.
# Rule 3: answers of the server itself to what is no proper request (400, 408 ...), and to calls that failed,
# do not pass the filters. Nor does what follows on the handshake of a WebSocket.

from __future__ import annotations

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Protocol

from bigtop.errors import ProtocolError
from bigtop.http.clients.peer import BasePeer
from bigtop.http.declarations import ProxyRoute
from bigtop.http.messages import Request
from bigtop.http.response import Head, Headers

# ---- answers


class FilePart:
    """`count` bytes of a file from `offset` on, for sendfile(2): they never pass through this process.

    `owner` is what keeps `fd` open until the part is sent; None when somebody else sees to that.
    """

    __slots__ = ("count", "fd", "offset", "owner")

    def __init__(self, fd: int, offset: int, count: int, owner: object = None) -> None:
        self.owner = owner
        self.fd = fd
        self.offset = offset
        self.count = count


Parts = Sequence[bytes | FilePart]


class Reply:
    """A whole answer; `size` is that of all `parts` of its body. One without files may be given again."""

    __slots__ = ("head", "headers", "parts", "size")

    def __init__(self, status: str, headers: Headers, parts: Parts) -> None:
        size = 0
        for part in parts:
            size += part.count if isinstance(part, FilePart) else len(part)
        # Said here, since nobody else knows it for a HEAD. A 304 has none: it would be that of the file.
        self.headers: Headers = [*headers, ("Content-Length", str(size))] if parts else headers
        self.head: Head = Head(status, self.headers)
        self.parts = parts
        self.size = size


class ProxyPass(Reply):
    """The word of a handler that another server answers; who knows no such thing answers this 502.

    `route` is the place of that server among those of --proxy.
    """

    __slots__ = ("route",)

    def __init__(self, route: ProxyRoute) -> None:
        Reply.__init__(self, "502 Bad Gateway", [("Content-Type", "text/plain")], [b"502 Bad Gateway\n"])
        self.route = route


def refusal_of(status: int, reason: str, *fields: tuple[str, str], closes: bool = True) -> Reply:
    """Return a Reply that says why a request is not answered as it might be; the connection `closes`."""
    phrase = HTTPStatus(status).phrase
    headers = [("Content-Type", "text/plain; charset=iso-8859-1"), *fields]
    if closes:
        headers.append(("Connection", "close"))
    body = f"{status} {phrase}\n{reason}\n".encode("latin-1", "replace")
    return Reply(f"{status} {phrase}", headers, [body])


class Postponed(Reply):
    """An answer that takes long to find, such as whether a password is right. Where that can be waited for,
    `decide` is called, by any thread, in the application's place; it returns the answer, or None to let the
    request pass. Whoever cannot wait sends this as it is: come again (503)."""

    __slots__ = ("decide",)

    def __init__(self, decide: Callable[[], object]) -> None:
        again = refusal_of(503, "try again in a moment", ("Retry-After", "1"), closes=False)
        Reply.__init__(self, again.head.status, again.headers, ())
        self.head, self.headers = again.head, again.headers
        self.parts, self.size = again.parts, again.size
        self.decide = decide


# ---- the contract


class Handler(Protocol):
    """May answer in the application's place."""

    def handle(self, request: Request, peer: BasePeer, now: int) -> Reply | None:
        """Return the answer to `request`, or None to let it pass. `now` is monotonic nanoseconds.

        One that would have to be waited for is Postponed."""


class Filter(Protocol):
    """May change answers on their way out."""

    def filter(self, request: Request, draft: Draft) -> None:
        """Change `draft`, the answer to `request`, or leave it as it is."""


class Encoder(Protocol):
    """Changes a body on its way out; one for each answer."""

    def encode(self, piece: bytes) -> bytes:
        """Return what is sent for a piece; b"" when nothing is sent yet."""

    def finish(self, piece: bytes) -> bytes:
        """Return what is sent for the last piece, and behind it; it may be the only one, and it may be
        empty."""


class ConnectionHandler(Protocol):
    """Decides on connections, before anything is read of them."""

    def opened(self, peer: BasePeer) -> ProtocolError | None:
        """Let a connection in (None) or tell why not. closed() follows in both cases."""

    def closed(self, peer: BasePeer) -> None:
        """A connection has ended."""


class Draft:
    """An answer whose head is not out yet.

    `size` is that of the body, None where nobody knows it: it comes in pieces, or, for a HEAD, not at all.
    `parts` is the body where that does not come from the application, or not any more.
    """

    __slots__ = ("encoders", "headers", "parts", "size", "status")

    def __init__(self, status: str, headers: Headers, size: int | None, parts: Parts | None = None) -> None:
        self.status = status
        self.headers: Headers = headers.copy()
        self.size = size
        self.parts = parts
        self.encoders: list[Encoder] = []

    def header(self, name: str) -> str | None:
        """Return the value of the first field of that name, in lower case, None if there is none."""
        return next((value for key, value in self.headers if key.lower() == name), None)

    def drop(self, *names: str) -> None:
        """Leave out the fields of these names, in lower case."""
        self.headers = [pair for pair in self.headers if pair[0].lower() not in names]

    def replace(self, reply: Reply) -> None:
        """Send `reply` instead; nothing more is asked of the application."""
        self.status, self.headers = reply.head.status, reply.headers.copy()
        self.size, self.parts = reply.size, reply.parts
        self.encoders = []

    def encode(self, encoder: Encoder) -> None:
        """Send what `encoder` makes of the body, which must not be in a file (`is_in_file`)."""
        self.drop("content-length")
        self.size = None
        self.encoders.append(encoder)

    @property
    def is_in_file(self) -> bool:
        return self.parts is not None and any(isinstance(part, FilePart) for part in self.parts)

    def reply(self) -> Reply | None:
        """Return the whole answer, None where the application has yet to give its body."""
        parts = self.parts
        if parts is None:
            return None
        if self.encoders and parts:
            body = b"".join([part for part in parts if isinstance(part, bytes)])
            parts = [encoded(self.encoders, body, ends=True)]
        self.drop("content-length")
        return Reply(self.status, self.headers, parts)


# ---- filters at work


def drafted(
    filters: Sequence[Filter], request: Request, head: Head, headers: Headers, size: int | None
) -> Draft:
    """Return what `filters` make of an application's answer, whose body has `size` bytes if that is known."""
    if size is None or request.method == "HEAD":
        size = head.length
    draft = Draft(head.status, headers, size)
    for one in filters:
        one.filter(request, draft)
    return draft


def filtered(filters: Sequence[Filter], request: Request, reply: Reply) -> Reply:
    """Return what `filters` make of a handler's answer."""
    draft = Draft(reply.head.status, reply.headers, reply.size, reply.parts)
    for one in filters:
        one.filter(request, draft)
    return draft.reply() or reply


def encoded(encoders: Sequence[Encoder], piece: bytes, *, ends: bool) -> bytes:
    """Return what is sent for a piece of a body, the last one if it `ends` there."""
    for encoder in encoders:
        if ends:
            piece = encoder.finish(piece)
        elif piece:
            piece = encoder.encode(piece)
    return piece
