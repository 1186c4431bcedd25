# Request message: a request on its way from the worker that has its client to one that runs its call.
#
# Rule 1: a request travels as fields, never as the text of HTTP/1.1, which somebody could read in another
# way. JSON has nothing that could be taken for the end of a field.
# Rule 2: who reads one believes what it says of the client: a worker of the same application has said it. But
# it holds the request to what holds for those of clients: a message may come from a worker that is broken.

from __future__ import annotations

import json
from struct import Struct
from typing import Any, Final, NamedTuple

from bigtop.errors import ProtocolError
from bigtop.http.clients.tls_session import ClientCertificate, TlsSession
from bigtop.http.declarations import LONGEST_METHOD
from bigtop.http.h2.error_codes import StreamError
from bigtop.http.h2.request_fields import request_fields
from bigtop.http.h2.request_heads import is_method, is_path
from bigtop.http.messages import Request

MOST_BODY: Final = 65536  # bytes of a body: with its head it fits into what a socket holds
MOST: Final = 196_608  # bytes of a message, which have to fit, too
_SIZES: Final = Struct(">II")
_HEAD: Final = _SIZES.size


class DelegatedRequest(NamedTuple):
    """A request with its whole `body`, and of its client what is known; `readable` is since when it waits, in
    monotonic nanoseconds. A `server` and a `client` without addresses, those of unix sockets, are ""."""

    request: Request
    body: bytes
    server: tuple[str, str]
    client: tuple[str, str]
    scheme: str
    session: TlsSession | None
    readable: int


def message_of(delegated: DelegatedRequest) -> bytes:
    """Return what is sent of it; b"" if that would be too much."""
    request, session = delegated.request, delegated.session
    said: list[Any] = [
        request.method,
        request.target.decode("latin-1"),
        [text.decode("latin-1") for pair in request.headers for text in pair],
        request.chunked,
        request.user,
        request.until_full,
        request.is_secure,
        delegated.server,
        delegated.client,
        delegated.scheme,
        session,
        delegated.readable,
    ]
    text = json.dumps(said).encode()
    message = _SIZES.pack(len(text), len(delegated.body)) + text + delegated.body
    return message if len(message) <= MOST else b""


def is_whole(data: bytes) -> bool:
    """Whether that is all of a message, or more than there is of any."""
    return len(data) > MOST or (len(data) >= _HEAD and len(data) >= _HEAD + sum(_SIZES.unpack(data[:_HEAD])))


def request_of(data: bytes, now: int) -> DelegatedRequest:
    """Return what a message says; ValueError if it is none, or says something that no request says."""
    if len(data) < _HEAD or len(data) > MOST:
        raise ValueError("no message has that size")
    size, length = _SIZES.unpack(data[:_HEAD])
    text, body = data[_HEAD : _HEAD + size], data[_HEAD + size :]
    if len(text) != size or len(body) != length:
        raise ValueError("a message is not whole")
    try:
        return _read(json.loads(text), body, now)
    except (TypeError, RecursionError, UnicodeError, StreamError, ProtocolError) as error:
        raise ValueError(str(error)) from None


def _read(said: object, body: bytes, now: int) -> DelegatedRequest:
    """Raises ValueError, TypeError, StreamError or ProtocolError for what cannot be."""
    if not isinstance(said, list):
        raise TypeError("a message is no list")
    (method, target, texts, chunked, user, until_full, is_secure, server, client, scheme, session, at) = said
    flat = [_text(text).encode("latin-1") for text in texts]
    request = _request(_text(method).encode("latin-1"), _text(target).encode("latin-1"), flat, body)
    request.chunked = chunked is True
    request.user = _text(user)
    request.until_full = _number(until_full)
    request.is_secure = is_secure is True
    if _text(scheme) not in ("http", "https"):
        raise ValueError("the scheme is unknown")
    readable = min(now, _number(at))
    ends = _pair(server), _pair(client)
    return DelegatedRequest(request, body, *ends, _text(scheme), _session(session), readable)


def _request(method: bytes, target: bytes, flat: list[bytes], body: bytes) -> Request:
    if not is_method(method) or len(method) > LONGEST_METHOD or method in (b"CONNECT", b"PRI"):
        raise ValueError("the method is none")
    if not is_path(target, method):
        raise ValueError("the target is none")
    pairs = list(zip(flat[::2], flat[1::2], strict=True))
    authority = pairs.pop(0)[1] if pairs and pairs[0][0] == b"host" else None
    found = request_fields(authority, pairs)
    if found.error is not None:
        raise found.error
    if found.content_length is not None and found.content_length != len(body):
        raise ValueError("the content-length is not the body's")
    request = Request(method.decode(), target, found.fields)
    request.version = "2"
    request.content_length = len(body)
    return request


def _session(said: Any) -> TlsSession | None:
    if said is None:
        return None
    version, cipher, cipher_id, name, resumed, client = said
    certificate = None if client is None else ClientCertificate(*[_text(text) for text in client])
    texts = _text(version), _text(cipher)
    return TlsSession(*texts, _number(cipher_id), _text(name), resumed is True, certificate)


def _pair(said: Any) -> tuple[str, str]:
    host, port = said
    return _text(host), _text(port)


def _text(said: Any) -> str:
    if not isinstance(said, str):
        raise TypeError("a text is none")
    return said


def _number(said: Any) -> int:
    if not isinstance(said, int) or not -1 <= said < 1 << 63:
        raise TypeError("a number is none")
    return said
