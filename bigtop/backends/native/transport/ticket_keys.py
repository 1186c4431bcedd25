# Keys of session tickets: the same in every worker that has the same secrets, made of these and the time.
#
# OpenSSL makes keys by itself, others in each context, so a client that comes back to another worker, or
# behind a reload, would have to begin anew. Python has no way to set them, so OpenSSL itself is asked, where
# its functions can be found and what was set can be read back. Elsewhere workers share contexts, which were
# made before they were forked: then a reload costs each client one whole handshake.
#
# Rule: keys turn with the time, so that what is recorded today cannot be read with what is stolen next week.
# Who comes back behind a turn begins anew.

from __future__ import annotations

import hashlib
import hmac
import ssl
from collections.abc import Callable, Iterable, Sequence

from bigtop.backends.native.transport import openssl
from bigtop.ipc.keyring import TURN, TicketSecret


class TicketKeys:
    """The keys of a site. `label` tells apart whose sessions must not be resumed by each other. Of `secrets`
    the last one counts that has begun."""

    def __init__(self, secrets: Sequence[TicketSecret], label: str, clock: Callable[[], float]) -> None:
        self._secrets = tuple((one.since, bytes.fromhex(one.secret)) for one in secrets)
        self._label = label.encode()
        self._clock = clock
        self.began = self.until = 0.0  # when those that were given are the right ones
        self.are_shared = False  # whether OpenSSL takes them

    def give(self, contexts: Iterable[ssl.SSLContext]) -> None:
        """Have contexts use the keys of this time."""
        turn = int(self._clock() // TURN)
        self.began, self.until = float(turn * TURN), float(turn * TURN + TURN)
        if not self._secrets:
            return
        begun = [secret for since, secret in self._secrets if since <= turn]
        secret = begun[-1] if begun else self._secrets[0][1]
        keys = _expanded(secret, self._label + turn.to_bytes(8, "big"))
        self.are_shared = all(openssl.set_ticket_keys(context, keys) for context in contexts)


def _expanded(secret: bytes, info: bytes) -> bytes:
    """Return as many bytes as keys have (RFC 5869, 2.3)."""
    made, block = b"", b""
    for number in range(1, 4):
        block = hmac.digest(secret, block + info + bytes([number]), hashlib.sha256)
        made += block
    return made[: openssl.TICKET_KEYS]
