# Encryption of a worker's listeners: which of them, and who knows the certificates.

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from bigtop.ipc.keyring import Keyring

if TYPE_CHECKING:  # with OpenSSL, for those who encrypt
    from ssl import SSLContext

    from bigtop.keeper.publishing.answers import Answers


# Protocols that a client may choose from in its handshake (ALPN), the one that we like best first.
HTTP1: Final = "http/1.1"
HTTP2: Final = "h2"


class ServerContexts(Protocol):
    """Who knows certificates. `asks_clients` is whether clients are asked for theirs."""

    asks_clients: bool

    def choose(self, name: str, offered: Sequence[bytes] = ()) -> SSLContext | None:
        """Return the context for a name, and for the protocols that are offered (ALPN); None to refuse."""

    def use(self, keyring: Keyring) -> None:
        """Serve with other certificates from now on. ConfigError: it cannot be, and nothing changes."""

    def offer(self, protocols: Sequence[str]) -> None:
        """Let clients choose from these protocols (ALPN) from now on."""

    def cipher_id(self, name: str) -> int:
        """Return the two bytes that stand for a cipher on the wire, as a number."""


class Encryption(NamedTuple):
    """The listeners with these numbers are encrypted, by these contexts. `answers` are for CAs, None where
    nobody gets certificates."""

    contexts: ServerContexts
    listeners: frozenset[int]
    answers: Answers | None = None
