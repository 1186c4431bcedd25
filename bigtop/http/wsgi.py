# WSGI without a server: a request becomes an environ, what the application says becomes bytes (PEP 3333).
#
# Rule 1: no I/O. The body comes as a finished file, bytes to send are returned; only the `write` callable of
# PEP 3333 and early hints have to send by themselves, and are given the means.
# Rule 2: nobody but a trusted peer can make an environ lie about the connection: names with "_" are dropped
# (X_Forwarded_Proto and X-Forwarded-Proto would be one key), and of other peers all that only proxies say.
# Rule 3: what is the same for all requests of a connection is worked out once, in a Peer.

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, Final, Protocol
from urllib.parse import unquote_to_bytes

from bigtop.http.forwarded import FIELDS, Forwarding, Origin
from bigtop.http.known import LONGEST, LONGEST_NAME, remember
from bigtop.http.messages import Request
from bigtop.http.response import Framing, Head, Stamps, head_of

Environ = dict[str, Any]
ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]
Address = tuple[Any, ...] | str | bytes | None  # as socket.getsockname() and getpeername() give it

# ---- the request


class FileWrapper:
    """What an application gets as wsgi.file_wrapper: an iterable that a server may replace by sendfile(2)."""

    def __init__(self, filelike: Any, block_size: int = 65536) -> None:
        self.filelike = filelike
        self.block_size = block_size

    def __iter__(self) -> Iterator[bytes]:
        while block := self.filelike.read(self.block_size):
            yield block

    def close(self) -> None:
        """Close the file, if it can be closed."""
        close = getattr(self.filelike, "close", None)
        if close is not None:
            close()


def worker_environ(errors: Any, *, multithread: bool, multiprocess: bool, hints: bool = False) -> Environ:
    """Return what is the same for all requests of a worker. `hints` is whether they get wsgi.early_hints."""
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
        "SCRIPT_NAME": "",
        "SERVER_SOFTWARE": "bigtop",
        "wsgi.version": (1, 0),
        "wsgi.errors": errors,
        "wsgi.multithread": multithread,
        "wsgi.multiprocess": multiprocess,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
        "wsgi.file_wrapper": FileWrapper,
    }


class Peer:
    """One connection, as environs describe it.

    Clients of unix sockets have no address: REMOTE_ADDR and REMOTE_PORT are "" for them, and the server is
    called "localhost" (PEP 3333 forbids an empty SERVER_NAME and SERVER_PORT).
    """

    __slots__ = ("address", "claims", "environ", "forwarding", "keys", "label", "trusted")

    def __init__(
        self, worker: Environ, server: Address, client: Address, forwarding: Forwarding, scheme: str
    ) -> None:
        name, port = _host_and_port(server)
        self.address, client_port = _host_and_port(client)
        self.label = self.address.encode()  # for the scoreboard
        self.forwarding = forwarding
        self.trusted = trusted = self.address in forwarding.trust
        # The keys under which this peer may say where a request came from.
        self.claims = tuple(_plain_key(name) for name in forwarding.names) if trusted else ()
        self.keys = _keys if trusted else _keys_of_strangers
        self.environ: Environ = {
            **worker,
            "wsgi.url_scheme": scheme,
            "SERVER_NAME": name or "localhost",
            "SERVER_PORT": port or ("443" if scheme == "https" else "80"),
            "REMOTE_ADDR": self.address,
            "REMOTE_PORT": client_port,
        }


class RequestIds:
    """Makes X-Request-IDs: a `name`, and a number. From any thread."""

    __slots__ = ("_name", "_number")

    def __init__(self, name: str) -> None:
        self._name = name + "-"
        self._number = itertools.count().__next__

    def new(self) -> str:
        return self._name + str(self._number())


def environ(
    request: Request, peer: Peer, body: Any, length: int | None = 0, ids: RequestIds | None = None
) -> Environ:
    """Return the environ of a request whose whole body can be read from `body`.

    `length` is the length of that body, None when it is not known yet. It becomes CONTENT_LENGTH when the
    body came in chunks, for what the application sees is not chunked any more (RFC 9112, 7.1.3). Django reads
    no body without it. `ids` makes an X-Request-ID where no trusted peer gave one.
    """
    fields = request.fields
    header = None if fields is None else fields.environs.get(peer.trusted)
    if header is None:
        header = _header_environ(request.headers, peer.keys)
        if fields is not None:
            fields.environs[peer.trusted] = header
    target, path, query = _split(request.target)
    env = peer.environ | header
    env["REQUEST_METHOD"] = request.method
    env["RAW_URI"] = env["REQUEST_URI"] = target
    if request.version != "1.1":
        env["SERVER_PROTOCOL"] = "HTTP/1.0"
    env["wsgi.input"] = body
    env["PATH_INFO"] = path
    env["QUERY_STRING"] = query
    if request.chunked:
        del env["HTTP_TRANSFER_ENCODING"]
        if length is not None:
            env["CONTENT_LENGTH"] = str(length)
    for key in peer.claims:
        if key in env:
            _apply(peer.forwarding.origin(request.headers, _origin(env)), env)
            break
    if ids is not None and ("HTTP_X_REQUEST_ID" not in env or not _ID.fullmatch(env["HTTP_X_REQUEST_ID"])):
        env["HTTP_X_REQUEST_ID"] = ids.new()
    return env


def _header_environ(headers: Sequence[tuple[bytes, bytes]], keys: dict[bytes, str]) -> dict[str, str]:
    """Return what a request's header adds to its environ."""
    env: dict[str, str] = {}
    for name, value in headers:
        key = keys.get(name)
        if key is None:
            key = _key_of(name, keys)
        if key:
            text = value.decode("latin-1")
            if key in env:
                text = env[key] + ("; " if key == "HTTP_COOKIE" else ",") + text
            env[key] = text
    return env


_splits: Final[dict[bytes, tuple[str, str, str]]] = {}  # see known.py


def _split(target: bytes) -> tuple[str, str, str]:
    """Return a target as text, its path without encoding, and its query."""
    known = _splits.get(target)
    if known is not None:
        return known
    text = target.decode("latin-1")
    path, _, query = text.partition("?")
    if path[0] != "/":
        path = _path_of(path)
    if "%" in path:
        path = unquote_to_bytes(path.encode("latin-1")).decode("latin-1")
    made = (text, path, query)
    if len(target) <= LONGEST:
        remember(_splits, target, made)
    return made


def path_of(target: bytes) -> str:
    """Return the path that an application is shown for a request target; that of "*" is empty."""
    return _split(target)[1]


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


# Field names as they were spelled -> keys of the environ, "" for those that are dropped. Clients choose the
# names, so only so many are remembered.
_keys: dict[bytes, str] = {}
_keys_of_strangers: dict[bytes, str] = {}
_KEYS_KEPT: Final = 1024

# What proxies add, and clients have no reason to send.
_BY_PROXIES: Final = frozenset((*FIELDS.values(), b"x-real-ip", b"x-request-id"))
_ID: Final = re.compile(r"[\w.:;@/+=-]{1,128}", re.ASCII)


def _key_of(name: bytes, keys: dict[bytes, str]) -> str:
    lower = name.lower()
    by_proxy = lower in _BY_PROXIES or lower.startswith(b"x-forwarded-")
    key = "" if b"_" in name or (by_proxy and keys is _keys_of_strangers) else _plain_key(name)
    if len(keys) < _KEYS_KEPT and len(name) <= LONGEST_NAME:
        keys[name] = key
    return key


def _plain_key(name: bytes) -> str:
    key = name.decode("latin-1").upper().replace("-", "_")
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else "HTTP_" + key


def _path_of(target: str) -> str:
    """Return the path of a target in absolute form ("http://host/path"); that of "*" is empty."""
    _, _, rest = target.partition("://")
    _, slash, path = rest.partition("/")
    return slash + path if slash or not rest else "/"


def _host_and_port(address: Address) -> tuple[str, str]:
    if isinstance(address, tuple):
        return str(address[0]), str(address[1])
    return "", ""


# ---- the response


class Wire(Protocol):
    """What an exchange asks of the connection that it belongs to."""

    def send(self, data: bytes) -> None:
        """Send, now: for `write`, which may not return before the server has taken the data over, and for
        early hints."""


class Exchange:
    """One request's answer: the state machine behind start_response.

    The application calls start_response() and, if it is old, write(); the server gives what the application
    yields to data(), then calls finish(); or it gives all of it to whole(). They return bytes for the client,
    b"" if none. What applications give is `object`: it is checked here, with a message that explains.

    Whoever owns it sets `wire` to None when the request is over: what the application keeps of it leads
    nowhere from then on, and makes no cycle that would wait for the garbage collector with the whole request.
    """

    __slots__ = ("_head", "_request", "_stamps", "framing", "headers", "status", "wire")

    def __init__(self, request: Request, stamps: Stamps, wire: Wire) -> None:
        self._request = request
        self._stamps = stamps
        self.wire: Wire | None = wire
        self._head: Head | None = None
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        self.framing: Framing | None = None  # set when the head was given out: there is no way back then

    def start_response(
        self, status: object, headers: object, exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], None]:
        """Take the status and the headers; they are checked now, while the traceback shows who is to blame.

        Raises ResponseError, TypeError or AssertionError for what PEP 3333 does not allow, and the error in
        `exc_info` when it is too late to answer with anything else.
        """
        if exc_info:
            try:
                if self.framing is not None:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # its traceback holds this frame: a cycle
        elif self._head is not None:
            raise AssertionError("start_response() was called a second time without exc_info")
        if not isinstance(headers, list):
            raise TypeError(f"start_response(): headers is {type(headers).__name__}, not list")
        self._head = head = head_of(status, headers)
        self.status = head.code
        self.headers = headers
        return self.write

    def begin(self, head: Head, headers: list[tuple[str, str]]) -> None:
        """Take a head that was made, and checked, before: of an answer that the server gives by itself."""
        self._head = head
        self.status = head.code
        self.headers = headers

    def write(self, data: object) -> None:
        """Send a piece of the body at once, for applications from before iterables."""
        if wired := self.data(data):
            self._open_wire().send(wired)

    def early_hints(self, headers: list[tuple[str, str]]) -> None:
        """Send a 103 with `headers`, ahead of the answer and as often as wanted: what gunicorn calls
        wsgi.early_hints (RFC 8297). Clients of HTTP/1.0 get none: they take any response for the final one.

        Raises as start_response() does for what cannot be sent, and AssertionError behind the head.
        """
        if self.framing is not None:
            raise AssertionError("wsgi.early_hints was called after the head was sent")
        wire = self._open_wire()
        lines = Head("103 Early Hints", headers).fields()
        if self._request.version == "1.1":
            wire.send(b"HTTP/1.1 103 Early Hints\r\n" + lines + b"\r\n")

    def data(self, piece: object) -> bytes:
        """Return the bytes for a piece of the body; the first that is not empty brings the head with it."""
        piece = _checked(piece)
        if self.framing is not None:
            return self.framing.encode(piece)
        head = self._started()
        if not piece:
            return b""
        self._open_wire()
        lines, self.framing = head.frame(self._request, self._stamps.now())
        return lines + self.framing.encode(piece)

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
        head = self._head or self._started()
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
        if self._head is None:
            raise AssertionError(
                "the application gave a body, or returned, before it called start_response()"
            )
        return self._head


def _checked(piece: object) -> bytes:
    if not isinstance(piece, bytes):
        raise TypeError(f"the application's body has a {type(piece).__name__}; PEP 3333 wants bytes")
    return piece
