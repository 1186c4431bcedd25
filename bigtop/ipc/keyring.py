# Keyring: certificates with their private keys, on the way from who may read the files to who serves with
# them. One sealed file in memory, which every fork server and worker inherits.
#
# Rule: nothing of it stands in arguments, environments or logs. What is sealed does not change any more, so
# who reads it twice reads the same.

from __future__ import annotations

import fcntl
import json
import os
from typing import Final

from bigtop.record import Record, as_dict

TURN: Final = 12 * 3600  # seconds for which keys of session tickets are used
_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL


class KeyPair(Record):
    """A certificate and the key that belongs to it, both as texts (PEM); `origin` is where they are from."""

    certificate: str  # with those that lead to its issuer
    key: str
    origin: str


class TicketSecret(Record):
    """What all workers, whenever they began, make keys for session tickets of. `since` is the first turn that
    it is for, counted from 1970."""

    since: int
    secret: str  # 32 bytes in hexadecimal digits


class Keyring(Record):
    """What a site serves with. The first pair is for clients that name nothing."""

    pairs: tuple[KeyPair, ...]
    client_ca: str = ""  # certificates (PEM) of who may issue those of clients; "": clients are not asked
    client_crl: str = ""  # which of those were revoked (PEM); "": nobody says so
    ticket_secrets: tuple[TicketSecret, ...] = ()  # by when they begin

    def seal(self) -> int:
        """Return the descriptor of a sealed file that holds it."""
        fd = os.memfd_create("bigtop-keyring", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        with os.fdopen(os.dup(fd), "wb") as file:
            file.write(json.dumps(as_dict(self)).encode())
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
        return fd


def digest(fd: int) -> str:
    """Return what tells a sealed file from others; nothing can be learnt from that."""
    import hashlib  # with another part of OpenSSL, for those who encrypt

    return hashlib.sha256(os.pread(fd, os.fstat(fd).st_size, 0)).hexdigest()[:16]


def read(fd: int) -> Keyring:
    """Return what a sealed file holds."""
    fields = json.loads(os.pread(fd, os.fstat(fd).st_size, 0))
    pairs = tuple(KeyPair(**pair) for pair in fields["pairs"])
    secrets = tuple(TicketSecret(**one) for one in fields["ticket_secrets"])
    return Keyring(pairs, fields["client_ca"], fields["client_crl"], secrets)
