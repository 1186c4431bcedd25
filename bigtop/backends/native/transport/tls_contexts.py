# TLS contexts: what OpenSSL is told of the certificates of a site, one context for the names of each.
#
# Rule 1: contexts are made before workers are forked. With what they share then, keys of session tickets
# among it, a session can be resumed in any of them.
# Rule 2: which one a client gets is decided by the name in its Hello, before OpenSSL reads that.

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Sequence
from typing import Final

from bigtop.backends.native.challenges import OFFERED, context_of
from bigtop.backends.native.transport import openssl
from bigtop.backends.native.transport.encryption import HTTP1
from bigtop.backends.native.transport.ticket_keys import TicketKeys
from bigtop.backends.serve_options import TlsPolicy
from bigtop.errors import ConfigError
from bigtop.ipc.keyring import KeyPair, Keyring
from bigtop.system import certificates

# Mozilla's "intermediate", without those that compute in the multiplicative group (DHE).
CIPHERS: Final = "ECDHE+AES128+AESGCM:ECDHE+AESGCM:ECDHE+CHACHA20"
# As "intermediate" has it, AES comes with 128 bits first, of TLS 1.3, too. With 256 OpenSSL takes SHA-384 for
# the handshake, for which processors have no instructions: that is a tenth of a handshake.
_FIRST: Final = "TLS_AES_128_GCM_SHA256"
# By Mozilla's "intermediate", too. Of others, OpenSSL before 3.5 would compute with numbers of 8,192 bits for
# whoever asks: that takes 400 times as long as the rest of a handshake (CVE-2002-20001). Later ones do
# without those by themselves, and have groups that stand up to quantum computers.
GROUPS: Final = "X25519:P-256:P-384"
_CHOOSES_WELL: Final = (3, 5)  # versions of OpenSSL since that one
_ASKED: Final = {"optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class TlsContexts:
    """Contexts by name. ConfigError: a certificate or a cipher that OpenSSL does not take."""

    def __init__(
        self,
        keyring: Keyring,
        policy: TlsPolicy,
        clock: Callable[[], float] = time.time,
        challenge: Callable[[str], str | None] | None = None,
    ) -> None:
        """`challenge` returns the pair (PEM) that a CA wants to see for a name, None where there is none."""
        self._policy = policy
        self._challenge = challenge
        self._cipher_ids: dict[str, int] = {}
        self._clock = clock
        self._protocols: Sequence[str] = (HTTP1,)
        self.use(keyring)

    def use(self, keyring: Keyring) -> None:
        """Serve with these certificates from now on. ConfigError: it cannot be, and nothing changes."""
        chains = _chains(keyring)
        asked = self._policy.client_auth if keyring.client_ca else "off"
        # Without any certificate, too, it is tried whether OpenSSL takes what else it is told.
        contexts = {chain: self._context(keyring, chain, asked) for chain in {*chains.values()} or {()}}
        # Who was let in by one authority, or by none, is not let in by a ticket where it is another.
        # Nor is who was revoked meanwhile.
        label = "" if asked == "off" else f"{asked} {keyring.client_ca}{keyring.client_crl}"
        tickets = TicketKeys(keyring.ticket_secrets, label, self._clock)
        tickets.give(contexts.values())
        self.is_empty = not chains
        self.asks_clients = asked != "off"
        self._tickets = tickets
        self._by_name = {name: contexts[chain] for name, chain in chains.items()}

    def offer(self, protocols: Sequence[str]) -> None:
        self._protocols = protocols
        for context in {*self._by_name.values()}:
            context.set_alpn_protocols(protocols)

    @property
    def tickets(self) -> str:
        """Say who can resume sessions."""
        if self._tickets.are_shared:
            return "sessions are resumed by every worker, also behind a reload"
        return "sessions are resumed by every worker until the next reload: OpenSSL takes no keys from us"

    def choose(self, name: str, offered: Sequence[bytes] = ()) -> ssl.SSLContext | None:
        """Return the context for a name; None: there is none, and such clients are to be refused. Who offers
        a CA's protocol is that CA, and gets nothing else."""
        if offered and OFFERED in offered and self._challenge is not None:
            return context_of(self._challenge(name))
        by_name = self._by_name
        if not self._tickets.began <= self._clock() < self._tickets.until:  # clocks are set back, too
            self._tickets.give({*by_name.values()})
        found = by_name.get(name) if name else None
        if found is None and name:
            found = by_name.get("*." + name.partition(".")[2])
        if found is None and self._policy.unknown_name == "default":
            found = by_name.get("")  # there may be none yet
        return found

    def cipher_id(self, name: str) -> int:
        """Return the two bytes that stand for a cipher on the wire, as a number."""
        return self._cipher_ids.get(name, 0)

    def _context(self, keyring: Keyring, chain: tuple[int, ...], asked: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = _VERSIONS[self._policy.minimum]
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.num_tickets = 1  # a second one doubles the work
        context.set_alpn_protocols(self._protocols)
        if ssl.OPENSSL_VERSION_INFO < _CHOOSES_WELL:
            openssl.set_groups(context, GROUPS)
        try:
            context.set_ciphers(self._policy.ciphers or CIPHERS)
        except ssl.SSLError:
            raise ConfigError(f"--tls-ciphers: OpenSSL knows none of {self._policy.ciphers!r}") from None
        if asked != "off":
            context.verify_mode = _ASKED[asked]
            try:
                context.load_verify_locations(cadata=keyring.client_ca)
            except ssl.SSLError:
                raise ConfigError("--client-ca: it has no certificate (PEM)") from None
            if keyring.client_crl:
                certificates.revoke(context, keyring.client_crl)
        for number in chain:
            pair = keyring.pairs[number]
            try:
                certificates.load(context, pair.certificate, pair.key)
            except ConfigError as error:
                raise _of(pair, error) from None
        suites = [cipher["name"] for cipher in context.get_ciphers() if cipher["protocol"] == "TLSv1.3"]
        if _FIRST in suites:  # the system may want none of 128 bits
            openssl.set_suites(context, sorted(suites, key=lambda name: name != _FIRST))
        for cipher in context.get_ciphers():
            self._cipher_ids[cipher["name"]] = cipher["id"] & 0xFFFF
        return context


def _chains(keyring: Keyring) -> dict[str, tuple[int, ...]]:
    """Return by which pairs, by number, each name is served: the first of each kind of key. "" stands for
    all that nobody else is for: what the first pair serves."""
    found: dict[str, dict[str, int]] = {}
    for number, pair in enumerate(keyring.pairs):
        try:
            facts = certificates.facts_of(pair.certificate)
        except ConfigError as error:
            raise _of(pair, error) from None
        for name in facts.names:
            found.setdefault(name, {}).setdefault(facts.kind, number)
        if number == 0:
            first = facts
            found[""] = {facts.kind: number}
        elif set(facts.names) == set(first.names):
            found[""].setdefault(facts.kind, number)
    return {name: tuple(kinds.values()) for name, kinds in found.items()}


def _of(pair: KeyPair, error: ConfigError) -> ConfigError:
    return ConfigError(f"{pair.origin}: {error}")
