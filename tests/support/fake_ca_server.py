# The fake CA (fake_ca.py) behind HTTPS.

from __future__ import annotations

import json
import ssl
import time
from pathlib import Path

from bigtop.keeper.acme import jose
from tests.support.fake_ca import FakeCA
from tests.support.https_server import HttpsServer, reply


class FakeCAServer:
    """One that runs, in a with statement; `ca` says what it was asked."""

    def __init__(self, folder: Path) -> None:
        self.server = HttpsServer(folder, self._answer)
        self.ca = FakeCA(self.server.base)
        self.root_cert = self.server.root_cert
        self.directory = f"{self.server.base}/directory"
        self._nonces = 0

    def __enter__(self) -> FakeCAServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.server.__exit__(None, None, None)

    def _answer(self, request: bytes, _tls: ssl.SSLSocket) -> bytes:
        head, _, body = request.partition(b"\r\n\r\n")
        method, path = head.decode().split()[:2]
        self._nonces += 1
        nonce = f"Replay-Nonce: nonce-{self._nonces}"
        if method == "HEAD":
            return reply(200, b"", nonce)
        text = json.loads(body)["payload"] if body else ""
        payload = json.loads(jose.decoded(text)) if text else None
        answer = self.ca.answer_to(path, payload, time.time())
        return reply(
            answer.status, answer.body, nonce, *(f"{name}: {it}" for name, it in answer.fields.items())
        )
