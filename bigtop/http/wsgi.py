# WSGI without a server: a request becomes an environ, what the application says becomes bytes (PEP 3333).
#
# Rule 1: no I/O. The body comes as a finished file, bytes to send are returned; only the `write` callable of
# PEP 3333 has to send by itself, and is given the means.
# Rule 2: nobody but a trusted peer can make an environ lie about the connection: names with "_" are dropped
# (X_Forwarded_Proto and X-Forwarded-Proto would be one key), a forwarded scheme counts only from such peers.
# Rule 3: what is the same for all requests of a connection is worked out once, in a Peer.

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, Final, Protocol
from urllib.parse import unquote_to_bytes

from bigtop.errors import ConfigError
from bigtop.http.messages import Request
from bigtop.http.response import Framing, Head, Stamp

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


class Trust:
    """Which peers may say that a request came by https: addresses, networks, or "*" for all.

    A peer on a unix socket is always trusted: the file's mode decides who that can be.
    """

    def __init__(self, peers: Sequence[str]) -> None:
        self.everybody = "*" in peers
        try:
            self._networks = [ipaddress.ip_network(peer, strict=False) for peer in peers if peer != "*"]
        except ValueError as error:
            raise ConfigError(f"forwarded_allow_ips: {error}; wanted addresses, networks or *") from None

    def __contains__(self, address: str) -> bool:
        if self.everybody or not address:
            return True
        peer = ipaddress.ip_address(address.partition("%")[0])
        peer = getattr(peer, "ipv4_mapped", None) or peer
        return any(peer in network for network in self._networks)


def worker_environ(errors: Any, *, multithread: bool, multiprocess: bool) -> Environ:
    """Return what is the same for all requests of a worker."""
    return {
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

    __slots__ = ("address", "environ", "trusted")

    def __init__(self, worker: Environ, server: Address, client: Address, trust: Trust, scheme: str) -> None:
        name, port = _host_and_port(server)
        self.address, client_port = _host_and_port(client)
        self.trusted = self.address in trust
        self.environ: Environ = {
            **worker,
            "wsgi.url_scheme": scheme,
            "SERVER_NAME": name or "localhost",
            "SERVER_PORT": port or ("443" if scheme == "https" else "80"),
            "REMOTE_ADDR": self.address,
            "REMOTE_PORT": client_port,
        }


def environ(request: Request, peer: Peer, body: Any, length: int = 0) -> Environ:
    """Return the environ of a request whose whole body can be read from `body`.

    `length` is the length of that body; it becomes CONTENT_LENGTH when the body came in chunks, for what the
    application sees is not chunked any more (RFC 9112, 7.1.3). Django reads no body without it.
    """
    env = peer.environ.copy()
    target = request.target.decode("latin-1")
    env["REQUEST_METHOD"] = request.method
    env["RAW_URI"] = env["REQUEST_URI"] = target
    env["SERVER_PROTOCOL"] = "HTTP/" + request.version
    env["wsgi.input"] = body
    path, _, env["QUERY_STRING"] = target.partition("?")
    if path[0] != "/":
        path = _path_of(path)
    env["PATH_INFO"] = unquote_to_bytes(path.encode("latin-1")).decode("latin-1") if "%" in path else path
    for name, value in request.headers:
        key = _keys.get(name)
        if key is None:
            key = _key_of(name)
        if key:
            text = value.decode("latin-1")
            if key in env:
                text = env[key] + ("; " if key == "HTTP_COOKIE" else ",") + text
            env[key] = text
    if request.chunked:
        del env["HTTP_TRANSFER_ENCODING"]
        env["CONTENT_LENGTH"] = str(length)
    if peer.trusted and env.get("HTTP_X_FORWARDED_PROTO") in ("http", "https"):
        env["wsgi.url_scheme"] = env["HTTP_X_FORWARDED_PROTO"]
    return env


# Field names as they were spelled -> keys of the environ, "" for those that are dropped. Clients choose the
# names, so only so many are remembered.
_keys: dict[bytes, str] = {}
_KEYS_KEPT: Final = 1024


def _key_of(name: bytes) -> str:
    if b"_" in name:
        key = ""
    else:
        key = name.decode("latin-1").upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = "HTTP_" + key
    if len(_keys) < _KEYS_KEPT:
        _keys[name] = key
    return key


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

    def stamp(self) -> Stamp:
        """Return the server's own lines for a head that is sent now."""

    def send(self, data: bytes) -> None:
        """Send, now: for `write`, which may not return before the server has taken the data over."""


class Exchange:
    """One request's answer: the state machine behind start_response.

    The application calls start_response() and, if it is old, write(); the server gives what the application
    yields to data() or whole(), then calls finish(). All three return bytes for the client, b"" if none.
    """

    __slots__ = ("_head", "_request", "_wire", "framing", "headers", "status")

    def __init__(self, request: Request, wire: Wire) -> None:
        self._request = request
        self._wire = wire
        self._head: Head | None = None
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        self.framing: Framing | None = None  # set when the head was given out: there is no way back then

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None
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
        self._head = head = Head(status, headers)
        self.status = head.code
        self.headers = headers
        return self.write

    def write(self, data: bytes) -> None:
        """Send a piece of the body at once, for applications from before iterables."""
        if wired := self.data(data):
            self._wire.send(wired)

    def data(self, piece: bytes) -> bytes:
        """Return the bytes for a piece of the body; the first that is not empty brings the head with it."""
        _check_piece(piece)
        if self.framing is not None:
            return self.framing.encode(piece)
        head = self._started()
        if not piece:
            return b""
        lines, self.framing = head.frame(self._request, self._wire.stamp())
        return lines + self.framing.encode(piece)

    def whole(self, piece: bytes) -> bytes:
        """Return the bytes for a body of one piece; its length is announced if the application did not."""
        _check_piece(piece)
        if self.framing is not None:  # write() was called before
            return self.framing.encode(piece)
        head, self.framing = self._started().frame(self._request, self._wire.stamp(), len(piece))
        return head + self.framing.encode(piece)

    def file(self, size: int) -> tuple[bytes, int]:
        """Return the head for a body that the server sends from a file by itself, and how many bytes to send.

        `size` is what the file holds; finish() follows as ever.
        """
        head, self.framing = self._started().frame(self._request, self._wire.stamp(), size)
        return head, self.framing.skip(size)

    def finish(self) -> bytes:
        """Return what is left to send when the application is done."""
        head = b""
        if self.framing is None:
            head, self.framing = self._started().frame(self._request, self._wire.stamp(), 0)
        return head + self.framing.end()

    def _started(self) -> Head:
        if self._head is None:
            raise AssertionError(
                "the application gave a body, or returned, before it called start_response()"
            )
        return self._head


def _check_piece(piece: object) -> None:
    if not isinstance(piece, bytes):
        raise TypeError(f"the application's body has a {type(piece).__name__}; PEP 3333 wants bytes")
