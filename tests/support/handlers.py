# Handlers and filters that are not ours, in front of the applications of the native servers: what somebody
# writes who adds one.

from __future__ import annotations

from collections.abc import Callable

from bigtop.backends.asgi.backend import AsgiBackend
from bigtop.backends.native.handlers.handler_chain import Chain
from bigtop.backends.wsgi.backend import WsgiBackend
from bigtop.errors import ProtocolError
from bigtop.http.clients.peer import BasePeer
from bigtop.http.handlers import Draft, FilePart, Reply, refusal_of
from bigtop.http.messages import Request

PAGE = b"from a handler\n"
LARGE = bytes(range(256)) * 4000


class Door:
    """Answers below /door, and lets everything else pass."""

    def __init__(self) -> None:
        self.asked = 0

    def handle(self, request: Request, peer: BasePeer, now: int) -> Reply | None:
        self.asked += 1
        match request.target:
            case b"/door":
                return Reply("200 OK", [("X-Peer", peer.address)], [PAGE])
            case b"/door/large":
                return Reply("200 OK", [], [LARGE, PAGE])
            case b"/door/file":
                file = open(__file__, "rb")  # noqa: SIM115 - the part keeps it open
                return Reply("200 OK", [], [b"<", FilePart(file.fileno(), 0, 100, file), b">"])
            case b"/door/empty":
                return Reply("304 Not Modified", [("ETag", '"1"')], [])
            case b"/door/shut":
                return refusal_of(503, "come back later", ("Retry-After", "5"))
            case b"/door/open":
                return refusal_of(503, "come back later", ("Retry-After", "5"), closes=False)
            case b"/door/count":
                return Reply("200 OK", [], [str(self.asked).encode()])
            case b"/door/broken":
                raise RuntimeError("this handler is broken")
        return None


class Loud:
    """Makes bodies loud, for those who ask for it, and says how large they were."""

    def filter(self, request: Request, draft: Draft) -> None:
        draft.headers.append(("X-Size", str(draft.size)))
        if request.target.endswith(b"?loud") and draft.size != 0 and not draft.is_in_file:
            draft.encode(Shout())


class Shout:
    """Holds back one byte, so that there is something to finish with."""

    def __init__(self) -> None:
        self._held = b""

    def encode(self, piece: bytes) -> bytes:
        piece = self._held + piece.upper()
        self._held = piece[-1:]
        return piece[:-1]

    def finish(self, piece: bytes) -> bytes:
        return self._held + piece.upper() + b"!"


class Instead:
    """Has another answer for what an application calls a teapot; behind it come all other filters."""

    def filter(self, request: Request, draft: Draft) -> None:
        if draft.status.startswith("418"):
            draft.replace(Reply("200 OK", [("X-Was", draft.status)], [b"coffee"]))


class Guard:
    """Lets in three connections in the whole life of a worker."""

    def __init__(self) -> None:
        self.opened_ones = 0

    def opened(self, peer: BasePeer) -> ProtocolError | None:
        self.opened_ones += 1
        return ProtocolError(503, "enough") if self.opened_ones > 3 else None

    def closed(self, peer: BasePeer) -> None:
        pass


def chain() -> Chain:
    return Chain([Door()], [Instead(), Loud()])


class HandledWsgi(WsgiBackend):
    def chain_of(self, busy: Callable[[], int]) -> Chain:
        return chain()


class HandledAsgi(AsgiBackend):
    def chain_of(self, busy: Callable[[], int]) -> Chain:
        return chain()


class GuardedWsgi(WsgiBackend):
    def chain_of(self, busy: Callable[[], int]) -> Chain:
        return Chain(connections=Guard())


class GuardedAsgi(AsgiBackend):
    def chain_of(self, busy: Callable[[], int]) -> Chain:
        return Chain(connections=Guard())
