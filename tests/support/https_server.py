# An HTTPS server that answers what a test says, byte by byte if need be, with a certificate of its own root.

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from bigtop.keeper import signing


class HttpsServer:
    """`answer` is given each request as bytes, up to the end of its body, and the connection; it may return
    an answer, or write one itself and return None, which ends the connection."""

    def __init__(self, folder: Path, answer: Callable[[bytes, ssl.SSLSocket], bytes | None]) -> None:
        now = time.time()
        root = signing.root("a root", now, 1, is_for_hosts=False)
        leaf = signing.leaf(root, ["127.0.0.1"], now, 1)
        self.root_cert = str(folder / "server-root.pem")
        Path(self.root_cert).write_bytes(root.chain_pem)
        (folder / "server.pem").write_bytes(leaf.pem)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(folder / "server.pem")
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.base = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        self.connections = 0
        self._open: list[threading.Thread] = [threading.Thread(target=self._accept)]
        self._open[0].start()

    def __enter__(self) -> HttpsServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._open:
            thread.join(30)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection = self._listener.accept()[0]
                connection.settimeout(30)
                self.connections += 1
                thread = threading.Thread(target=self._serve, args=(connection,))
                self._open.append(thread)
                thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with (
            connection,
            suppress(OSError, ValueError),
            self._context.wrap_socket(connection, server_side=True) as tls,
        ):
            while (request := _request(tls)) and (answer := self._answer(request, tls)) is not None:
                tls.sendall(answer)


def _request(tls: ssl.SSLSocket) -> bytes:
    text = b""
    while b"\r\n\r\n" not in text:
        piece = tls.recv(65536)
        if not piece:
            return b""
        text += piece
    head, _, body = text.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        length = int(value) if name.lower() == b"content-length" else length
    while len(body) < length:
        body += tls.recv(65536)
    return head + b"\r\n\r\n" + body


def reply(status: int, body: bytes = b"", *lines: str) -> bytes:
    """Return an answer as bytes."""
    head = [f"HTTP/1.1 {status} .", f"Content-Length: {len(body)}", *lines]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body
