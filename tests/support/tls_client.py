# A client that speaks TLS, and one that sends the bytes of a handshake as a test wants them.

from __future__ import annotations

import ssl

from bigtop.ipc.keyring import KeyPair
from bigtop.system.certificates import load
from tests.support.certificates import made
from tests.support.wire import Client


def context(*trusted: KeyPair, version: str = "1.3", own: KeyPair | None = None) -> ssl.SSLContext:
    """Return a client's context that believes these certificates, and has an `own` one to show; `version` is
    the newest that it speaks."""
    made_here = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made_here.maximum_version = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[version]
    for pair in trusted or (made("localhost"),):
        made_here.load_verify_locations(cadata=pair.certificate)
    if own is not None:
        load(made_here, own.certificate, own.key)
    return made_here


class TlsClient(Client):
    """One connection, its handshake done. It takes no end of a connection that was not announced."""

    def __init__(
        self,
        address: tuple[str, int] | str,
        receive_buffer: int = 0,
        *,
        name: str | None = "localhost",
        by: ssl.SSLContext | None = None,
        session: ssl.SSLSession | None = None,
    ) -> None:
        super().__init__(address, receive_buffer=receive_buffer)
        self.plain = self.socket
        try:
            self.tls = (by or context()).wrap_socket(
                self.plain, server_hostname=name, session=session, suppress_ragged_eofs=False
            )
        except BaseException:
            self.plain.close()
            raise
        self.socket = self.tls


class Relayed:
    """A client's TLS apart from its connection: what it wants to send is `out`."""

    def __init__(self, by: ssl.SSLContext | None = None, name: str = "localhost") -> None:
        self.into, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = (by or context()).wrap_bio(self.into, self._out, server_hostname=name)

    def out(self) -> bytes:
        return self._out.read()

    def hello(self) -> bytes:
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return self.out()
        raise AssertionError("nobody has answered yet")

    def shake_hands(self, client: Client) -> None:
        """Go on with a handshake until it is over."""
        while True:
            self.into.write(client.socket.recv(65536))
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                client.send(self.out())
        client.send(self.out())

    def read(self, client: Client) -> bytes:
        """Return what is decrypted of what comes next."""
        while True:
            try:
                return self.tls.read(65536)
            except ssl.SSLWantReadError:
                self.into.write(client.socket.recv(65536))
