# HTTPS to a CA, by the standard library.
#
# Rules: an answer is whole or none. It may be so long and take so long, and no longer. Nothing is followed
# elsewhere. What went wrong is one line for a person, as an Unreachable.

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

from bigtop import __version__
from bigtop.errors import ConfigError, one_line
from bigtop.keeper.acme.messages import Answered, Unreachable

_LARGEST: Final = 1 << 20  # bytes of a body
_PATIENCE: Final = 30.0  # seconds for a question with its answer


class Https:
    """One thread at a time. Connections are kept while questions follow each other."""

    def __init__(self, root_cert: str = "", patience: float = _PATIENCE) -> None:
        """`root_cert` is a PEM file of roots to trust instead of the system's. Raises ConfigError."""
        self._patience = patience
        self._context = ssl.create_default_context()
        if root_cert:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            try:
                self._context.load_verify_locations(cafile=root_cert)
            except (OSError, ssl.SSLError) as error:
                raise ConfigError(f"{root_cert}: {_reason(error)}") from None
        self._kept: tuple[str, int, http.client.HTTPSConnection] | None = None

    def close(self) -> None:
        if self._kept is not None:
            self._kept[2].close()
            self._kept = None

    def ask(
        self, method: str, url: str, body: bytes | None = None, fields: Mapping[str, str] | None = None
    ) -> Answered | Unreachable:
        """Ask `url`, which begins with https."""
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 443
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        words = {"User-Agent": f"bigtop/{__version__}", "Accept-Language": "en", **(fields or {})}
        was_kept = self._kept is not None and self._kept[:2] == (host, port)
        answer = self._once(host, port, (method, path, body, words))
        if was_kept and isinstance(answer, Unreachable):  # closed by the other side meanwhile
            answer = self._once(host, port, (method, path, body, words))
        return answer

    def _once(
        self, host: str, port: int, question: tuple[str, str, bytes | None, Mapping[str, str]]
    ) -> Answered | Unreachable:
        if self._kept is None or self._kept[:2] != (host, port):
            self.close()
            connection = http.client.HTTPSConnection(
                host, port, timeout=self._patience, context=self._context
            )
            self._kept = (host, port, connection)
        connection = self._kept[2]
        # A timeout of the socket is for each read; the timer is for all of them together.
        end = time.monotonic() + self._patience
        timer = threading.Timer(self._patience, _cut, (connection,))
        timer.daemon = True
        timer.start()
        try:
            answer = self._answer(connection, question)
            if time.monotonic() >= end:  # what was cut may look like its end
                raise TimeoutError
            return answer
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            return Unreachable(one_line(f"{host}:{port}: {_reason(error)}"))
        finally:
            timer.cancel()

    def _answer(
        self,
        connection: http.client.HTTPSConnection,
        question: tuple[str, str, bytes | None, Mapping[str, str]],
    ) -> Answered:
        method, path, body, sent = question
        connection.request(method, path, body, dict(sent))
        with connection.getresponse() as response:
            text = response.read(_LARGEST + 1)
            if len(text) > _LARGEST:
                raise ValueError(f"the answer is longer than {_LARGEST} bytes")
            fields = {name.lower(): value for name, value in response.getheaders()}
            return Answered(response.status, fields, text)


def _cut(connection: http.client.HTTPSConnection) -> None:
    found = connection.sock
    if found is not None:
        with suppress(OSError):  # it ended by itself
            found.shutdown(socket.SHUT_RDWR)


def _reason(error: Exception) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted: {error.verify_message}"
        case ssl.SSLError():
            return f"TLS fails: {error.reason or error.strerror or error}"
        case socket.gaierror():
            return f"its name cannot be found: {error.strerror}"
        case TimeoutError():
            return "no answer in time"
        case http.client.RemoteDisconnected():
            return "it closed the connection without an answer"
        case OSError():
            return error.strerror or str(error) or type(error).__name__
    return str(error) or type(error).__name__
