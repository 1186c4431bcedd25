# WSGI without a server: a request becomes an environ, what the application says becomes bytes (PEP 3333).
#
# Rule 1: no I/O. The body comes as a finished file, bytes to send are returned; only the `write` callable of
# PEP 3333 and early hints have to send by themselves, and are given the means.
# Rule 2: none but a trusted peer can make an environ lie; policy.py says which fields are shown.
# Rule 3: what is the same for all requests of a connection is worked out once, in a Peer.

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Protocol
from urllib.parse import unquote_to_bytes

from bigtop.errors import AnswerOver, error_of
from bigtop.http.clients.forwarded import Forwarding, Origin
from bigtop.http.clients.peer import Address, BasePeer, host_and_port
from bigtop.http.clients.tls_session import TlsSession, ssl_variables
from bigtop.http.handlers import refusal_of
from bigtop.http.interfaces.file_wrapper import FileWrapper
from bigtop.http.memo import LONGEST, remember
from bigtop.http.messages import HeaderEnviron, Request, protocol_of
from bigtop.http.paths.paths import is_below, path_of_url
from bigtop.http.policy import Policy
from bigtop.http.requestid import KEY, RequestIds, is_id
from bigtop.http.response import Framing, Head, Stamps, error_page, head_of

Environ = dict[str, Any]

# ---- the request


def worker_environ(
    errors: Any, *, multithread: bool, multiprocess: bool, hints: bool = False, script_name: str = ""
) -> Environ:
    """Return what is the same for all requests of a worker. `hints` is whether they get wsgi.early_hints,
    `script_name` is where the application is mounted."""
    return {
        # Every request has its own of these. To replace a value of a copied dict costs a third of adding one.
        "REQUEST_METHOD": "",
        "RAW_URI": "",
        "REQUEST_URI": "",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "PATH_INFO": "",
        "QUERY_STRING": "",
        "wsgi.input": None,
        **({"wsgi.early_hints": None} if hints else {}),
        "SCRIPT_NAME": script_name,
        "SERVER_SOFTWARE": "bigtop",
        "wsgi.version": (1, 0),
        "wsgi.errors": errors,
        "wsgi.multithread": multithread,
        "wsgi.multiprocess": multiprocess,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
        "wsgi.file_wrapper": FileWrapper,
    }


class Environs:
    """What environs of a worker, which is given, have in common with those of other connections: to the same
    address, with the same that was agreed on."""

    def __init__(self, worker: Environ) -> None:
        self._worker = worker
        self._known: dict[tuple[Address, str, TlsSession | None], Environ] = {}  # see memo.py

    def of(self, server: Address, scheme: str, session: TlsSession | None) -> Environ:
        """Return it; nobody changes that. What was agreed on is there under the names of mod_ssl."""
        key = (server, scheme, session)
        found = self._known.get(key)
        if found is None:
            name, port = host_and_port(server)
            found = {
                **self._worker,
                "wsgi.url_scheme": scheme,
                "SERVER_NAME": name or "localhost",
                "SERVER_PORT": port or ("443" if scheme == "https" else "80"),
                "REMOTE_ADDR": "",
                "REMOTE_PORT": "",
                **({} if session is None else ssl_variables(session)),
            }
            remember(self._known, key, found)
        return found


class Peer(BasePeer):
    """One connection, as environs describe it.

    Clients of unix sockets have no address: REMOTE_ADDR and REMOTE_PORT are "" for them, and the server is
    called "localhost" (PEP 3333 forbids an empty SERVER_NAME and SERVER_PORT).
    """

    __slots__ = ("_environs", "environ", "server")

    def __init__(
        self,
        environs: Environs,
        server: Address,
        client: Address,
        forwarding: Forwarding,
        scheme: str,
    ) -> None:
        BasePeer.__init__(self, client, forwarding, scheme)
        self._environs = environs
        self.server = server
        self.environ = environs.of(server, scheme, None)

    def encrypted(self, session: TlsSession) -> None:
        """Take in what was agreed on with the client."""
        self.session = session
        self.environ = self._environs.of(self.server, self.scheme, session)


def environ(
    request: Request, peer: Peer, body: Any, length: int | None = 0, ids: RequestIds | None = None
) -> Environ:
    """Return the environ of a request whose whole body can be read from `body`.

    `length` is the length of that body, None when it is not known yet. It becomes CONTENT_LENGTH when the
    body came in chunks, for what the application sees is not chunked any more (RFC 9112, 7.1.3), or by
    HTTP/2 without one. Django reads no body without it. `ids` makes an X-Request-ID where no trusted peer
    gave one.
    """
    fields = request.fields
    header = None if fields is None else fields.environs.get(peer.policy)
    if header is None:
        header = _header_environ(request.headers, peer.policy)
        if fields is not None:
            fields.environs[peer.policy] = header
    added, is_forwarded = header
    target, path, query = _splits.get(request.target) or _split(request.target)
    env = peer.environ | added
    env["REMOTE_ADDR"] = peer.address
    env["REMOTE_PORT"] = peer.port
    env["REQUEST_METHOD"] = request.method
    env["RAW_URI"] = env["REQUEST_URI"] = target
    if request.version != "1.1":
        env["SERVER_PROTOCOL"] = protocol_of(request.version)
    env["wsgi.input"] = body
    script = env["SCRIPT_NAME"]
    env["PATH_INFO"] = path[len(script) :] if script and is_below(path, script) else path
    env["QUERY_STRING"] = query
    if request.chunked or request.content_length is None:
        env.pop("HTTP_TRANSFER_ENCODING", None)  # HTTP/2 has none
        if length is not None:
            env["CONTENT_LENGTH"] = str(length)
    if request.user:
        env["REMOTE_USER"] = request.user.encode().decode("latin-1")
        env["AUTH_TYPE"] = "Basic"
    if is_forwarded:
        _apply(peer.forwarding.origin(request.headers, _origin(env)), env)
    if ids is not None and KEY not in env:
        env[KEY] = ids.new()
    return env


def _header_environ(headers: Sequence[tuple[bytes, bytes]], policy: Policy) -> HeaderEnviron:
    env: dict[str, str] = {}
    known = policy.keys
    for name, value in headers:
        key = known.get(name)
        if key is None:
            key = policy.key_of(name)
        if key:
            text = value.decode("latin-1")
            if key in env:
                text = env[key] + ("; " if key == "HTTP_COOKIE" else ",") + text
            env[key] = text
    if "HTTP_SCRIPT_NAME" in env and (script := policy.script_name(headers)):
        env["SCRIPT_NAME"] = script
    if KEY in env and not is_id(env[KEY]):
        del env[KEY]
    return HeaderEnviron(env, not env.keys().isdisjoint(policy.claim_keys))


_splits: Final[dict[bytes, tuple[str, str, str]]] = {}  # see memo.py


def _split(target: bytes) -> tuple[str, str, str]:
    """Return a target as text, its path without encoding, and its query."""
    text = target.decode("latin-1")
    path, _, query = text.partition("?")
    if path[0] != "/":
        path = path_of_url(path)
    if "%" in path:
        path = unquote_to_bytes(path.encode("latin-1")).decode("latin-1")
    made = (text, path, query)
    if len(target) <= LONGEST:
        remember(_splits, target, made)
    return made


def path_of(target: bytes) -> str:
    """Return the path that an application is shown for a request target; that of "*" is empty."""
    return (_splits.get(target) or _split(target))[1]


def _origin(env: Environ) -> Origin:
    return Origin(env["REMOTE_ADDR"], env["REMOTE_PORT"], env["wsgi.url_scheme"])


def _apply(origin: Origin, env: Environ) -> None:
    env["REMOTE_ADDR"] = origin.address
    env["REMOTE_PORT"] = origin.port
    env["wsgi.url_scheme"] = origin.scheme
    if origin.host:
        env["HTTP_HOST"] = origin.host
    if origin.server_port:
        env["SERVER_PORT"] = origin.server_port


# ---- the response


class Wire(Protocol):
    """What an exchange asks of the connection that it belongs to."""

    def send(self, data: bytes) -> None:
        """Send, now: for `write`, which may not return before the server has taken the data over, and for
        early hints."""

    def inform(self, headers: list[tuple[str, str]]) -> None:
        """Send early hints, now, on a stream of HTTP/2, where a head is no bytes yet."""


class Exchange:
    """One request's answer: the state machine behind start_response.

    The application calls start_response() and, if it is old, write(); the server gives what the application
    yields to data(), then calls finish(); or it gives all of it to whole(). They return bytes for the client,
    b"" if none. What applications give is `object`: it is checked here, with a message that explains.

    Whoever owns it sets `wire` to None when the request is over: what the application keeps of it leads
    nowhere from then on, and makes no cycle that would wait for the garbage collector with the whole request.
    """

    __slots__ = ("_request", "_stamps", "framing", "head", "headers", "status", "wire")

    def __init__(self, request: Request, stamps: Stamps, wire: Wire) -> None:
        self._request = request
        self._stamps = stamps
        self.wire: Wire | None = wire
        self.head: Head | None = None  # what the application said, once it did
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        self.framing: Framing | None = None  # set when the head was given out: there is no way back then

    def start_response(
        self, status: object, headers: object, exc_info: object = None
    ) -> Callable[[bytes], None]:
        """Take the status and the headers; they are checked now, while the traceback shows who is to blame.

        Raises ResponseError, TypeError or AssertionError for what PEP 3333 does not allow, and the error in
        `exc_info` when it is too late to answer with anything else.
        """
        if exc_info:
            error: BaseException | None = error_of(exc_info)
            try:
                if error is not None and self.framing is not None:
                    raise error
            finally:
                exc_info = error = None  # their traceback holds this frame: a cycle
        elif self.head is not None:
            raise AssertionError("start_response() was called a second time without exc_info")
        if not isinstance(headers, list):
            raise TypeError(f"start_response(): headers is {type(headers).__name__}, not list")
        self.head = head = head_of(status, headers)
        if head.closes:
            self._request.keep_alive = False
        self.status = head.code
        self.headers = headers
        return self.write

    def begin(self, head: Head, headers: list[tuple[str, str]]) -> None:
        """Take a head that was made, and checked, before: of an answer that the server gives by itself."""
        self.head = head
        if head.closes:
            self._request.keep_alive = False
        self.status = head.code
        self.headers = headers

    def write(self, data: object) -> None:
        """Send a piece of the body at once, for applications from before iterables.

        Raises AnswerOver where nothing more can be sent: it may be one of endless pieces.
        """
        if data and self.is_over:
            self.data(data)  # which notes what is too much
            raise AnswerOver("the answer is complete: it has no body, or all of its Content-Length")
        if wired := self.data(data):
            self._open_wire().send(wired)

    def early_hints(self, headers: object) -> None:
        """Send a 103 with `headers`, ahead of the answer and as often as wanted: what gunicorn calls
        wsgi.early_hints (RFC 8297). Clients of HTTP/1.0 get none: they take any response for the final one.

        Raises as start_response() does for what cannot be sent, and AssertionError behind the head.
        """
        if self.framing is not None:
            raise AssertionError("wsgi.early_hints was called after the head was sent")
        wire = self._open_wire()
        if not isinstance(headers, Iterable) or isinstance(headers, (str, bytes)):
            raise TypeError(f"wsgi.early_hints: headers is {type(headers).__name__}, not list")
        lines = Head("103 Early Hints", list(headers)).fields()
        if self._request.version == "1.1":
            wire.send(b"HTTP/1.1 103 Early Hints\r\n" + lines + b"\r\n")
        elif self._request.version == "2":
            wire.inform(list(headers))

    def data(self, piece: object) -> bytes:
        """Return the bytes for a piece of the body; the first that is not empty brings the head with it, or
        the first of all where nothing is to follow that."""
        piece = _checked(piece)
        if self.framing is not None:
            return self.framing.encode(piece)
        head = self._started()
        if not piece and not head.has_no_body(self._request):
            return b""
        self._open_wire()
        lines, self.framing = head.frame(self._request, self._stamps.now())
        return lines + self.framing.encode(piece)

    def opened(self) -> bytes:  # the head alone, where nobody knows when a body comes
        lines, self.framing = self._started().frame(self._request, self._stamps.now())
        return lines

    @property
    def is_over(self) -> bool:
        """Whether nothing more can be sent, whatever the application has to say."""
        return self.framing is not None and self.framing.left == 0

    def error(self, status: int, text: str) -> bytes:
        """Return all bytes for an answer in the application's place, of which nothing was sent."""
        self.status = status
        if self._request.version == "2":
            reply = refusal_of(status, text, closes=False)
            self.begin(reply.head, reply.headers)
            return b"".join(Exchange.parts(self, reply.parts[0]))
        data, self.framing = error_page(status, text, self._stamps.now(), self._request.method)
        return data

    def whole(self, piece: object) -> bytes:
        """Return all bytes for a body of one piece; its length is announced if the application did not."""
        head, body = self.parts(piece)
        return head + body

    def parts(self, piece: object) -> tuple[bytes, bytes]:
        """Return the head and the body of whole() each for itself: what is large need not be copied."""
        piece = piece if type(piece) is bytes else _checked(piece)
        framing = self.framing
        if framing is not None:  # write() was called before
            return b"", framing.encode(piece) + framing.end()
        head = self.head or self._started()
        lines, self.framing = head.frame(self._request, self._stamps.now(), len(piece))
        return lines, self.framing.whole(piece)

    def file(self, size: int) -> tuple[bytes, int]:
        """Return the head for a body that the server sends from a file by itself, and how many bytes to send.

        `size` is what the file holds; finish() follows as ever.
        """
        head, self.framing = self._started().frame(self._request, self._stamps.now(), size)
        return head, self.framing.skip(size)

    def finish(self) -> bytes:
        """Return what is left to send when the application is done."""
        head = b""
        if self.framing is None:
            head, self.framing = self._started().frame(self._request, self._stamps.now(), 0)
        return head + self.framing.end()

    def _open_wire(self) -> Wire:
        if self.wire is None:
            raise AssertionError("the application answers a request that is over")
        return self.wire

    def _started(self) -> Head:
        if self.head is None:
            raise AssertionError(
                "the application gave a body, or returned, before it called start_response()"
            )
        return self.head


def joined(pieces: Sequence[object]) -> bytes:
    """Return a body that came in pieces."""
    return b"".join([_checked(piece) for piece in pieces])


def _checked(piece: object) -> bytes:
    if not isinstance(piece, bytes):
        raise TypeError(f"the application's body has a {type(piece).__name__}; PEP 3333 wants bytes")
    return piece
